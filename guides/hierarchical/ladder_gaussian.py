"""Gaussian layers drawn from the top, each put together of what the data say and of what the model expects."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["LadderGaussian"]


class LadderGaussian(nn.Module):
    """q(z | x) = N(z_L; m_L(x), v_L(x)) prod_l N(z_l; precision-weighted), what x says of z_l beside p(z_l | z_l+1).

        1/v = 1/v_l(x) + 1/v_p(z_l+1),   m = v (m_l(x) / v_l(x) + m_p(z_l+1) / v_p(z_l+1)),   l < L

    m_p and v_p are the model's own networks, which the guide shares. Public code merges with networks of its own, and forces
    every variance above 1.

    Sites: ``zL``, ..., ``z1``, (d_l,).

    Args:
        ladder: x to what it says of each level, from the lowest up, (..., 2 d_l) for :func:`~pyrovae.nets.loc_and_scale`.
        top_down: the model's, from the uppermost down.

    References: Sonderby, Raiko, Maaloe, Sonderby and Winther, Ladder Variational Autoencoders, 2016, Eq. (10) to (12).
    """

    def __init__(self, ladder: nn.Module, top_down: Sequence[nn.Module]) -> None:
        super().__init__()
        self.ladder = ladder
        self.top_down = nn.ModuleList(top_down)

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        *lower, uppermost = (loc_and_scale(features) for features in self.ladder(x))
        top = len(lower) + 1
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample(f"z{top}", dist.Normal(*uppermost).to_event(1))
            for level, layer in zip(range(top - 1, 0, -1), self.top_down, strict=True):
                (loc, scale), (prior_loc, prior_scale) = lower[level - 1], loc_and_scale(layer(z))
                precision, expected = scale**-2, prior_scale**-2
                variance = 1 / (precision + expected)
                mean = variance * (precision * loc + expected * prior_loc)
                z = pyro.sample(f"z{level}", dist.Normal(mean, variance.sqrt()).to_event(1))
