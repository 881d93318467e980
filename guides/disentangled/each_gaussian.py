"""The codes of a group, each from its own datum."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["EachGaussian"]


class EachGaussian(nn.Module):
    """prod_i q(z_i | x_i), i = 1..n data of a group, q(z_i | x_i) = N(loc(x_i), diag scale(x_i)^2).

    Site: ``z``, (n, d).

    Args:
        encoder: x_i to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B groups, (B, n, *shape)."""
        loc, scale = loc_and_scale(self.encoder(x))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, scale).to_event(2))
