"""Sparse coding: a Laplace prior of the code."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["SparseAE"]


class SparseAE(nn.Module):
    """p(x, z) = prod_j Laplace(z_j; 0, 1 / rate) p(x | decoder(z)).

    Its log joint at a code z = f(x) is the penalized reconstruction

        log p(x | z) - rate ||z||_1 + d log(rate / 2)

    so that the L1 penalty of a sparse autoencoder is a prior. The decoder must not be free to scale the code down
    (:class:`~pyrovae.nets.codes.Dictionary`).

    Sites: ``z``, (d,); ``x``, the shape of a datum.

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        rate: of the Laplace distribution, the weight of the L1 norm.

    References: Olshausen and Field, Emergence of Simple-Cell Receptive Field Properties by Learning a Sparse Code for Natural
    Images, 1996.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, rate: float) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim, self.rate = decoder, likelihood, latent_dim, rate

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Laplace(float_zeros(x, self.latent_dim), 1 / self.rate).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
