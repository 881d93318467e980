"""A mixture of Gaussians without end: an auxiliary latent chooses the Gaussian of z."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["AuxiliaryGaussian"]


class AuxiliaryGaussian(nn.Module):
    """q(lam | x) q(z | lam, x), Gaussians with diagonal covariances; q(z | x) = int q(lam | x) q(z | lam, x) dlam is none.

    Sites: ``lam``, (e,); ``z``, (d,).

    Args:
        auxiliary: x to (..., 2e), for :func:`~pyrovae.nets.loc_and_scale`, of lam.
        encoder: x and lam to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`, of z.

    References: Ranganath, Tran and Blei, Hierarchical Variational Models, 2016, Eq. (3).
    """

    def __init__(self, auxiliary: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.auxiliary, self.encoder = auxiliary, encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, scale = loc_and_scale(self.auxiliary(x))
        with pyro.plate("data", x.shape[0], dim=-1):
            lam = pyro.sample("lam", dist.Normal(loc, scale).to_event(1))
            loc, scale = loc_and_scale(self.encoder(x, lam))
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))
