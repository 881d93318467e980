"""Where rows lie: in memory, in a memory-mapped file, or behind a map-style Dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pyrovae.data.seeds import ITEMS, PrivateRandom
from pyrovae.errors import DataError

__all__ = ["Arrays", "Items", "Mapped", "Store", "as_column", "as_record", "tensor"]

CPU = torch.device("cpu")


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


def tensor(array: np.ndarray) -> Tensor:
    """A torch tensor of the same values, in the nearest dtype that torch computes with."""
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    elif array.dtype == np.longdouble and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    elif not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    # torch warns of memory that it cannot write, and cannot express negative strides.
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(np.asarray(array, order="C"))  # rows apart in memory gather 20 times slower


@dataclass(frozen=True)
class Mapped:
    """Rows of a memory-mapped array; a subset is an index array, never a copy of the data."""

    array: np.ndarray
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.array) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        return (len(self), *self.array.shape[1:])

    def take(self, rows: Tensor) -> Tensor:
        """A new tensor (B, ...) for row numbers (B,)."""
        wanted = rows.cpu().numpy()
        return tensor(np.asarray(self.array[wanted if self.rows is None else self.rows[wanted]]))

    def subset(self, rows: Tensor) -> Mapped:
        """The given rows (M,)."""
        wanted = rows.cpu().numpy()
        return replace(self, rows=wanted if self.rows is None else self.rows[wanted])


def as_column(value: Any, where: str) -> Tensor | Mapped:
    """A tensor, array or memory map as a column (N, ...); refuses what is not numeric or has no rows."""
    if isinstance(value, Tensor):
        column: Tensor | Mapped = value.detach().contiguous()
        numeric = not value.dtype.is_complex and not value.is_sparse
    elif isinstance(value, np.ndarray):
        numeric = value.dtype.kind in "buif"
        column = Mapped(value) if isinstance(value, np.memmap) else tensor(value) if numeric else torch.empty(0)
    else:
        raise DataError(
            f"{where} is a {type(value).__name__}; expected a numpy array or a torch tensor: convert it with numpy.asarray."
        )
    if not numeric:
        raise DataError(
            f"{where} has dtype {value.dtype}; expected dense numbers (bool, integer or float): convert it with astype."
        )
    if value.ndim == 0:
        raise DataError(f"{where} has shape (), a single number; expected rows along the first axis, (N, ...).")
    if 0 in value.shape:
        raise DataError(f"{where} is empty, of shape {tuple(value.shape)}; expected at least one row and one value.")
    return column


@dataclass(frozen=True)
class Arrays:
    """Columns of equal length, in memory on ``device`` or memory-mapped; batches are on ``device``."""

    columns: Mapping[str, Tensor | Mapped]
    device: torch.device = CPU

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str) -> Arrays:
        """Check a dict of arrays {"x": (N, ...), ...}; ``where`` begins the messages."""
        if "x" not in values:
            raise DataError(
                f"{where} has the keys {', '.join(map(repr, values)) or '(none)'}; expected 'x' among them: rename one."
            )
        if "index" in values:
            raise DataError(f"{where} has the key 'index', which is kept for row numbers; expected another name for it.")
        columns = {key: as_column(value, f"{where}, key {key!r},") for key, value in values.items()}
        rows = len(columns["x"])
        for key, column in columns.items():
            if len(column) != rows:
                raise DataError(
                    f"{where} has {rows} rows of x but {len(column)} of {key}; expected as many of each: cut the longer one."
                )
        return cls(columns)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return len(self.columns["x"])

    def take(self, rows: Tensor, keys: Iterable[str] | None = None, seed: int = 0) -> dict[str, Tensor]:
        """New tensors (B, ...) of the keys for row numbers (B,); ``seed`` is for random items."""
        taken = {}
        for key in self.keys if keys is None else keys:
            column = self.columns[key]
            if isinstance(column, Tensor):
                taken[key] = column.index_select(0, rows.to(column.device))
            else:
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
        moved = {key: column.to(device) if isinstance(column, Tensor) else column for key, column in self.columns.items()}
        return Arrays(moved, device)


def as_record(item: Any, where: str) -> dict[str, Any]:
    """One item or batch as a dict: dicts stay, a tensor is x, a tuple is (x,) or (x, y)."""
    if isinstance(item, Mapping):
        record = dict(item)
    elif isinstance(item, (tuple, list)) and 1 <= len(item) <= 2:
        record = dict(zip(("x", "y"), item, strict=False))
    else:
        record = {"x": item}
    numeric = isinstance(record.get("x"), (Tensor, np.ndarray, np.number))
    if not numeric:
        came = type(record["x"]).__name__ if "x" in record else f"a dict with the keys {list(record)}"
        raise DataError(
            f"{where} holds {came}; expected a tensor x, (x,), (x, y) or a dict with 'x': convert it in the Dataset."
        )
    return record


@dataclass(frozen=True)
class Items:
    """Rows of a map-style Dataset, gathered item by item; random transforms draw from a private stream."""

    dataset: Dataset[Any]
    rows: Tensor
    keys: tuple[str, ...]
    device: torch.device = CPU

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
        return {
            key: _stack([record.get(key) for record in records], key, numbers).to(self.device)
            for key in (self.keys if keys is None else keys)
        }

    def subset(self, rows: Tensor) -> Items:
        """The store of the given rows (M,)."""
        return replace(self, rows=self.rows[rows.cpu()])

    def to(self, device: torch.device) -> Items:
        """The same store with its batches on ``device``."""
        return replace(self, device=device)


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
