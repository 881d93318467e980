"""Two levels of Gaussians, the upper one drawn first."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["TopDownGaussian"]


class TopDownGaussian(nn.Module):
    """q(z1, z2 | x) = N(z2; loc(x), diag scale(x)^2) N(z1; loc(x, z2), diag scale(x, z2)^2).

    Sites: ``z2``, (e,); ``z1``, (d,).

    Args:
        upper: x to (..., 2e), the means and the logarithms of the scales of z2.
        lower: x and z2 to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`, of z1.

    References: Tomczak and Welling, VAE with a VampPrior, 2018, Section 4.
    """

    def __init__(self, upper: nn.Module, lower: nn.Module) -> None:
        super().__init__()
        self.upper, self.lower = upper, lower

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, log_scale = self.upper(x).chunk(2, -1)
        with pyro.plate("data", x.shape[0], dim=-1):
            z2 = pyro.sample("z2", dist.Normal(loc, log_scale.exp()).to_event(1))
            loc, scale = loc_and_scale(self.lower(x, z2))
            pyro.sample("z1", dist.Normal(loc, scale).to_event(1))
