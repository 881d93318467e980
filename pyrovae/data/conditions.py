"""Conditions of a data set, for pairs that complete or sharpen images: quadrants, holes, low resolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from pyrovae.data.dataset import Data
from pyrovae.data.split import Uniform
from pyrovae.data.transforms import append, enter, require_images
from pyrovae.errors import OptionError

__all__ = ["halves", "holes", "low_resolution", "quadrants"]


@dataclass(frozen=True)
class _Quadrants:
    """c = x in the lower left, the left half, or all but the lower right; 0 elsewhere."""

    number: int
    keys: tuple[str, ...] = ("c", "given")

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x = batch["x"].to(torch.float32)
        height, width = x.shape[-2:]
        given = torch.zeros_like(x)
        given[..., height // 2 :, : width // 2] = 1
        if self.number > 1:
            given[..., : height // 2, : width // 2 if self.number == 2 else width] = 1
        return {**batch, "c": x * given, "given": given}


@enter("quadrants")
def quadrants(data: Data, *, given: int = 1) -> Data:
    """A condition for CVAEs: ``c``, (B, *shape), is x in 1, 2 or 3 quadrants and 0 elsewhere; ``given`` is 1 there.

    One is the lower left, two are the left half, three all but the lower right, as in Pyro's tutorial.

    Args:
        data: images.
        given: how many quadrants.

    References: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """
    require_images(data)
    if given not in (1, 2, 3):
        raise OptionError(f"given is {given!r}; expected 1, 2 or 3 quadrants.")
    return append(data, _Quadrants(given))


HALVES = {"upper": (-2, 0), "lower": (-2, 1), "left": (-1, 0), "right": (-1, 1)}


@dataclass(frozen=True)
class _Half:
    """c = x in one half, 0 in the other; of an odd side the first half is the smaller."""

    name: str
    keys: tuple[str, ...] = ("c", "given")

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x = batch["x"].to(torch.float32)
        axis, second = HALVES[self.name]
        middle = x.shape[axis] // 2
        given = torch.full_like(x, float(second))
        given.narrow(axis, 0, middle).fill_(1.0 - second)
        return {**batch, "c": x * given, "given": given}


@enter("halves")
def halves(data: Data, *, given: str = "upper") -> Data:
    """A condition of structured output: ``c``, (B, *shape), is x in one half and 0 in the other; ``given`` is 1 there.

    Args:
        data: images.
        given: 'upper', 'lower', 'left' or 'right'.

    References: Raiko, Berglund, Alain and Dinh, Techniques for Learning Binary Stochastic Feedforward Neural Networks, 2015.
    """
    require_images(data)
    if given not in HALVES:
        raise OptionError(f"given is {given!r}; expected one of {', '.join(HALVES)}.")
    return append(data, _Half(given))


@dataclass(frozen=True)
class _Hole:
    """c = x but for a rectangle at a random place, where it is 0."""

    size: float
    keys: tuple[str, ...] = ("c", "given")

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x, place = batch["x"].to(torch.float32), uniform((2,))
        inside = [self._inside(x.shape[axis], place[:, axis]) for axis in (-2, -1)]
        hole = inside[0].unsqueeze(-1) & inside[1].unsqueeze(-2)
        given = (~hole).reshape(len(x), *[1] * (x.dim() - 3), *x.shape[-2:]).to(x.dtype).expand_as(x)
        return {**batch, "c": x * given, "given": given}

    def _inside(self, side: int, place: Tensor) -> Tensor:
        """Which of the rows, or columns, lie in the hole, (B, side)."""
        length = max(1, round(self.size * side))
        start = (place * (side - length + 1)).floor().unsqueeze(1)
        at = torch.arange(side, device=place.device)
        return (at >= start) & (at < start + length)


@enter("holes")
def holes(data: Data, *, size: float = 0.5) -> Data:
    """A condition for CVAEs: x but for a rectangle, ``size`` of its height and width, at a random place in each row.

    In training the place is drawn anew in each epoch; otherwise it is a function of the row.

    Args:
        data: images.
        size: of the hole, as a part of the sides.
    """
    require_images(data)
    if not 0 < size < 1:
        raise OptionError(f"size is {size!r}; expected a number between 0 and 1.")
    return append(data, _Hole(size))


@dataclass(frozen=True)
class _LowResolution:
    """c = the means of x over squares of ``factor`` pixels, shown at x's size; nothing of x itself is given."""

    factor: int
    keys: tuple[str, ...] = ("c", "given")

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x = batch["x"].to(torch.float32)
        images = x if x.dim() == 4 else x.unsqueeze(1)
        coarse = avg_pool2d(images, self.factor, ceil_mode=True, count_include_pad=False)
        c = interpolate(coarse, scale_factor=float(self.factor), mode="nearest")[..., : x.shape[-2], : x.shape[-1]]
        return {**batch, "c": c.reshape(x.shape), "given": torch.zeros_like(x)}


@enter("low-resolution")
def low_resolution(data: Data, *, factor: int = 4) -> Data:
    """A condition for CVAEs: ``c`` is x averaged over squares of ``factor`` pixels, for super-resolution; ``given`` is 0.

    Args:
        data: images.
        factor: side of the squares.
    """
    require_images(data)
    if not isinstance(factor, int) or factor < 2:
        raise OptionError(f"factor is {factor!r}; expected a whole number of at least 2.")
    return append(data, _LowResolution(factor))
