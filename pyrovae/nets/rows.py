"""What networks are given in place of a row of a table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["RowFeatures"]


class RowFeatures(nn.Module):
    """A row of a table, (..., D), as numbers of a size that a network can take, (..., num_features).

    A column of classes becomes zeros and a one, counts and positive numbers log(1 + x), others stay. Values that are not seen
    become zeros, and beside them stands which are seen.

    Args:
        kinds: of each column.
        sizes: of each column, how many classes or ordered levels it has; None for numbers.
        masked: whether it is told which values are seen.

    >>> RowFeatures(["real", "category"], [None, 3])(torch.tensor([[0.5, 2.0]]))
    tensor([[0.5000, 0.0000, 0.0000, 1.0000]])
    """

    def __init__(self, kinds: Sequence[str], sizes: Sequence[int | None], masked: bool = False) -> None:
        super().__init__()
        self.kinds, self.sizes, self.masked = tuple(kinds), tuple(sizes), masked
        self.num_features = sum(size or 1 for size in sizes) + masked * len(self.kinds)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The output of the module, of the shape that its class states."""
        features = []
        for i, (kind, size) in enumerate(zip(self.kinds, self.sizes, strict=True)):
            column = x[..., i : i + 1]
            if size is not None:
                classes = torch.arange(size, device=column.device)
                column = (column.round().clamp(0, size - 1) == classes).to(torch.get_default_dtype())
            elif kind in ("count", "positive"):
                column = torch.log1p(column)
            features.append(column if mask is None else column * mask[..., i : i + 1])
        return torch.cat([*features, *([mask] if self.masked and mask is not None else [])], -1)
