"""Independent one-hot vectors or bits, whose logits an encoder gives."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["IndependentCategorical"]


class IndependentCategorical(nn.Module):
    """q(z | x) = prod_n Categorical(z_n; softmax(encoder(x)_n)), n = 1..N.

    Site: ``z``, (N, C) one-hot, or (N,) bits where C = 2.

    Args:
        encoder: x to (..., N C), or (..., N) for bits.
        num_classes: C.

    References: Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017, Section 4.2.
    """

    def __init__(self, encoder: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.encoder, self.num_classes = encoder, num_classes

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        logits = self.encoder(x)
        if self.num_classes == 2:
            q_z = dist.Bernoulli(logits=logits)
        else:
            q_z = dist.OneHotCategorical(logits=logits.unflatten(-1, (-1, self.num_classes)))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", q_z.to_event(1))
