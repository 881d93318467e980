"""Data with known factors: x as a function of F whole numbers, each combination of which is one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pyrovae.data.columns import Lazy, tensor
from pyrovae.errors import DataError, nearest

__all__ = ["Drawn", "Factors", "Packed"]

PACKED_ROWS = 4096  # that are drawn at once


class Factors(Protocol):
    """Data x = images(v) of factors v = (v_1, ..., v_F), v_k in 0..sizes[k] - 1; a data set of one's own derives from it.

        index(v) = sum_k v_k prod_{l > k} sizes[l]        (the first factor is the slowest)

    Attributes:
        names: of the factors, which are the keys of the data set beside x.
        sizes: how many values each factor has.
        nominal: those of the names whose values have no order.

    >>> class Bars(Factors):
    ...     names, sizes = ("row", "grey"), (4, 3)
    ...     def images(self, factors):
    ...         return (np.arange(4) == factors[:, :1]) * (100 * factors[:, 1:] + 50).astype(np.uint8)
    >>> Bars().factors(np.array([11])), Bars().columns()["x"].take(Tensor([4, 5]).long())
    (array([[3, 2]]), tensor([[  0, 150,   0,   0],
            [  0, 250,   0,   0]], dtype=torch.uint8))
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    nominal: tuple[str, ...] = ()

    def images(self, factors: np.ndarray) -> np.ndarray:
        """x, (B, *shape), at values of the factors, (B, F)."""
        ...

    def __len__(self) -> int:
        return int(np.prod(self.sizes))

    def index(self, factors: np.ndarray) -> np.ndarray:
        """Row numbers, (B,), of values of the factors, (B, F)."""
        factors = np.asarray(factors)
        if factors.ndim != 2 or factors.shape[1] != len(self.sizes) or factors.dtype.kind not in "iu":
            raise DataError(
                f"factors came as {factors.dtype} of shape {factors.shape}; expected whole numbers (B, {len(self.sizes)}), a "
                f"column for each of {', '.join(self.names)}."
            )
        for name, size, values in zip(self.names, self.sizes, factors.T, strict=True):
            self._check(name, size, values)
        return np.ravel_multi_index(tuple(factors.T), self.sizes)

    def factors(self, index: np.ndarray) -> np.ndarray:
        """Values of the factors, (B, F), of row numbers (B,)."""
        self._check("index", len(self), np.asarray(index))
        return np.stack(np.unravel_index(index, self.sizes), -1)

    def draw(self, num: int, rng: np.random.Generator, fixed: Mapping[str, int] | None = None) -> np.ndarray:
        """Values of the factors, (num, F), uniform and independent, but for those that are held ``fixed``."""
        values = rng.integers(0, self.sizes, (num, len(self.sizes)))
        for name, value in (fixed or {}).items():
            if name not in self.names:
                raise nearest("factor", name, self.names)
            place = self.names.index(name)
            self._check(name, self.sizes[place], np.asarray(value))
            values[:, place] = value
        return values

    def columns(self, packed: bool = False) -> dict[str, Any]:
        """All rows as keys of a data set: x, drawn when a batch is made of it, and each factor, (N,).

        Args:
            packed: draw all rows now and keep them, a bit a value (x of 0 and 1 alone).
        """
        values = self.factors(np.arange(len(self))).astype(np.uint8 if max(self.sizes) <= 256 else np.int64)
        x = Packed.of(self) if packed else Drawn(source=self)
        return {"x": x, **dict(zip(self.names, values.T.copy(), strict=True))}

    def kinds(self) -> dict[str, str]:
        """The kinds of the factors' keys: ``category``, or ``ordinal`` where the order counts."""
        each = zip(self.names, self.sizes, strict=True)
        return {name: f"{'category' if name in self.nominal else 'ordinal'}:{size}" for name, size in each}

    def _check(self, name: str, size: int, values: np.ndarray) -> None:
        if values.dtype.kind not in "iu" or (values.size and not 0 <= values.min() <= values.max() < size):
            came = f"from {values.min()} to {values.max()}" if values.size else "none"
            raise DataError(f"{name} holds {values.dtype} {came}; expected whole numbers 0..{size - 1}.")


@dataclass(frozen=True, kw_only=True)
class Drawn(Lazy):
    """Rows that are drawn from their factors in each batch; a look at some tells what all of them are."""

    source: Factors
    looked_at = 256

    def _all(self) -> int:
        return len(self.source)

    def _values(self, rows: np.ndarray) -> Tensor:
        return tensor(self.source.images(self.source.factors(rows)))


@dataclass(frozen=True, kw_only=True)
class Packed(Lazy):
    """Rows of 0 and 1, eight to a byte, which on a GPU lie there."""

    bits: np.ndarray | Tensor
    shape: Sequence[int]
    looked_at = 256

    @classmethod
    def of(cls, source: Factors) -> Packed:
        """All rows of a data set."""
        starts = range(0, len(source), PACKED_ROWS)
        bits = []
        for start in starts:
            x = source.images(source.factors(np.arange(start, min(start + PACKED_ROWS, len(source)))))
            if x.min() < 0 or x.max() > 1 or x.dtype.kind not in "bui":
                raise DataError(
                    f"x holds {x.dtype} from {x.min()} to {x.max()}; expected 0 and 1 alone to pack: leave it unpacked."
                )
            bits.append(np.packbits(x.reshape(len(x), -1), axis=1))
        return cls(bits=np.concatenate(bits), shape=x.shape[1:])

    def _all(self) -> int:
        return len(self.bits)

    def to(self, device: torch.device) -> Packed:
        """The same rows, unpacked on the device."""
        if device.type == "cpu":
            bits = self.bits.cpu().numpy() if isinstance(self.bits, Tensor) else self.bits
            return replace(self, bits=bits)
        return replace(self, bits=torch.as_tensor(self.bits, device=device))

    def _values(self, rows: np.ndarray) -> Tensor:
        size = int(np.prod(self.shape))
        if isinstance(self.bits, np.ndarray):
            return tensor(np.unpackbits(self.bits[rows], axis=1, count=size).reshape(len(rows), *self.shape))
        device = self.bits.device
        packed = self.bits[torch.as_tensor(rows, device=device)].unsqueeze(-1)
        values = (packed >> torch.arange(7, -1, -1, dtype=torch.uint8, device=device)) & 1
        return values.flatten(1)[:, :size].unflatten(1, tuple(self.shape))
