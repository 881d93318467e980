"""A pair of x on the key of a second domain."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["OfOther"]


class OfOther(nn.Module):
    """A program of x alone, run on the key ``other`` of the batch.

    Args:
        program: a model or a guide of x.
    """

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, other: Tensor) -> None:
        """Run the program on a batch of B data."""
        self.program(other)
