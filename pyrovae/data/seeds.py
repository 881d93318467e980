"""Random numbers as pure functions of integers: a resumed run sees what the broken one would have seen."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import TracebackType

import torch
from torch import Tensor

__all__ = [
    "BINARIZE",
    "DRAWS",
    "FROZEN",
    "ITEMS",
    "LABELS",
    "LENGTHS",
    "MASKS",
    "ORDER",
    "SPLIT",
    "STREAM",
    "PrivateRandom",
    "frozen_noise",
    "generator",
    "mix",
    "noise",
    "set_seed",
]

# What a seed is for: draws for different ends never share a stream.
ORDER, BINARIZE, FROZEN, SPLIT, STREAM, ITEMS, LABELS, MASKS, DRAWS, LENGTHS = range(1, 11)

_BLOCK = 64


def mix(*numbers: int) -> int:
    """Hash integers to 64 well-spread bits (the finalizer of SplitMix64, chained).

    >>> mix(0, 1) != mix(1, 0)
    True
    """
    mask = 2**64 - 1
    state = 0
    for number in numbers:
        state = (state + (int(number) & mask) + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state


def generator(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator, seeded by :func:`mix`."""
    # torch's CPU generator keeps 32 bits of the seed, so both halves are folded into those.
    seed = mix(*numbers)
    return torch.Generator(device=device).manual_seed((seed ^ (seed >> 32)) & 0xFFFFFFFF)


@functools.cache
def _has_accelerator() -> bool:
    return any(place.is_available() for place in (torch.cuda, torch.backends.mps, torch.xpu, torch.mtia))


def set_seed(seed: int) -> None:
    """``torch.manual_seed(seed)``, which writes down the stack of calls for each kind of accelerator that the machine lacks.

    That takes a millisecond or two, as long as a step of a small pair.
    """
    if _has_accelerator():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def noise(shape: Iterable[int], levels: int | None, source: torch.Generator) -> Tensor:
    """Thresholds u of the given shape with P(u < raw) = x, for raw grey values of x.

    ``raw`` is an integer in 0..levels-1 and x = raw / (levels - 1), or raw = x in [0, 1] when levels is None.
    """
    if levels is None:
        return torch.rand(*shape, generator=source, device=source.device)
    dtype = torch.uint8 if levels <= 256 else torch.int64
    return torch.empty(*shape, dtype=dtype, device=source.device).random_(levels - 1, generator=source)


def frozen_noise(rows: Tensor, shape: Iterable[int], levels: int | None, seed: int) -> Tensor:
    """Thresholds (B, *shape) that depend on the row number and the seed only, not on the batch."""
    shape = tuple(shape)
    rows = rows.cpu()
    blocks = rows // _BLOCK
    drawn: Tensor | None = None
    for block in blocks.unique().tolist():
        values = noise((_BLOCK, *shape), levels, generator(seed, FROZEN, block))
        if drawn is None:
            drawn = torch.empty(len(rows), *shape, dtype=values.dtype)
        here = blocks == block
        drawn[here] = values[rows[here] % _BLOCK]
    return torch.empty(0, *shape) if drawn is None else drawn


class PrivateRandom:
    """Context that lends torch's CPU random numbers to foreign code, from a stream of our own.

    Enter it as often as you like: the private stream goes on where it stopped, the caller's is put back each
    time. ``own`` names further generators (a DataLoader's) that are treated in the same way.
    """

    def __init__(self, *numbers: int, own: Iterable[torch.Generator] = ()) -> None:
        self.generators = list({id(each): each for each in (torch.default_generator, *own)}.values())
        self.states = [generator(*numbers, index).get_state() for index in range(len(self.generators))]
        self.callers: list[Tensor] = []

    def __enter__(self) -> PrivateRandom:
        self.callers = self._swap(self.states)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.states = self._swap(self.callers)

    def _swap(self, states: list[Tensor]) -> list[Tensor]:
        before = [each.get_state() for each in self.generators]
        for each, state in zip(self.generators, states, strict=True):
            each.set_state(state)
        return before
