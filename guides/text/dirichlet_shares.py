"""A posterior of shares."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

__all__ = ["DirichletShares"]

LEAST = 1e-2  # a smaller concentration draws shares that are 0 in float32


class DirichletShares(nn.Module):
    """q(z | x) = Dirichlet(z; softplus(encoder(x)) + .01), whose draws have implicit gradients.

    Site: ``z``, (K,), shares.

    Args:
        encoder: x to (..., K).

    References: Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, 2018, Section 3.2.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B documents."""
        concentration = softplus(self.encoder(x)) + LEAST
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Dirichlet(concentration))
