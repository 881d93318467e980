"""The posterior of what changes one image into another."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["SourceGaussian"]


class SourceGaussian(nn.Module):
    """q(z | x, source) = N(z; loc(x, source), diag scale(x, source)^2).

    Site: ``z``, (d,).

    Args:
        encoder: x and source to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`.

    References: Yeh, Liu, Goldman and Agarwala, Semantic Facial Expression Editing using Autoencoded Flow, 2016.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, source: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, scale = loc_and_scale(self.encoder(x, source))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))
