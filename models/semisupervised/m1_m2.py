"""M2 on the latent features of a variational autoencoder."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros, loc_and_scale

__all__ = ["M1M2"]


class M1M2(nn.Module):
    """p(x, z1, y, z2) = Cat(y; 1/C) N(z2; 0, I_d) N(z1; loc(z2, y), diag scale(z2, y)^2) p(x | decoder(z1)).

    Sites: ``y``, one-hot, (C,); ``z2``, (d,), the style; ``z1``, (e,), the features; ``x``, the shape of a datum.

    Args:
        features: z2 and y to (..., 2e), for :func:`~pyrovae.nets.loc_and_scale`, of z1.
        decoder: z1 to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        num_classes: C.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Section 2 (stacked model).
    """

    def __init__(
        self, features: nn.Module, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, num_classes: int
    ) -> None:
        super().__init__()
        self.features, self.decoder, self.likelihood = features, decoder, likelihood
        self.latent_dim, self.num_classes = latent_dim, num_classes

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.OneHotCategorical(logits=float_zeros(x, self.num_classes)))
            z2 = pyro.sample("z2", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            loc, scale = loc_and_scale(self.features(z2, y))
            z1 = pyro.sample("z1", dist.Normal(loc, scale).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z1)), obs=x)
