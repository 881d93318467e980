"""The guide of a model without latents."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["NoLatents"]


class NoLatents(nn.Module):
    """q() = 1: there is nothing to infer, and every bound is log p(x), (B,)."""

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
