"""Layers with layer normalization, and a ladder of them from the data up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from pyrovae.nets.counts import as_float
from pyrovae.nets.mlp import _glorot

__all__ = ["Ladder", "NormalizedMLP"]

SLOPE = 0.1


class NormalizedMLP(nn.Sequential):
    """(..., in) -> (..., out) through hidden layers, each normalized over its own units: a datum sees no other.

    >>> import torch
    >>> NormalizedMLP(3, [8], 2)(torch.zeros(5, 7, 3)).shape
    torch.Size([5, 7, 2])
    """

    def __init__(self, in_features: int, hidden: Sequence[int], out_features: int) -> None:
        sizes, layers = [in_features, *hidden], []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.LeakyReLU(SLOPE)]
        super().__init__(*layers, nn.Linear(sizes[-1], out_features))
        _glorot(self)


class Ladder(nn.Module):
    """x, (..., *shape), to what each level of a ladder says of its latents, (..., 2 d_l), from the lowest up.

        h_1 = block_1(x),   h_l = block_l(h_l-1),   features_l = head_l(h_l)

    Args:
        shape: of x.
        widths: units of each block, of two layers.
        latent_dims: d_1, ..., d_L.
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int], latent_dims: Sequence[int]) -> None:
        super().__init__()
        self.event_dim = len(shape)
        size = 1
        for each in shape:
            size *= each
        pairs = list(itertools.pairwise([size, *widths]))
        self.blocks = nn.ModuleList(
            nn.Sequential(NormalizedMLP(before, [after], after), nn.LayerNorm(after), nn.LeakyReLU(SLOPE))
            for before, after in pairs
        )
        self.heads = nn.ModuleList(nn.Linear(width, 2 * dim) for width, dim in zip(widths, latent_dims, strict=True))
        for head in self.heads:
            _glorot(head)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The features of all levels."""
        h, found = as_float(x).flatten(x.dim() - self.event_dim), []
        for block, head in zip(self.blocks, self.heads, strict=True):
            h = block(h)
            found.append(head(h))
        return found
