"""A Gaussian for each layer of noise, each from the data alone."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import RankOnePrecisionGaussian

__all__ = ["LayeredGaussian"]


class LayeredGaussian(nn.Module):
    """q(xi | x) = prod_l N(xi_l; m_l(x), C_l(x)), C_l diagonal, or of precision D_l + u_l u_l'.

    Sites: ``xiL``, ..., ``xi1``, (d,) each.

    Args:
        encoders: from the uppermost layer down, x to (..., 2d): means and logarithms of scales; or (..., 3d): and u.
        rank_one: whether precisions have u.

    References: Rezende, Mohamed and Wierstra, Stochastic Backpropagation and Approximate Inference in Deep Generative Models,
    2014, Section 4.
    """

    def __init__(self, encoders: Sequence[nn.Module], rank_one: bool = False) -> None:
        super().__init__()
        self.encoders, self.rank_one = nn.ModuleList(encoders), rank_one

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        top = len(self.encoders)
        with pyro.plate("data", x.shape[0], dim=-1):
            for number, encoder in enumerate(self.encoders):
                loc, log_scale, *factor = encoder(x).chunk(3 if self.rank_one else 2, -1)
                if factor:
                    q = RankOnePrecisionGaussian(loc, -2 * log_scale, factor[0])
                else:
                    q = dist.Normal(loc, log_scale.exp()).to_event(1)
                pyro.sample(f"xi{top - number}", q)
