"""The Hamiltonian VAE's generative model: a VAE whose code has a momentum that the data do not see."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["HamiltonianVAE"]


class HamiltonianVAE(nn.Module):
    """p(x, z, r) = N(z; 0, I_d) N(r; 0, I_d) p(x | decoder(z)): its p(x) is the VAE's.

    Sites: ``z``, (2d,), position and momentum one after the other; ``x``, the shape of a datum.

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.

    References: Caterini, Doucet and Sejdinovic, Hamiltonian Variational Auto-Encoder, 2018, Section 3.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, 2 * self.latent_dim), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z[..., : self.latent_dim])), obs=x)
