"""A network of data and noise as the posterior."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import Implicit
from pyrovae.nets import float_zeros

__all__ = ["ImplicitPosterior"]


class ImplicitPosterior(nn.Module):
    """q(z | x) of z = encoder(x, e), e ~ N(0, I_m): any posterior that the network can make, without a density.

    Site: ``z``, (d,).

    Args:
        encoder: x and noise, (..., m), to (..., d).
        noise_dim: m.
        latent_dim: d.

    References: Makhzani et al., Adversarial Autoencoders, 2016, Section 2 (universal approximator posterior); Mescheder,
    Nowozin and Geiger, Adversarial Variational Bayes, 2017, Section 3.1.
    """

    def __init__(self, encoder: nn.Module, noise_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder, self.noise_dim, self.latent_dim = encoder, noise_dim, latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            like = float_zeros(x, 1)
            draw = Implicit(lambda noise: self.encoder(x, noise), self.noise_dim, self.latent_dim, x.shape[:1], like)
            pyro.sample("z", draw)
