"""A VAE with a discriminator of its data beside it."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["VAEGAN"]


class VAEGAN(nn.Module):
    """p(x, z) = N(z; 0, I_d) p(x | decoder(z)), and a discriminator whose features objectives compare data by.

    Sites: ``z``, (d,); ``x``, the shape of a datum. The discriminator has no part in p(x, z).

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        discriminator: of x (:class:`pyrovae.nets.Discriminator`).

    References: Larsen, Sonderby, Larochelle and Winther, Autoencoding beyond pixels using a learned similarity metric, 2016.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, discriminator: nn.Module) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim
        self.discriminator = discriminator

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
