"""Two layers of Gaussians, the lower one drawn first."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["BottomUpGaussian"]


class BottomUpGaussian(nn.Module):
    """q(z1, z2 | x) = N(z1; loc(x), diag scale(x)^2) N(z2; loc(z1), diag scale(z1)^2).

    Sites: ``z1``, (d,); ``z2``, (e,).

    Args:
        lower: x to (..., 2d), the means and the logarithms of the scales of z1.
        upper: z1 to (..., 2e), the means and the logarithms of the scales of z2 (bounded for bounded activations).

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016, Eq. (2) and Section 5.
    """

    def __init__(self, lower: nn.Module, upper: nn.Module) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, log_scale = self.lower(x).chunk(2, -1)
        with pyro.plate("data", x.shape[0], dim=-1):
            z1 = pyro.sample("z1", dist.Normal(loc, log_scale.exp()).to_event(1))
            loc, log_scale = self.upper(z1).chunk(2, -1)
            pyro.sample("z2", dist.Normal(loc, log_scale.exp()).to_event(1))
