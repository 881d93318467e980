"""The encoder of a deterministic autoencoder."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.errors import ContractError

__all__ = ["Deterministic"]


class Deterministic(nn.Module):
    """q(z | x) = delta(z - f(x)): a point and no density, under which no bound on log p(x) exists.

    Site: ``z``, (d,).

    Args:
        encoder: f, x to (..., d).
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        z = self.encoder(x)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Delta(z, event_dim=1))

    def squared_jacobian(self, x: Tensor) -> Tensor:
        """||df/dx||_F^2, (B,), where the encoder knows it in closed form."""
        if not hasattr(self.encoder, "squared_jacobian"):
            raise ContractError(
                f"the Jacobian of {type(self.encoder).__name__} has no closed form here; use jacobian='autograd'."
            )
        return self.encoder.squared_jacobian(x)
