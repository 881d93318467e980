"""The decoder of a deterministic autoencoder, as a model without a prior."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import Flat
from pyrovae.nets import float_zeros

__all__ = ["AE"]


class AE(nn.Module):
    """p(x | z) with log p(z) = 0 for every z: an energy and no density, from which no z can be drawn.

    With a guide that is a point at f(x), objective ``energy`` is the reconstruction log p(x | f(x)): the ELBO of a VAE whose
    q shrinks to a point, without its KL, both terms of which have no limit. With a Gaussian likelihood of fixed scale s that
    is -||x - g(f(x))||^2 / 2 s^2 and a constant.

    Sites: ``z``, (d,); ``x``, the shape of a datum.

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.

    References: Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, 2006.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", Flat(float_zeros(x, self.latent_dim)))
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
