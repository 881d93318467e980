"""Two levels of latents, both of which the data see."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros, loc_and_scale

__all__ = ["HVAE"]


class HVAE(nn.Module):
    """p(x, z1, z2) = p(z2) N(z1; loc(z2), diag scale(z2)^2) p(x | decoder(z1, z2)), p(z2) = N(0, I) or a learned prior.

    Sites: ``z2``, (e,); ``z1``, (d,); ``x``, the shape of a datum.

    Args:
        features: z2 to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`, of z1.
        decoder: z1 and z2 to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: e, the dimension of z2.
        prior: called without arguments, gives p(z2) (:mod:`pyrovae.distributions.vampprior`); by default N(0, I).

    References: Tomczak and Welling, VAE with a VampPrior, 2018, Section 4.
    """

    def __init__(
        self, features: nn.Module, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, prior: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.features, self.decoder, self.likelihood = features, decoder, likelihood
        self.latent_dim, self.prior = latent_dim, prior

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        prior = dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1) if self.prior is None else self.prior()
        with pyro.plate("data", x.shape[0], dim=-1):
            z2 = pyro.sample("z2", prior)
            loc, scale = loc_and_scale(self.features(z2))
            z1 = pyro.sample("z1", dist.Normal(loc, scale).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z1, z2)), obs=x)
