"""The generative model of Ada-GVAE: pairs, whose two data are independent a priori."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["AdaGVAE"]


class AdaGVAE(nn.Module):
    """p(x, z) = prod_i N(z_i; 0, I) p(x_i | decoder(z_i)), i = 1, 2 data of a pair, which is one datum.

    Sites: ``z``, (2, d); ``x``, (2, *shape).

    Args:
        decoder: (..., d) to the parameters of the likelihood of one of the pair.
        likelihood: those parameters to a distribution of one of the pair.
        latent_dim: d.

    References: Locatello et al., Weakly-Supervised Disentanglement Without Compromises, 2020, Section 4.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B pairs, (B, 2, *shape)."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, x.shape[1], self.latent_dim), 1.0).to_event(2))
            pyro.sample("x", self.likelihood(self.decoder(z)).to_event(1), obs=x)
