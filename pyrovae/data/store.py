"""Where rows lie: in memory, in a memory-mapped file, or behind a map-style Dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pyrovae.data.columns import Column, Lazy, as_column, tensor
from pyrovae.data.seeds import ITEMS, PrivateRandom
from pyrovae.errors import DataError

__all__ = ["Arrays", "Items", "Store", "as_record"]

CPU = torch.device("cpu")
NUMERIC = (Tensor, np.ndarray, np.number, int, float)


class Store(Protocol):
    """N rows of one or more keys."""

    keys: tuple[str, ...]
    device: torch.device

    def __len__(self) -> int: ...

    def take(self, rows: Tensor, keys: Iterable[str] | None = None, seed: int = 0) -> dict[str, Tensor]:
        """New tensors (B, ...) of the keys for row numbers (B,); ``seed`` is for random items."""

    def subset(self, rows: Tensor) -> Store:
        """The store of the given rows (M,)."""

    def to(self, device: torch.device) -> Store:
        """The same store with its batches on ``device``."""


@dataclass(frozen=True)
class Arrays:
    """Columns of equal length, in memory on ``device`` or memory-mapped; batches are on ``device``."""

    columns: Mapping[str, Column]
    device: torch.device = CPU

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str) -> Arrays:
        """Check a dict of columns {"x": (N, ...), ...}; ``where`` begins the messages."""
        if "index" in values:
            raise DataError(f"{where} has the key 'index', which is kept for row numbers; expected another name for it.")
        if not values:
            raise DataError(f"{where} holds no key; expected one at least, usually x.")
        columns = {key: as_column(value, f"{where}, key {key!r},") for key, value in values.items()}
        first, rows = next((key, len(column)) for key, column in columns.items())
        for key, column in columns.items():
            if len(column) != rows:
                raise DataError(
                    f"{where} has {rows} rows of {first} but {len(column)} of {key}; expected as many of each: cut the longer "
                    "one."
                )
        return cls(columns)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, rows: Tensor, keys: Iterable[str] | None = None, seed: int = 0) -> dict[str, Tensor]:
        """New tensors (B, ...) of the keys for row numbers (B,); ``seed`` is for random items."""
        taken = {}
        for key in self.keys if keys is None else keys:
            column = self.columns[key]
            if isinstance(column, Tensor):
                taken[key] = column.index_select(0, rows.to(column.device))
            else:
                assert isinstance(column, Lazy)  # text and tables are numbers once their kinds are known
                taken[key] = column.take(rows).to(self.device)
        return taken

    def subset(self, rows: Tensor) -> Arrays:
        """The store of the given rows (M,)."""
        taken = {
            key: column.index_select(0, rows.to(column.device)) if isinstance(column, Tensor) else column.subset(rows)
            for key, column in self.columns.items()
        }
        return replace(self, columns=taken)

    def to(self, device: torch.device) -> Arrays:
        """The same store with its tensors and batches on ``device``."""
        moved = {
            key: column.to(device) if isinstance(column, (Tensor, Lazy)) else column for key, column in self.columns.items()
        }
        return Arrays(moved, device)


def as_record(item: Any, where: str) -> dict[str, Any]:
    """One item or batch as a dict: dicts stay, a tensor is x, a tuple is (x,) or (x, y)."""
    if isinstance(item, Mapping):
        record = dict(item)
    elif isinstance(item, (tuple, list)) and 1 <= len(item) <= 2:
        record = dict(zip(("x", "y"), item, strict=False))
    else:
        record = {"x": item}
    if not record or not all(isinstance(value, NUMERIC) for value in record.values()):
        name, value = next(((k, v) for k, v in record.items() if not isinstance(v, NUMERIC)), ("x", None))
        raise DataError(
            f"{where} holds {type(value).__name__} as {name}; expected a tensor x, (x,), (x, y) or a dict of tensors: convert "
            "it in the Dataset (names of classes to their numbers)."
        )
    return record


@dataclass(frozen=True)
class Items:
    """Rows of a map-style Dataset, gathered item by item; random transforms draw from a private stream.

    Attributes:
        read_keys: key -> what is made of its raw values in each batch.
    """

    dataset: Dataset[Any]
    rows: Tensor
    keys: tuple[str, ...]
    device: torch.device = CPU
    read_keys: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    @classmethod
    def read(cls, dataset: Any, where: str) -> Items:
        """Wrap a map-style Dataset; its first item tells the keys."""
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise DataError(
                f"{where} is a {type(dataset).__name__} without len() or [i]; expected a map-style Dataset: "
                "wrap an iterable one in a DataLoader."
            )
        if len(dataset) == 0:
            raise DataError(f"{where} is an empty Dataset; expected at least one item.")
        with PrivateRandom(0, ITEMS):
            keys = tuple(as_record(dataset[0], f"{where}, item 0,"))
        if "index" in keys:
            raise DataError(f"{where} has the key 'index', which is kept for row numbers; expected another name for it.")
        return cls(dataset, torch.arange(len(dataset)), keys)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Tensor, keys: Iterable[str] | None = None, seed: int = 0) -> dict[str, Tensor]:
        """New tensors (B, ...) of the keys for row numbers (B,); ``seed`` is for random items."""
        numbers = self.rows[rows.cpu()].tolist()
        with PrivateRandom(seed, ITEMS):
            records = [as_record(self.dataset[number], f"item {number} of the Dataset") for number in numbers]
        taken = {}
        for key in self.keys if keys is None else keys:
            values = _stack([record.get(key) for record in records], key, numbers)
            taken[key] = self.read_keys.get(key, as_it_is)(values).to(self.device)
        return taken

    def subset(self, rows: Tensor) -> Items:
        """The store of the given rows (M,)."""
        return replace(self, rows=self.rows[rows.cpu()])

    def to(self, device: torch.device) -> Items:
        """The same store with its batches on ``device``."""
        return replace(self, device=device)


def as_it_is(values: Tensor) -> Tensor:
    """The values."""
    return values


def _stack(values: list[Any], key: str, numbers: list[int]) -> Tensor:
    """Stack one key of some items to (B, ...)."""
    try:
        return torch.stack([tensor(value) if isinstance(value, np.ndarray) else torch.as_tensor(value) for value in values])
    except (TypeError, ValueError, RuntimeError) as error:
        seen = {str(tuple(getattr(value, "shape", ()))) if value is not None else "nothing" for value in values}
        raise DataError(
            f"items {numbers[0]} to {numbers[-1]} of the Dataset have {key} of shapes "
            f"{', '.join(sorted(seen))}; "
            "expected numbers of one shape: pad or crop them in the Dataset."
        ) from error
