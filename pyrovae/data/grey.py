"""Raw values to x: grey levels to [0, 1], and grey to binary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyrovae.data.seeds import noise

__all__ = ["Grey"]


@dataclass(frozen=True)
class Grey:
    """x = raw / (levels - 1) of integers, or raw of floats; then, where asked, x > 1/2 or x ~ Bernoulli(x).

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
            levels = None if raw.is_floating_point() else self.levels
            grey = raw if levels is not None else raw.to(torch.float32)
            if isinstance(thresholds, torch.Generator):
                thresholds = noise(raw.shape, levels, thresholds)
            assert thresholds is not None
            return (thresholds.to(raw.device) < grey).to(torch.float32)
        x = raw.to(torch.float32)
        if self.levels is not None and not raw.is_floating_point():
            x = x.div_(self.levels - 1)
        return (x > 0.5).to(torch.float32) if self.binarize == "threshold" else x
