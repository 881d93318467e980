"""Two stochastic layers, a Markov chain from the upper one to the data."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["TwoLayerVAE"]


class TwoLayerVAE(nn.Module):
    """p(x, z1, z2) = N(z2; 0, I_e) N(z1; loc(z2), diag scale(z2)^2) p(x | decoder(z1)).

    Sites: ``z2``, (e,); ``z1``, (d,); ``x``, the shape of a datum.

    Args:
        features: z2 to (..., 2d), the means and the logarithms of the scales of z1 (bounded for bounded activations).
        decoder: z1 to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: e, the dimension of z2.

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016, Eq. (1) and Section 5.
    """

    def __init__(self, features: nn.Module, decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.features, self.decoder, self.likelihood = features, decoder, likelihood
        self.latent_dim = latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z2 = pyro.sample("z2", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            loc, log_scale = self.features(z2).chunk(2, -1)
            z1 = pyro.sample("z1", dist.Normal(loc, log_scale.exp()).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z1)), obs=x)
