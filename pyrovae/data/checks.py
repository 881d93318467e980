"""What the values of a key are, found in one pass over chunks, so that data of any size can be looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pyrovae.data.columns import Table, Text
from pyrovae.data.store import Arrays, Store
from pyrovae.errors import DataError

__all__ = ["Scan", "merge_scans", "scan"]

_CHUNK_VALUES = 2**22
MOST_LABELS = 10_000  # beyond which a key's distinct values are not kept
EXACT_IN_FLOAT32 = 2**24  # up to which float32 tells all whole numbers apart
LOST_SHARE = 1e-3  # of a standard deviation that float32 may round away


@dataclass
class Spread:
    """Sums by which the rounding error of float32 is held against the standard deviation, for each value of a datum."""

    first: Tensor
    total: Tensor
    squares: Tensor
    errors: Tensor
    rows: int = 0

    def lost(self) -> bool:
        """Whether float32 rounds away more than a thousandth of a standard deviation."""
        mean = self.total / self.rows
        deviation = (self.squares / self.rows - mean**2).clamp_min(0).sqrt()
        error = (self.errors / self.rows).sqrt()
        real = deviation > 1e-12 * (self.first + mean).abs()  # not the rounding of float64 itself
        return bool((real & (error > LOST_SHARE * deviation)).any())


@dataclass
class Scan:
    """What has been seen of a key so far.

    Attributes:
        where: file, name or part, which begins messages.
        key: its name.
        types: of "bool", "uint8", "integer", "float", "text" those that came.
        low, high: of all values.
        binary, whole: whether all are 0 or 1, or whole numbers.
        one_hot: whether each row, (C,), has one 1 and else 0.
        labels: the distinct values of a key that may be one of classes; None where nobody asked, or there are too many.
        order: of labels, where the user gave one that counts.
        columns: of a table, each column's own.
    """

    where: str
    key: str
    shape: tuple[int, ...] | None = None
    types: set[str] = field(default_factory=set)
    low: float = math.inf
    high: float = -math.inf
    binary: bool = True
    whole: bool = True
    one_hot: bool = True
    labels: set[Any] | None = None
    order: tuple[Any, ...] | None = None
    spread: Spread | None = None
    rows: int = 0
    columns: dict[str, Scan] = field(default_factory=dict)

    @property
    def integer(self) -> bool:
        """Whether all values came as integers or bool."""
        return bool(self.types) and not self.types & {"float", "text"}

    def add(self, values: Tensor) -> None:
        """Take in the next rows, (B, ...)."""
        shape = tuple(values.shape[1:])
        if self.shape is None:
            self.shape = shape
        elif shape != self.shape:
            raise DataError(
                f"{self.where}: {self.key} has shape {shape} from row {self.rows} on but {self.shape} before; expected one "
                "shape."
            )
        if values.is_complex():
            raise DataError(f"{self.where}: {self.key} has dtype {values.dtype}; expected real numbers, without i.")
        self.types.add(_type(values))
        if values.dtype == torch.bool:
            values = values.to(torch.uint8)
        if values.is_floating_point():
            self._add_floats(values)
        elif values.numel():
            self._add_range(values)
            if self.high > EXACT_IN_FLOAT32 or self.low < -EXACT_IN_FLOAT32:
                self._add_spread(values.to(torch.float64))
        self.rows += len(values)

    def _add_floats(self, values: Tensor) -> None:
        # A sum is finite only if each value is: one quick pass, and the search only on suspicion.
        small = values.to(torch.float32)
        if not torch.isfinite(small.sum()):
            bad = ~torch.isfinite(small.reshape(len(small), -1)).all(1)
            if bad.any():
                self._refuse_non_finite(int(bad.nonzero()[0]))
        if values.numel():
            self._add_range(small)
            self.whole = self.whole and bool((small == small.round()).all())
            if (values.dtype == torch.float64 and not self.whole) or (
                values.dtype == torch.float64 and max(abs(self.low), abs(self.high)) > EXACT_IN_FLOAT32
            ):
                self._add_spread(values)

    def _refuse_non_finite(self, row: int) -> None:
        raise DataError(
            f"{self.where}: {self.key} holds NaN, or a number too large for float32, first in row {self.rows + row}; expected "
            "finite numbers: drop or fill such rows, or load with missing='mask' to leave out what x misses."
        )

    def _add_range(self, values: Tensor) -> None:
        low, high = (float(value) for value in torch.aminmax(values))
        self.low, self.high = min(self.low, low), max(self.high, high)
        # Only values between 0 and 1 can still be all zeros and ones; look closer only then.
        self.binary = self.binary and low >= 0 and high <= 1 and bool(((values == 0) | (values == 1)).all())
        one_hot = self.one_hot and self.binary and values.dim() == 2 and values.shape[1] > 1
        self.one_hot = one_hot and bool((values.sum(1) == 1).all())
        if self.labels is not None and not values.is_floating_point():
            self.labels |= set(values.unique().tolist())
            self.labels = self.labels if len(self.labels) <= MOST_LABELS else None

    def _add_spread(self, values: Tensor) -> None:
        if self.spread is None:
            zero = torch.zeros(values.shape[1:], dtype=torch.float64, device=values.device)
            self.spread = Spread(values[0].clone(), zero, zero.clone(), zero.clone())
        centred, errors = values - self.spread.first, values - values.to(torch.float32)
        self.spread.total = self.spread.total + centred.sum(0)
        self.spread.squares = self.spread.squares + (centred**2).sum(0)
        self.spread.errors = self.spread.errors + (errors**2).sum(0)
        self.spread.rows += len(values)

    def add_text(self, column: Text) -> None:
        """Take in names, (B,)."""
        self.types.add("text")
        self.shape, self.binary, self.whole, self.one_hot = column.values.shape[1:], False, False, False
        names = [each for each in column.values.ravel().tolist() if each is not None]
        if odd := [each for each in names if not isinstance(each, (str, int, float))]:
            raise DataError(f"{self.where}: {self.key} holds {type(odd[0]).__name__} as a name; expected strings or numbers.")
        self.labels = (self.labels or set()) | set(names)
        self.order = column.order
        self.rows += len(column)

    def add_table(self, table: Table) -> None:
        """Take in a table's columns."""
        self.shape = (len(table.columns),)
        for name, column in table.columns.items():
            self.columns[name] = scan_column(column, self.where, name, labels=True)
        self.rows += len(table)


def _type(values: Tensor) -> str:
    if values.is_floating_point():
        return "float"
    return {torch.bool: "bool", torch.uint8: "uint8"}.get(values.dtype, "integer")


def scan_column(column: Any, where: str, key: str, labels: bool) -> Scan:
    """Look at every row of a column in memory."""
    found = Scan(where, key, labels=set() if labels else None)
    if isinstance(column, Text):
        found.add_text(column)
    elif isinstance(column, Table):
        found.add_table(column)
    else:
        step = max(1, _CHUNK_VALUES // max(1, column[:1].numel()))
        for rows in column.split(step):
            found.add(rows)
    return found


def scan(store: Store, where: str, classes: Iterable[str] = ("y",), keys: Iterable[str] | None = None) -> dict[str, Scan]:
    """Look at every row of a store once; of ``classes`` the distinct values are kept."""
    columns = store.columns if isinstance(store, Arrays) else {}
    wanted = store.keys if keys is None else tuple(keys)
    found: dict[str, Scan] = {}
    taken = []
    for key in wanted:
        if isinstance(columns.get(key), (Tensor, Text, Table)):
            found[key] = scan_column(columns[key], where, key, key in classes)
        else:
            found[key] = Scan(where, key, labels=set() if key in classes else None)
            if (some := getattr(columns.get(key), "looked_at", None)) is not None and some < len(store):
                found[key].add(store.take(torch.linspace(0, len(store) - 1, some).long(), [key])[key])
            else:
                taken.append(key)
    if taken:
        first = store.take(torch.arange(1), taken)
        step = max(1, _CHUNK_VALUES // max(1, sum(value.numel() for value in first.values())))
        for start in range(0, len(store), step):
            for key, values in store.take(torch.arange(start, min(start + step, len(store))), taken).items():
                found[key].add(values)
    return found


def merge_scans(one: Scan, other: Scan) -> Scan:
    """Two parts' scans of a key as one; refuses different shapes, and integers that would be scaled beside floats."""
    if one.shape != other.shape:
        hint = ' (labels are given as {"x": ..., "y": ...}, not as a tuple)' if () in (one.shape, other.shape) else ""
        raise DataError(
            f"{other.where}: {other.key} has shape {other.shape} but {one.where} has {one.shape}; expected one shape: reshape "
            f"one of them{hint}."
        )
    for left, right in ((one, other), (other, one)):
        scaled = "uint8" in left.types and left.high > 1 and not right.integer
        if scaled and not left.columns:
            raise DataError(
                f"{one.key} of {left.where} is uint8 of {left.low:g}..{left.high:g}, of {right.where} floats of "
                f"{right.low:g}..{right.high:g}: parts of two scales; give all as uint8, or divide the integers by 255."
            )
    if one.columns.keys() != other.columns.keys():
        raise DataError(f"{other.where} has the columns {', '.join(other.columns)}; expected {', '.join(one.columns)}.")
    labels = None if one.labels is None or other.labels is None else one.labels | other.labels
    spread = one.spread if one.spread is not None and (other.spread is None or one.spread.lost()) else other.spread
    return Scan(
        one.where,
        one.key,
        one.shape,
        one.types | other.types,
        min(one.low, other.low),
        max(one.high, other.high),
        one.binary and other.binary,
        one.whole and other.whole,
        one.one_hot and other.one_hot,
        labels,
        one.order or other.order,
        spread,
        one.rows + other.rows,
        {name: merge_scans(column, other.columns[name]) for name, column in one.columns.items()},
    )
