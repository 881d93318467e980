"""A cluster and a style: M2 of a class that no label names."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["AAECluster"]


class AAECluster(nn.Module):
    """p(x, k, z) = Cat(k; 1/C) N(z; 0, I_d) p(x | decoder(z, k)).

    Sites: ``k``, one-hot, (C,), and not ``y``, since no label says which cluster is which; ``z``, (d,); ``x``, the shape of a
    datum.

    Args:
        decoder: (..., d) and (..., C) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        num_clusters: C.

    References: Makhzani et al., Adversarial Autoencoders, 2016, Sections 6 and 7.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, num_clusters: int) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood
        self.latent_dim, self.num_clusters = latent_dim, num_clusters

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            k = pyro.sample("k", dist.OneHotCategorical(logits=float_zeros(x, self.num_clusters)))
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z, k)), obs=x)
