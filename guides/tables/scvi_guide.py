"""The guide of counts whose size is latent."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import LogNormal
from pyrovae.nets import loc_and_scale

__all__ = ["SCVIGuide"]


class SCVIGuide(nn.Module):
    """q(z, l | x) = N(z; loc(x), diag scale(x)^2) LogNormal(l; m(x), s(x)^2).

    Sites: ``z``, (d,); ``l``, (1,).

    Args:
        encoder: x to (..., 2d), the means and the logarithms of the scales of z.
        size_encoder: x to (..., 2), for :func:`~pyrovae.nets.loc_and_scale`, of log l.

    References: Lopez et al., Deep Generative Modeling for Single-cell Transcriptomics, 2018, Methods.
    """

    def __init__(self, encoder: nn.Module, size_encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.size_encoder = encoder, size_encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, log_scale = self.encoder(x).chunk(2, -1)
        size_loc, size_scale = loc_and_scale(self.size_encoder(x))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
            pyro.sample("l", LogNormal(size_loc, size_scale).to_event(1))
