"""Layers of bits from the data up, the mirror of a sigmoid belief network."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["BottomUpBernoulli"]


class BottomUpBernoulli(nn.Module):
    """q(z | x) = q(z_1 | x) q(z_2 | z_1) ... q(z_L | z_L-1), each z_l of n bits.

        z_1 | x ~ Bernoulli(sigmoid(encoder(x - mean))),   z_l | z_l-1 ~ Bernoulli(sigmoid(g_l(2 z_l-1 - 1)))

    Sites: ``z1``, ..., ``zL``, (n,) each.

    Args:
        encoder: x, less the mean of the data, to (..., n).
        layers: g_2, ..., g_L, (..., n) to (..., n).
        mean: of x over the training data, the shape of a datum.

    References: Mnih and Gregor, Neural Variational Inference and Learning in Belief Networks, 2014, Sections 2.3 and 4.
    """

    mean: Tensor

    def __init__(self, encoder: nn.Module, layers: Sequence[nn.Module], mean: Tensor) -> None:
        super().__init__()
        self.encoder, self.layers = encoder, nn.ModuleList(layers)
        self.register_buffer("mean", mean.clone())

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        logits = self.encoder(x - self.mean)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z1", dist.Bernoulli(logits=logits).to_event(1))
            for number, layer in enumerate(self.layers, 2):
                z = pyro.sample(f"z{number}", dist.Bernoulli(logits=layer(2 * z - 1)).to_event(1))
