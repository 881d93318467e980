"""Steps or points of each datum chosen anew in every batch: windows of sequences, subsets and orders of sets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyrovae.data.dataset import Data
from pyrovae.data.spec import KeySpec
from pyrovae.data.split import Uniform
from pyrovae.data.transforms import each_part, enter
from pyrovae.errors import DataError, OptionError

__all__ = ["ragged", "shuffle", "subsets", "windows"]

LENGTHS = "lengths"


@dataclass(frozen=True)
class _Chosen:
    """L of the T entries of the first axis of x, and of the other keys that have it; ``lengths`` says how many count."""

    kind: str
    size: int
    chosen: tuple[str, ...]
    keys: tuple[str, ...] = ()

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        total = batch[self.chosen[0]].shape[1]
        lengths = batch.get(LENGTHS)
        device = batch[self.chosen[0]].device
        places = torch.arange(total, device=device)
        if self.kind == "windows":
            room = (total if lengths is None else lengths) - self.size + 1
            start = (uniform(()) * torch.as_tensor(room, device=device).clamp_min(1)).long()
            index = start.unsqueeze(1) + places[: self.size]
        else:  # those that are there, in a random order, and then the others
            u = uniform((total,))
            index = (u if lengths is None else u + (places >= lengths.unsqueeze(1))).argsort(1)[:, : self.size]
        picked = {}
        for key in self.chosen:
            value = batch[key]
            picked[key] = value.gather(
                1, index.reshape(*index.shape, *[1] * (value.dim() - 2)).expand(-1, -1, *value.shape[2:])
            )
        if lengths is not None:
            picked[LENGTHS] = lengths.clamp_max(self.size)
        return {**batch, **picked}


def _choose(data: Data, kind: str, size: int | None) -> Data:
    spec = data.spec
    if len(spec.shape) < 2:
        raise DataError(f"{spec.name}: x has shape {spec.shape}; {kind} are of x (T, ...), steps or points one after another.")
    total = spec.shape[0]
    size = total if size is None else size
    if type(size) is not int or not 1 <= size <= total:
        raise OptionError(f"size is {size!r}; expected a whole number from 1 to {total}, the length of x.")
    chosen = [spec.main, *(key for key, known in spec.keys.items() if key != spec.main and known.shape[:1] == (total,))]
    change = _Chosen(kind, size, tuple(chosen))
    made = each_part(data, lambda part, _: part.with_(transforms=(*part.transforms, change)))
    mean = spec.mean
    if mean is not None:  # whatever the place, as any entry may come there
        mean = mean.mean(0, keepdim=True).expand(size, *mean.shape[1:])
    keys = {
        key: replace(known, shape=(size, *known.shape[1:]), is_set=known.is_set or kind == "subsets")
        for key, known in ((key, spec.keys[key]) for key in chosen)
    }
    spec = replace(spec.with_keys(keys), mean=mean)
    parts = {name: part and part.with_(spec=spec) for name, part in made.parts().items()}
    return replace(made, spec=spec, **parts)


@enter("windows")
def windows(data: Data, *, size: int) -> Data:
    """``size`` steps of each sequence, beginning at a random one, (B, size, ...); ``lengths`` are cut to them.

    Sequences that are shorter begin at their first step. Windows are new in every epoch; outside of training they are a
    function of the row.

    Args:
        data: x (T, ...), and ``lengths`` where sequences end before T.
        size: steps of a window.
    """
    return _choose(data, "windows", size)


@enter("subsets")
def subsets(data: Data, *, size: int) -> Data:
    """``size`` points of each set without repetition, in a random order, (B, size, ...); ``lengths`` are cut to them.

    New in every epoch; outside of training a function of the row.

    Args:
        data: sets x (T, ...) of points, those from ``lengths`` on none.
        size: points of a subset.
    """
    return _choose(data, "subsets", size)


@enter("shuffle")
def shuffle(data: Data) -> Data:
    """The points of each set in a random order, (B, T, ...), those that there are before the others.

    New in every epoch; outside of training a function of the row.

    Args:
        data: sets x (T, ...) of points, those from ``lengths`` on none.
    """
    return _choose(data, "subsets", None)


@dataclass(frozen=True)
class _Ragged:
    """How many of the items of each set there are, drawn uniformly."""

    least: int
    keys: tuple[str, ...] = (LENGTHS,)

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        size = batch["x"].shape[1]
        return {**batch, LENGTHS: self.least + (uniform(()) * (size - self.least + 1)).long()}


@enter("ragged")
def ragged(data: Data, *, least: int = 1) -> Data:
    """Sets of ``least`` to T items, the others padding: ``lengths`` (B,), drawn uniformly.

    New in every epoch; outside of training a function of the row. Items should be in a random order, as those of groups are.

    Args:
        data: sets x (T, ...) of items, as by transform ``groups``.
        least: of the items of a set.

    >>> from pyrovae.data import load
    >>> batch = next(load("digits", transforms=["groups:size=4", "ragged:least=2"]).train.batches(500))
    >>> tuple(batch["x"].shape), batch["lengths"].unique().tolist()
    ((500, 4, 8, 8), [2, 3, 4])
    """
    spec = data.spec
    if len(spec.shape) < 2 or LENGTHS in spec.keys:
        raise DataError(f"{spec.name}: ragged are sets x (T, ...) without lengths; x has shape {spec.shape}.")
    if least > spec.shape[0]:
        raise OptionError(f"least is {least}; expected at most {spec.shape[0]}, the items of a set.")
    change = _Ragged(least)
    made = each_part(data, lambda part, _: part.with_(transforms=(*part.transforms, change)))
    spec = spec.with_keys({LENGTHS: KeySpec((), "count")})
    parts = {name: part and part.with_(spec=spec) for name, part in made.parts().items()}
    return replace(made, spec=spec, **parts)
