"""Independent mixtures of two Gaussians around 0 and 1, whose weights an encoder gives."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import GaussianIntegral, SmoothedBernoulli

__all__ = ["RelaxedBits"]


class RelaxedBits(nn.Module):
    """q(zeta | x) = prod_i (1 - q_i) N(zeta_i; 0, 1/beta) + q_i N(zeta_i; 1, 1/beta), q = sigmoid(encoder(x)).

    Site: ``zeta``, (n,).

    Args:
        encoder: x to (..., n).
        beta: the sharpness.

    References: Vahdat, Andriyash and Macready, DVAE#, 2018 (the Gaussian integral).
    """

    def __init__(self, encoder: nn.Module, beta: float) -> None:
        super().__init__()
        self.encoder, self.smoothing = encoder, GaussianIntegral(beta)

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("zeta", SmoothedBernoulli(self.encoder(x), self.smoothing))
