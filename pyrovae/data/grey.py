"""Raw values to x: grey levels to [0, 1], and grey to binary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyrovae.data.seeds import noise

__all__ = ["Grey"]


@dataclass(frozen=True)
class Grey:
    """x = raw / (levels - 1), or raw where ``levels`` is None; then, where asked, x > 1/2 or x ~
    Bernoulli(x).

    Attributes:
        levels: number of grey levels of an integer raw, or None.
        binarize: "none", "threshold" or "dynamic".
    """

    levels: int | None = None
    binarize: str = "none"

    def __call__(self, raw: Tensor, thresholds: Tensor | torch.Generator | None = None) -> Tensor:
        """Raw (B, ...) to float32 x (B, ...); a dynamic draw needs a generator, or its thresholds."""
        if self.binarize == "dynamic":
            # Compared as integers, so that P(x = 1) is raw / (levels - 1) exactly.
            grey = raw if self.levels is not None else raw.to(torch.float32)
            if isinstance(thresholds, torch.Generator):
                thresholds = noise(raw.shape, self.levels, thresholds)
            assert thresholds is not None
            return (thresholds.to(raw.device) < grey).to(torch.float32)
        x = raw.to(torch.float32)
        if self.levels is not None:
            x = x.div_(self.levels - 1)
        return (x > 0.5).to(torch.float32) if self.binarize == "threshold" else x
