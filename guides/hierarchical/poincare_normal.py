"""A wrapped normal posterior in the Poincare ball."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import WrappedNormal
from pyrovae.distributions.hyperbolic import from_origin
from pyrovae.nets import loc_and_scale

__all__ = ["PoincareNormal"]


class PoincareNormal(nn.Module):
    """q(z | x) = WrappedNormal(z; exp_0(loc(x)), scale(x)).

    Site: ``z``, (d,), shorter than 1.

    Args:
        encoder: x to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`, the location in the tangent space of the origin.

    References: Mathieu et al., Continuous Hierarchical Representations with Poincare VAEs, 2019, Section 4.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, scale = loc_and_scale(self.encoder(x))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", WrappedNormal(from_origin(loc), scale))
