"""Networks between grids of places, a fine one and a coarser one above it; leading axes pass through unchanged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyrovae.nets.causal import MaskedConv
from pyrovae.nets.convolutional import GridDecoder, GridEncoder, _image, _upwards
from pyrovae.nets.mlp import _glorot

__all__ = ["GridAbove", "GridJoin", "GridUp", "GuidedMaskedConv", "TwoGridDecoder"]


class GridAbove(nn.Module):
    """F numbers at each place of a grid, (..., P F), to D numbers at each place of a coarser one: a :class:`GridEncoder`.

    Attributes:
        grid: the (H, W) of the coarser grid.

    >>> GridAbove((7, 7), 6, [8], 2)(torch.zeros(3, 49 * 6)).shape
    torch.Size([3, 32])
    """

    def __init__(
        self, grid: Sequence[int], features: int, channels: Sequence[int], code_dim: int, activation: str = "relu"
    ) -> None:
        super().__init__()
        self.below, self.features = tuple(grid), features
        self.encoder = GridEncoder((features, *grid), channels, code_dim, activation)
        self.grid = self.encoder.grid

    def forward(self, h: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        images = h.unflatten(-1, (-1, self.features)).transpose(-1, -2).unflatten(-1, self.below)
        out: Tensor = self.encoder(images)
        return out


class GridUp(nn.Module):
    """D numbers at each of P places of a coarse grid, (..., P D), to n numbers at each place of a grid twice as fine.

    A 3x3 convolution, by which places see their neighbours, and a transposed one of stride 2.

    Args:
        code_dim: D.
        grid: the (H, W) of the fine grid; the coarse one has the halves, rounded up.
        out_features: n.
        activation: between the convolutions.

    >>> GridUp(2, (7, 7), 5)(torch.zeros(3, 4 * 4 * 2)).shape
    torch.Size([3, 49, 5])
    """

    def __init__(self, code_dim: int, grid: Sequence[int], out_features: int, activation: str = "relu") -> None:
        super().__init__()
        _, sizes = _image(grid, 1)
        self.code_dim, self.coarse = code_dim, sizes[1]
        first = nn.Conv2d(code_dim, code_dim, 3, padding=1)
        self.layers = _glorot(nn.Sequential(first, *_upwards([code_dim, out_features], sizes, activation)))

    def forward(self, z: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        places = z.reshape(-1, math.prod(self.coarse), self.code_dim).transpose(1, 2).unflatten(2, self.coarse)
        h: Tensor = self.layers(places)
        return h.flatten(2).transpose(1, 2).unflatten(0, z.shape[:-1])


class GridJoin(nn.Module):
    """What a fine grid has, (..., P D), beside what a coarse one says there, to n numbers a place, (..., P n).

    Args:
        dims: D, and the numbers at each place of the coarse grid.
        grid: the (H, W) of the fine grid.
        out_features: n.

    References: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019, Algorithm 1.

    >>> GridJoin((3, 2), (7, 7), 5)(torch.zeros(4, 49 * 3), torch.zeros(4, 16 * 2)).shape
    torch.Size([4, 245])
    """

    def __init__(self, dims: tuple[int, int], grid: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.dim = dims[0]
        self.up, self.out = GridUp(dims[1], grid, dims[1]), nn.Linear(sum(dims), out_features)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        there, own = self.up(coarse), fine.unflatten(-1, (-1, self.dim))
        lead = torch.broadcast_shapes(there.shape[:-1], own.shape[:-1])
        both = torch.cat([own.expand(*lead, -1), there.expand(*lead, -1)], -1)
        return self.out(both).flatten(-2)


class TwoGridDecoder(nn.Module):
    """Codewords of a fine grid and of a coarse one, (..., P D) each, to the parameters of a likelihood, (..., P, *shape).

    Args:
        join: the two grids to one, for ``decoder``.
        decoder: that to the parameters.
    """

    def __init__(self, join: GridJoin, decoder: GridDecoder) -> None:
        super().__init__()
        self.join, self.decoder = join, decoder

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        h: Tensor = self.decoder(self.join(fine, coarse))
        return h


class GuidedMaskedConv(MaskedConv):
    """Masked convolutions of a grid, each place seeing those before it and what a coarser grid says there and around it.

    Args:
        shape: H, W of the grid.
        hidden: channels.
        num_codes: K, numbers of a place, in and out.
        coarse_dim: numbers at each place of the coarse grid, which is the context, (..., C) in all.

    References: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019, Section 3.2.

    >>> GuidedMaskedConv((4, 4), 8, 5, 3)(torch.zeros(2, 16, 5), torch.zeros(2, 4 * 3)).shape
    torch.Size([2, 16, 5])
    """

    def __init__(self, shape: tuple[int, int], hidden: int, num_codes: int, coarse_dim: int) -> None:
        super().__init__(shape, hidden, num_codes, step_dim=num_codes)
        self.up = GridUp(coarse_dim, shape, hidden)

    def context(self, c: Tensor | None) -> Tensor | float:
        """What the coarse grid adds to the hidden units of every place, (..., T, hidden)."""
        assert c is not None
        added: Tensor = self.up(c)
        return added
