"""One part of a data set (train, valid or test), and the batches made of it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pyrovae.data.columns import Sparse
from pyrovae.data.grey import Grey
from pyrovae.data.seeds import BINARIZE, ITEMS, MASKS, ORDER, frozen_noise, generator, mix
from pyrovae.data.spec import DataSpec, KeySpec
from pyrovae.data.store import Arrays, Items, Store
from pyrovae.errors import DataError

__all__ = ["RowTransform", "Split", "Uniform", "check_count", "hash_columns", "in_batch"]

Uniform = Callable[[tuple[int, ...]], Tensor]

_HASHED_ROWS = 256
_DRAWN_ROWS = 4096


class RowTransform(Protocol):
    """What is done to each batch last: masks, conditions; a function of the rows and of seeded noise.

    ``uniform(shape)`` gives (B, *shape) numbers in [0, 1), new ones each epoch, or in fixed rows always the same.
    """

    keys: tuple[str, ...]

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        """The batch changed."""
        ...


class Split:
    """N rows, given as batches {"x": (B, *shape), "y": (B,), "index": (B,) int64, ...}, each key as the spec says.

    ``index`` is the row number within this split, so ``split[batch["index"]]`` finds the rows again. No method uses or
    disturbs the global random numbers.

    Args:
        store: the raw rows.
        spec: what each key is.
        grey: how raw values become x, or what else is the main key.
        seed: of the one draw that a dynamically binarized split shows outside :meth:`epoch`.
        index: the rows' numbers, (N,), where they are rows of another split; None numbers them from 0.
    """

    transforms: tuple[RowTransform, ...] = ()

    def __init__(
        self, store: Store, spec: DataSpec, grey: Grey | None = None, seed: int = 0, index: Tensor | None = None
    ) -> None:
        self.store = store
        self.spec = spec
        self.grey = grey or Grey()
        self.seed = seed
        self.index = index

    def __len__(self) -> int:
        return len(self.store)

    def __repr__(self) -> str:
        return f"Split({len(self):,} rows of {self.spec.name}; {', '.join(self.keys)})"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the rows: x, y where there are labels, and what rides along."""
        return tuple(dict.fromkeys([*self.store.keys, *(key for each in self.transforms for key in each.keys)]))

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self.store.device

    def __getitem__(self, rows: str | slice | Tensor | np.ndarray | list[int] | range) -> Any:
        """``split["x"]``: all rows of a key; ``split[rows]``: a batch (a dynamic x in its one draw)."""
        if isinstance(rows, str):
            if rows not in self.keys:
                raise DataError(f"split has no key {rows!r}; it has {', '.join(map(repr, self.keys))}.")
            alone = rows in self.store.keys and (rows not in ("x", "mask") or not self.transforms)
            return self._batch(torch.arange(len(self)), keys=(rows,) if alone else None)[rows]
        return self._batch(self._numbers(rows))

    def num_batches(self, batch_size: int) -> int:
        """ceil(N / batch_size): the last batch is short, not dropped."""
        return -(-len(self) // check_count("batch_size", batch_size, 1))

    def epoch(self, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[dict[str, Tensor]]:
        """Every row once, shuffled; batch number b is a pure function of (seed, epoch, b), whatever
        ``start`` is.

        Args:
            batch_size: B; the last batch may be shorter.
            seed: of the run.
            epoch: number of the epoch; each has its own order and its own draw of a dynamically binarized x.
            start: number of the first batch to give.

        >>> from pyrovae.data import as_split
        >>> split = as_split(torch.eye(5))
        >>> [len(batch["x"]) for batch in split.epoch(2, seed=0, epoch=0, start=1)]
        [2, 1]
        """
        count = self.num_batches(batch_size)
        check_count("start", start, 0)
        return self._shuffled(batch_size, seed, epoch, range(start, count))

    def _shuffled(self, batch_size: int, seed: int, epoch: int, numbers: range) -> Iterator[dict[str, Tensor]]:
        order = torch.randperm(len(self), generator=generator(seed, ORDER, epoch)).to(self.device)
        for number in numbers:
            yield self._batch(order[number * batch_size : (number + 1) * batch_size], draw=(seed, epoch, number))

    def batches(self, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """Every row once, in order; the same at each call."""
        check_count("batch_size", batch_size, 1)
        rows = torch.arange(len(self), device=self.device)
        return (self._batch(some) for some in rows.split(batch_size))

    def to(self, device: torch.device | str) -> Split:
        """The same split with in-memory rows, and all batches, on ``device``."""
        return self.with_(store=self.store.to(torch.device(device)))

    def with_(self, **changes: Any) -> Any:
        """The same split with other attributes."""
        changed = copy.copy(self)
        changed.__dict__.update(changes)
        return changed

    def subset(self, rows: slice | Tensor | np.ndarray | list[int] | range) -> Split:
        """The split of the given rows (numbered anew from 0)."""
        return self.with_(store=self.store.subset(self._numbers(rows)), index=None)

    def store_draw(self) -> Split:
        """The same split with the one draw (or threshold) of its x stored in memory, one byte a value."""
        parts = []
        for start in range(0, len(self), _DRAWN_ROWS):
            batch = self._batch(torch.arange(start, min(start + _DRAWN_ROWS, len(self))))
            main = self.spec.main
            parts.append({key: batch[key].to(torch.uint8) if key == main else batch[key] for key in self.store.keys})
        columns = {key: torch.cat([part[key] for part in parts]) for key in self.store.keys}
        return self.with_(store=Arrays(columns, self.device), grey=Grey())

    def fingerprint(self) -> str:
        """sha256 (hex) of the raw rows: of all that is in memory, of 256 evenly spaced rows otherwise."""
        digest = hashlib.sha256(repr(self.transforms).encode() if self.transforms else b"")
        spaced = torch.from_numpy(np.linspace(0, len(self) - 1, min(len(self), _HASHED_ROWS)).astype(np.int64))
        for key in self.store.keys:
            hash_columns(digest, self._raw(key, spaced), len(self))
        return digest.hexdigest()

    def _raw(self, key: str, spaced: Tensor) -> dict[str, Tensor]:
        """What a fingerprint reads of a key: all that lies in memory, or the raw values of some rows."""
        if isinstance(self.store, Items):
            return replace(self.store, read_keys={}).take(spaced, [key])
        column = self.store.columns[key]
        if isinstance(column, Sparse):
            return column.parts(key)
        return {key: column if isinstance(column, Tensor) else column.raw(spaced)}

    def _numbers(self, rows: slice | Tensor | np.ndarray | list[int] | range) -> Tensor:
        """Row numbers (B,) in 0..N-1."""
        if isinstance(rows, slice):
            return torch.arange(len(self))[rows] if (rows.step or 1) > 0 else torch.tensor(range(len(self))[rows])
        if not isinstance(rows, (Tensor, np.ndarray, list, range)):
            raise DataError(
                f"split[{rows!r}] asks for rows by a {type(rows).__name__}; expected a key, a slice, a "
                "list or an "
                "integer tensor: for one row write split[i:i + 1]."
            )
        numbers = torch.as_tensor(list(rows) if isinstance(rows, range) else rows)
        if numbers.dtype == torch.bool and numbers.shape == (len(self),):
            numbers = numbers.nonzero()[:, 0]
        numbers = numbers.to(torch.int64) if numbers.numel() == 0 else numbers
        if numbers.ndim != 1 or numbers.is_floating_point() or numbers.dtype == torch.bool:
            raise DataError(
                f"row numbers came as {numbers.dtype} of shape {tuple(numbers.shape)}; expected integers of shape (B,)."
            )
        numbers = numbers.to(torch.int64)
        numbers = torch.where(numbers < 0, numbers + len(self), numbers)
        if ((numbers < 0) | (numbers >= len(self))).any():
            raise DataError(f"a row number is outside the split; expected numbers in 0..{len(self) - 1}.")
        return numbers

    def _batch(
        self, rows: Tensor, draw: tuple[int, int, int] | None = None, keys: tuple[str, ...] | None = None
    ) -> dict[str, Tensor]:
        """The rows as a batch; ``draw`` is (seed, epoch, batch number), or None for the draw that stays."""
        batch = self.store.take(rows, keys, seed=mix(self.seed, ITEMS) if draw is None else mix(*draw))
        for key, raw in batch.items():
            batch[key] = self._drawn(raw, rows, draw) if key == self.spec.main else in_batch(raw, self.spec.keys.get(key))
        for number, transform in enumerate(self.transforms if keys is None else ()):
            batch = transform(batch, self._uniform(rows, draw, number))
        numbers = rows if self.index is None else self.index[rows.to(self.index.device)]
        batch["index"] = numbers.to(self.device)
        return batch

    def _uniform(self, rows: Tensor, draw: tuple[int, int, int] | None, number: int) -> Uniform:
        """Noise for transform number ``number``: of the batch in an epoch, of the rows outside."""
        if draw is None:
            return lambda shape: frozen_noise(rows, shape, None, mix(self.seed, MASKS, number)).to(self.device)
        seed, epoch, batch = draw
        source = generator(seed, MASKS, number, epoch, batch, device=self.device)
        return lambda shape: torch.rand(len(rows), *shape, generator=source, device=self.device)

    def _drawn(self, raw: Tensor, rows: Tensor, draw: tuple[int, int, int] | None) -> Tensor:
        """The main key of a batch, binarized where that is asked for."""
        if self.grey.binarize == "none":
            return in_batch(raw, self.spec.keys[self.spec.main])
        if self.grey.binarize == "threshold":
            return self.grey(raw)
        if draw is None:
            levels = None if raw.is_floating_point() else self.grey.levels
            return self.grey(raw, frozen_noise(rows, raw.shape[1:], levels, self.seed))
        seed, epoch, number = draw
        return self.grey(raw, generator(seed, BINARIZE, epoch, number, device=raw.device))


def in_batch(stored: Tensor, known: KeySpec | None) -> Tensor:
    """Stored values of a key as they are in a batch: integers of grey levels as k / (levels - 1), else in the key's type."""
    if known is None:
        return stored
    if known.kind == "levels" and not stored.is_floating_point():
        return Grey(known.size)(stored)
    return stored.to(getattr(torch, known.dtype))


def hash_columns(digest: Any, columns: dict[str, Tensor], rows: int) -> None:
    """Add names, dtypes, shapes and bytes to a hashlib digest."""
    for key, values in columns.items():
        digest.update(f"{key} {rows} {values.dtype} {tuple(values.shape)};".encode())
        values = values.detach().cpu().contiguous()
        if values.numel():  # viewed as bytes: numpy has no bfloat16
            digest.update(values.reshape(-1).view(torch.uint8).numpy())


def check_count(option: str, value: int, least: int) -> int:
    """The value if it is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise DataError(f"{option} is {value!r}; expected an integer of at least {least}.")
    return int(value)
