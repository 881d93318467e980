"""A VAE whose prior is a Boltzmann machine with Gaussian noise on its bits, these summed out."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import BoltzmannMachine, RelaxedRBM

__all__ = ["RelaxedRBMVAE"]


class RelaxedRBMVAE(nn.Module):
    """p(x, zeta) = p(zeta) p(x | decoder(2 zeta - 1)), p(zeta) = sum_z RBM(z) N(zeta; z, (M + beta I)^-1), M = [0 W; W' 0].

    Sites: ``zeta``, (n + m,); ``x``, the shape of a datum.

    Args:
        machine: the prior's parameters, chains and log Z.
        beta: the sharpness, which must stay above the largest singular value of W.
        decoder: (..., n + m) to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.

    References: Vahdat, Andriyash and Macready, DVAE#, 2018 (the Gaussian integral).
    """

    def __init__(self, machine: BoltzmannMachine, beta: float, decoder: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.machine, self.beta, self.decoder, self.likelihood = machine, beta, decoder, likelihood

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            zeta = pyro.sample("zeta", RelaxedRBM(self.machine, self.beta))
            pyro.sample("x", self.likelihood(self.decoder(2 * zeta - 1)), obs=x)
