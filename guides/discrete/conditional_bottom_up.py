"""Layers of bits from the data up, each given the condition too."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["ConditionalBottomUp"]


class ConditionalBottomUp(nn.Module):
    """q(z | x, c) = q(z_1 | x, c) q(z_2 | z_1, c) ... q(z_L | z_L-1, c), each z_l of n bits.

        z_1 | x, c ~ Bernoulli(sigmoid(encoder(x, c))),   z_l | z_l-1, c ~ Bernoulli(sigmoid(g_l(2 z_l-1 - 1, c)))

    Sites: ``z1``, ..., ``zL``, (n,) each.

    Args:
        encoder: x, c and given to (..., n).
        layers: g_2, ..., g_L, bits, c and given to (..., n).
    """

    def __init__(self, encoder: nn.Module, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.encoder, self.layers = encoder, nn.ModuleList(layers)

    def forward(self, x: Tensor, c: Tensor, given: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        logits = self.encoder(x, c, given)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z1", dist.Bernoulli(logits=logits).to_event(1))
            for number, layer in enumerate(self.layers, 2):
                z = pyro.sample(f"z{number}", dist.Bernoulli(logits=layer(2 * z - 1, c, given)).to_event(1))
