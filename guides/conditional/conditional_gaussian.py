"""The recognition network of a conditional model."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["ConditionalGaussian"]


class ConditionalGaussian(nn.Module):
    """q(z | x, c) = N(z; loc(x, c), diag scale(x, c)^2).

    Site: ``z``, (d,).

    Args:
        encoder: x, c and given to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`.

    References: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, c: Tensor, given: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, scale = loc_and_scale(self.encoder(x, c, given))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))
