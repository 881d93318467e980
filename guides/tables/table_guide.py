"""The guide of rows of a table, of which some values may be missing."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["TableGuide"]


class TableGuide(nn.Module):
    """q(z | x_observed) = N(z; loc, diag scale^2), of the values that are seen and of which they are.

    Site: ``z``, (d,).

    Args:
        features: x and mask to (..., f) (:class:`~pyrovae.nets.RowFeatures`).
        encoder: (..., f) to (..., 2d), the means and the logarithms of the scales.

    References: Nazabal et al., Handling Incomplete Heterogeneous Data Using VAEs, 2020, Eq. (4).
    """

    def __init__(self, features: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.features, self.encoder = features, encoder

    def forward(self, x: Tensor, mask: Tensor | None = None) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, log_scale = self.encoder(self.features(x, mask)).chunk(2, -1)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
