"""The guide of DC-IGN's groups: what varies from each datum alone, all else from the group together."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import codes_that_vary, loc_and_scale

__all__ = ["DCIGNGuide"]


class DCIGNGuide(nn.Module):
    """q(z, v | x) = q(z | x_1..n) prod_i q(v_i | x_i), put together of N(m_i, s_i^2), what each datum says of its codes.

        z_j:   mean of m_ij, variance the mean of s_ij^2, where the group does not vary in code j; else its prior
        v_ij:  N(m_ij, s_ij^2) where it does; else its prior

    So codes of no effect cost nothing, and a code that its group shares is what its data say of it on average.

    Sites: ``z``, (d,); ``v``, (n, d).

    Args:
        encoder: x_i to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`.

    References: Kulkarni, Whitney, Kohli and Tenenbaum, Deep Convolutional Inverse Graphics Network, 2015, Section 3.2; Hosoya,
    Group-based Learning of Disentangled Representations, 2019, Eq. (5) (the average).
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, varied: Tensor) -> None:
        """Run the guide, q, on a batch of B groups, (B, n, *shape), and what varies in them, (B, F + 1)."""
        loc, scale = loc_and_scale(self.encoder(x))
        varies = codes_that_vary(varied, loc.shape[-1])
        alone = varies.squeeze(-2)
        shared = torch.where(alone, 0.0, loc.mean(-2)), torch.where(alone, 1.0, scale.square().mean(-2).sqrt())
        each = torch.where(varies, loc, 0.0), torch.where(varies, scale, 1.0)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(*shared).to_event(1))
            pyro.sample("v", dist.Normal(*each).to_event(2))
