"""The generative model of semi-supervised learning: a class and a style."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["M2"]


class M2(nn.Module):
    """p(x, y, z) = Cat(y; 1/C) N(z; 0, I_d) p(x | decoder(z, y)).

    Sites: ``y``, one-hot, (C,); ``z``, (d,); ``x``, the shape of a datum.

    Args:
        decoder: (..., d) and (..., C) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        num_classes: C.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Eq. (2).
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, num_classes: int) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood
        self.latent_dim, self.num_classes = latent_dim, num_classes

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.OneHotCategorical(logits=float_zeros(x, self.num_classes)))
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z, y)), obs=x)
