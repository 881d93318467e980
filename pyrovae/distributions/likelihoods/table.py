"""The likelihood of a row of a table: columns of several kinds side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from pyrovae.distributions.columns import Columns
from pyrovae.distributions.likelihoods.likelihood import Likelihood

__all__ = ["Classes", "TableLikelihood"]


class Classes(Likelihood):
    """P(x = c) = softmax(h)_c of one column of classes 0, ..., C-1.

    Args:
        shape: ().
        num_classes: C.
    """

    kinds = ("category",)

    def __init__(self, shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(shape)
        self.num_params = num_classes

    def forward(self, h: Tensor) -> TorchDistribution:
        """p(x | h), h the logits, (..., C)."""
        return dist.Categorical(logits=h)


class TableLikelihood(nn.Module):
    """p(x | h) = prod_i p_i(x_i | h_i), each column i of its own likelihood (:class:`~pyrovae.distributions.Columns`).

    Args:
        columns: name of a column -> its likelihood, of shape ().

    Attributes:
        num_features: how many numbers the decoder must give for a row.
    """

    def __init__(self, columns: Mapping[str, Likelihood]) -> None:
        super().__init__()
        self.names = list(columns)
        self.columns = nn.ModuleList(columns.values())
        self.sizes = [each.num_params for each in columns.values()]
        self.num_features = sum(self.sizes)

    def forward(self, h: Tensor) -> TorchDistribution:
        """p(x | h), h the columns' parameters side by side, (..., 1, num_features)."""
        parts = zip(self.columns, h.squeeze(-2).split(self.sizes, -1), strict=True)
        return Columns([own(each) for own, each in parts]).to_event(1)

    def start(self, means: Sequence[Tensor]) -> Tensor:
        """The h, (1, num_features), whose distributions have about these means, () each: where decoders start from."""
        starts = [own.start(mean) for own, mean in zip(self.columns, means, strict=True)]
        filled = [torch.zeros(size) if h is None else h for h, size in zip(starts, self.sizes, strict=True)]
        return torch.cat(filled).unsqueeze(0)
