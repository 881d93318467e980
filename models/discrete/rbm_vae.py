"""A VAE whose bits have a restricted Boltzmann machine as prior."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import RBM, BoltzmannMachine

__all__ = ["RBMVAE"]


class RBMVAE(nn.Module):
    """p(x, z) = RBM(z) p(x | decoder(2 z - 1)), z = (u, v) of n + m bits.

    Sites: ``z``, (n + m,); ``x``, the shape of a datum.

    Args:
        machine: the prior's parameters, chains and log Z.
        decoder: (..., n + m) to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.

    References: Vahdat, Macready, Bian, Khoshaman and Andriyash, DVAE++, 2018, Section 2; Rolfe, Discrete Variational
    Autoencoders, 2017, Section 2.
    """

    def __init__(self, machine: BoltzmannMachine, decoder: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.machine, self.decoder, self.likelihood = machine, decoder, likelihood

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", RBM(self.machine))
            pyro.sample("x", self.likelihood(self.decoder(2 * z - 1)), obs=x)
