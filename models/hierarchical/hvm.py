"""A VAE whose guide has an auxiliary latent, and the model's account of it."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros, loc_and_scale

__all__ = ["HVM"]


class HVM(nn.Module):
    """p(x, z) r(lam | z, x) = N(z; 0, I_d) p(x | decoder(z)) N(lam; loc(z, x), diag scale(z, x)^2).

    lam comes after x, so that p(x) is the VAE's whatever r is; the better r tells which lam made z, the tighter the bound.

    Sites: ``z``, (d,); ``x``, the shape of a datum; ``lam``, (e,).

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        auxiliary: x and z to (..., 2e), for :func:`~pyrovae.nets.loc_and_scale`, of lam.

    References: Ranganath, Tran and Blei, Hierarchical Variational Models, 2016, Eq. (6).
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, auxiliary: nn.Module) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim
        self.auxiliary = auxiliary

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
            loc, scale = loc_and_scale(self.auxiliary(x, z))
            pyro.sample("lam", dist.Normal(loc, scale).to_event(1))
