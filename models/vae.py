"""The variational autoencoder's generative model."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["VAE"]


class VAE(nn.Module):
    """p(x, z) = N(z; 0, I_d) p(x | decoder(z)).

    Sites: ``z``, (d,); ``x``, the shape of a datum.

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.likelihoods`).
        latent_dim: d.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Section 3.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(self.latent_dim), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
