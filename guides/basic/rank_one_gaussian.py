"""A Gaussian posterior with one direction of correlation."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import RankOnePrecisionGaussian

__all__ = ["RankOneGaussian"]


class RankOneGaussian(nn.Module):
    """q(z | x) = N(z; m(x), (D(x) + u(x) u(x)')^-1).

    Site: ``z``, (d,).

    Args:
        encoder: x to (..., 3d): m, half the logarithm of 1 / D, and u.

    References: Rezende, Mohamed and Wierstra, Stochastic Backpropagation and Approximate Inference in Deep Generative Models,
    2014, Section 4.3.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, log_scale, factor = self.encoder(x).chunk(3, -1)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", RankOnePrecisionGaussian(loc, -2 * log_scale, factor))
