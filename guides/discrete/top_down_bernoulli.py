"""Layers of bits given a condition: the prior of a conditional sigmoid belief network as its guide."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["TopDownBernoulli"]


class TopDownBernoulli(nn.Module):
    """q(z | x, c) = p(z_L | c) p(z_L-1 | z_L) ... p(z_1 | z_2), the model's own: a weight is p(x | z_1), without a KL.

    Sites: ``zL``, ..., ``z1``, (n,) each.

    Args:
        prior: the module of the model, c and given to (..., n).
        layers: those of the model, from the uppermost down.

    References: Raiko, Berglund, Alain and Dinh, Techniques for Learning Binary Stochastic Feedforward Neural Networks, 2015.
    """

    def __init__(self, prior: nn.Module, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.prior, self.layers = prior, nn.ModuleList(layers)

    def forward(self, x: Tensor, c: Tensor, given: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        top, logits = len(self.layers) + 1, self.prior(c, given)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample(f"z{top}", dist.Bernoulli(logits=logits).to_event(1))
            for number, layer in zip(range(top - 1, 0, -1), self.layers, strict=True):
                z = pyro.sample(f"z{number}", dist.Bernoulli(logits=layer(2 * z - 1)).to_event(1))
