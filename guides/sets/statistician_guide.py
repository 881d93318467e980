"""The neural statistician's guide: the context from all items together, each item's latents from itself and the context."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import items_there, loc_and_scale, of_items, pooled

__all__ = ["StatisticianGuide"]


class StatisticianGuide(nn.Module):
    """q(c, z | x) = q(c | x_1..n) prod_i q(z_iL | h_i, c) ... q(z_i1 | z_i2, h_i, c), h_i = features(x_i), all Gaussian.

    q(c) sees the mean of the h_i and their number, so that it does not depend on the order of the items.

    Sites: ``c``, (d_c,); ``zL``, ..., ``z1``, (n, d) each.

    Args:
        features: of one item, to h_i, (..., F).
        context: the mean of h and log(1 + n) to (..., 2 d_c), for :func:`~pyrovae.nets.loc_and_scale`.
        posteriors: of zL, ..., z1: h, c, and the layer above where there is one, to (..., 2d).

    References: Edwards and Storkey, Towards a Neural Statistician, 2017, Section 3.3 and 4.1.
    """

    def __init__(self, features: nn.Module, context: nn.Module, posteriors: Sequence[nn.Module]) -> None:
        super().__init__()
        self.features, self.context, self.posteriors = features, context, nn.ModuleList(posteriors)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> None:
        """Run the guide, q, on a batch of B sets, (B, n, *shape)."""
        there, layers, h = items_there(x, lengths), len(self.posteriors), self.features(x)
        loc, scale = loc_and_scale(self.context(*pooled(h, there)))
        with pyro.plate("data", x.shape[0], dim=-1):
            c = pyro.sample("c", dist.Normal(loc, scale).to_event(1))
            z: list[Tensor] = []
            for number, posterior in enumerate(self.posteriors):
                parameters = of_items(*loc_and_scale(posterior(h, c.unsqueeze(-2), *z[-1:])), x.shape[1], there)
                z.append(pyro.sample(f"z{layers - number}", dist.Normal(*parameters).to_event(2)))
