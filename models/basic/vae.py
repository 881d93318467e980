"""The variational autoencoder's generative model."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["VAE"]


class VAE(nn.Module):
    """p(x, z) = p(z) p(x | decoder(z)), p(z) = N(z; 0, I_d) or a learned prior.

    Sites: ``z``, (d,); ``x``, the shape of a datum.

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        prior: called without arguments, gives p(z) (:mod:`pyrovae.distributions.vampprior`); by default N(0, I).

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Section 3.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, prior: nn.Module | None = None) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim
        self.prior = prior

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        prior = dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1) if self.prior is None else self.prior()
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", prior)
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
