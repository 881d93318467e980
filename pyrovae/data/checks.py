"""What the values of x and y are, found in one pass over chunks, so that files of any size can be checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pyrovae.data.store import Store
from pyrovae.errors import DataError

__all__ = ["Scan", "check_labels", "scan"]

_CHUNK_VALUES = 2**22


@dataclass
class Scan:
    """What has been seen of a data set so far; ``where`` (file, key or split) begins the messages."""

    where: str
    shape: tuple[int, ...] | None = None
    integer: bool = True
    binary: bool = True
    low: float = math.inf
    high: float = -math.inf
    classes: int | None = None
    rows: int = 0

    def add(self, batch: dict[str, Tensor]) -> None:
        """Take in the next rows: x (B, ...) and, where there are labels, y (B,)."""
        x = batch["x"]
        shape = tuple(x.shape[1:])
        if not shape:
            raise DataError(
                f"{self.where}: x has one number a row; expected an event, (N, D) or (N, H, W): reshape it "
                "to (N, 1) "
                '(labels are given as {"x": ..., "y": ...}, not as a tuple).'
            )
        if self.shape is None:
            self.shape = shape
        elif shape != self.shape:
            raise DataError(
                f"{self.where}: x has shape {shape} from row {self.rows} on but {self.shape} before; expected one shape."
            )
        if x.is_complex():
            raise DataError(f"{self.where}: x has dtype {x.dtype}; expected real numbers: split it into two channels.")
        if x.is_floating_point():
            self.integer = False
            x = x.to(torch.float32)
            # A sum is finite only if each value is: one quick pass, and the search only on suspicion.
            if not torch.isfinite(x.sum()):
                self._refuse_non_finite(x)
        elif x.dtype == torch.bool:
            x = x.to(torch.uint8)
        if x.numel():
            low, high = (float(value) for value in torch.aminmax(x))
            self.low, self.high = min(self.low, low), max(self.high, high)
            # Only values between 0 and 1 can still be all zeros and ones; look closer only then.
            self.binary = self.binary and low >= 0 and high <= 1 and bool(((x == 0) | (x == 1)).all())
        if "y" in batch:
            largest = int(check_labels(batch["y"], self.where, self.rows).max()) + 1
            self.classes = max(self.classes or 0, largest)
        self.rows += len(x)

    def _refuse_non_finite(self, x: Tensor) -> None:
        bad = ~torch.isfinite(x.reshape(len(x), -1)).all(1)
        if bad.any():
            row = int(bad.nonzero()[0])
            raise DataError(
                f"{self.where}: x holds NaN, or a number too large for float32, first in row "
                f"{self.rows + row}; "
                "expected finite numbers: drop or fill such rows (missing values go in a mask)."
            )

    @property
    def kind(self) -> str:
        """ "binary", "levels", "unit" or "real"."""
        if self.binary:
            return "binary"
        if self.integer:
            return "levels" if self.low >= 0 and self.high <= 255 else "real"
        return "unit" if self.low >= 0 and self.high <= 1 else "real"

    def merge(self, other: Scan) -> Scan:
        """Both scans as one; refuses different shapes and labels in one part only."""
        if self.shape != other.shape:
            raise DataError(
                f"{other.where}: x has shape {other.shape} but {self.where} has {self.shape}; expected one "
                "shape: "
                "reshape one of them."
            )
        if (self.classes is None) != (other.classes is None):
            without, with_labels = (self, other) if self.classes is None else (other, self)
            raise DataError(
                f"{with_labels.where} has labels y but {without.where} has none; expected y in all parts or in none."
            )
        return Scan(
            self.where,
            self.shape,
            self.integer and other.integer,
            self.binary and other.binary,
            min(self.low, other.low),
            max(self.high, other.high),
            None if self.classes is None else max(self.classes, other.classes or 0),
            self.rows + other.rows,
        )


def check_labels(y: Tensor, where: str, first_row: int = 0) -> Tensor:
    """Labels (B,) as int64, -1 where there is none; refuses other negative numbers and fractions."""
    if y.ndim != 1:
        raise DataError(
            f"{where}: y has shape {tuple(y.shape)}; expected one label a row, (N,): give other targets another key, as 'c'."
        )
    labels = y.to(torch.int64)
    bad = (labels < -1) | (labels != y)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise DataError(
            f"{where}: y is {y[row].item()} in row {first_row + row}; expected whole numbers from 0 up, or "
            "-1 for an unknown label: give other targets another key, as 'c'."
        )
    return labels


def scan(store: Store, where: str) -> Scan:
    """Look at every row of a store once."""
    found = Scan(where)
    keys = [key for key in ("x", "y") if key in store.keys]
    first = store.take(torch.arange(1), ["x"])["x"]
    step = max(1, _CHUNK_VALUES // max(1, first[0].numel()))
    for start in range(0, len(store), step):
        found.add(store.take(torch.arange(start, min(start + step, len(store))), keys))
    return found
