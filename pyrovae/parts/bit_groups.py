"""Smoothed bits in groups, with the encoders of each group."""

from __future__ import annotations

from torch import nn

from pyrovae.distributions import SMOOTHINGS, Smoothing
from pyrovae.errors import OptionError
from pyrovae.parts.networks import Dense

__all__ = ["BitGroups"]


class BitGroups:
    """Bits in groups of sizes that differ by one at most, and their smoothing.

    Args:
        num_bits: of all groups.
        num_groups: G.
        smoothing: its name.
        beta: its sharpness; None for its usual one.

    Attributes:
        sizes: n_g, of the groups.
        smoothing: r(zeta | z).
    """

    def __init__(self, num_bits: int, num_groups: int, smoothing: str, beta: float | None) -> None:
        if num_groups > num_bits:
            raise OptionError(f"num_groups is {num_groups!r}; expected at most as many as bits, {num_bits}.")
        self.sizes = [(num_bits + g) // num_groups for g in reversed(range(num_groups))]
        self.smoothing: Smoothing = SMOOTHINGS.build({"name": smoothing, **({} if beta is None else {"beta": beta})})

    def encoders(self, dense: Dense) -> list[nn.Module]:
        """From x and the smoothed bits of each group before, (..., n_h), to the logits of a group, (..., n_g)."""
        return [dense.encoder(size, self.sizes[:g]) for g, size in enumerate(self.sizes)]
