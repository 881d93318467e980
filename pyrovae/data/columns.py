"""Columns of rows as they lie with the user: tensors, memory maps, sparse matrices, text, tables of a DataFrame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas
import scipy.sparse
import torch
from torch import Tensor

from pyrovae.errors import DataError

__all__ = ["Column", "Lazy", "Mapped", "Sparse", "Table", "Text", "as_column", "tensor"]


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
class Lazy:
    """Rows that stay as they are until a batch is made of some; a subset is an index, never a copy of the data.

    Attributes:
        rows: numbers of the rows that are meant; None for all.
        read: what is made of raw values in each batch.
        looked_at: how many rows tell what all of them are; None for all.
    """

    rows: np.ndarray | None = None
    read: Callable[[Tensor], Tensor] | None = None
    looked_at: ClassVar[int | None] = None

    def __len__(self) -> int:
        return self._all() if self.rows is None else len(self.rows)

    def take(self, rows: Tensor) -> Tensor:
        """A new tensor (B, ...) for row numbers (B,)."""
        values = self.raw(rows)
        return values if self.read is None else self.read(values)

    def raw(self, rows: Tensor) -> Tensor:
        """The values as they lie with the user."""
        wanted = rows.cpu().numpy()
        return self._values(wanted if self.rows is None else self.rows[wanted])

    def subset(self, rows: Tensor) -> Any:
        """The given rows (M,)."""
        wanted = rows.cpu().numpy()
        return replace(self, rows=wanted if self.rows is None else self.rows[wanted])

    def to(self, device: torch.device) -> Lazy:
        """The same rows, of which batches alone go to the device."""
        return self

    def _all(self) -> int:
        raise NotImplementedError

    def _values(self, rows: np.ndarray) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Mapped(Lazy):
    """Rows of a memory-mapped array."""

    array: np.ndarray

    def _all(self) -> int:
        return len(self.array)

    def _values(self, rows: np.ndarray) -> Tensor:
        return tensor(np.asarray(self.array[rows]))


@dataclass(frozen=True, kw_only=True)
class Sparse(Lazy):
    """Rows of a sparse matrix (N, D), dense in the batch alone."""

    matrix: Any

    def _all(self) -> int:
        return self.matrix.shape[0]

    def _values(self, rows: np.ndarray) -> Tensor:
        return tensor(self.matrix[rows].toarray())

    def parts(self, key: str) -> dict[str, Tensor]:
        """The arrays that hold the rows, for a fingerprint."""
        matrix = self.matrix if self.rows is None else self.matrix[self.rows]
        return {f"{key}.{name}": tensor(getattr(matrix, name)) for name in ("data", "indices", "indptr")}


@dataclass(frozen=True)
class Text:
    """Rows of strings, or of what else is compared by name; None where there is none.

    Attributes:
        values: (N,) of objects.
        order: the labels in an order that counts, where the user gave one.
    """

    values: np.ndarray
    order: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def subset(self, rows: Tensor) -> Text:
        """The given rows (M,)."""
        return replace(self, values=self.values[rows.cpu().numpy()])

    @classmethod
    def of(cls, values: Any, where: str = "a column") -> Text:
        """Of a sequence of names; NaN, NaT and NA are none."""
        array = np.asarray(values, dtype=object)
        made = np.empty(array.shape, dtype=object)
        for place, value in enumerate(array.flat):
            made.flat[place] = value.item() if isinstance(value, np.generic) else value
            if isinstance(value, (list, tuple, np.ndarray)):
                raise DataError(
                    f"{where} has rows of {type(value).__name__}s; expected a number or a name in each: give a column to each."
                )
        array = made
        return cls(np.where(pandas.isna(array), None, array))


@dataclass(frozen=True)
class Table:
    """Columns of a DataFrame side by side."""

    columns: dict[str, Tensor | Text]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def subset(self, rows: Tensor) -> Table:
        """The given rows (M,)."""
        return Table({name: _subset(column, rows) for name, column in self.columns.items()})


Column = Tensor | Lazy | Text | Table


def _subset(column: Any, rows: Tensor) -> Any:
    return column[rows] if isinstance(column, Tensor) else column.subset(rows)


def as_column(value: Any, where: str) -> Column:
    """A tensor, array, memory map or sparse matrix as a column (N, ...); refuses what has no rows, or no numbers or names."""
    if isinstance(value, (Lazy, Text, Table)):
        column: Any = value
    elif isinstance(value, (list, tuple)) and value and all(isinstance(each, str) for each in value):
        column = Text.of(value, where)
    elif scipy.sparse.issparse(value):
        if value.dtype.kind not in "buif":
            raise DataError(f"{where} has dtype {value.dtype}; expected real numbers.")
        column = Sparse(matrix=value.tocsr())
    elif isinstance(value, Tensor):
        column = _of_tensor(value, where)
    elif isinstance(value, np.ndarray):
        column = _of_array(value, where)
    elif isinstance(value, pandas.Series):
        column = of_series(value, where)
    else:
        raise DataError(
            f"{where} is a {type(value).__name__}; expected a numpy array or a torch tensor: convert it with numpy.asarray."
        )
    shape = tuple(value.shape) if hasattr(value, "shape") else (len(column),)
    if shape == ():
        raise DataError(f"{where} has shape (), a single number; expected rows along the first axis, (N, ...).")
    if 0 in shape or not len(column):
        raise DataError(f"{where} is empty, of shape {shape}; expected at least one row and one value.")
    return column


def _of_tensor(value: Tensor, where: str) -> Tensor | Sparse:
    if value.dtype.is_complex:
        raise DataError(f"{where} has dtype {value.dtype}; expected real numbers: split a complex x into two channels.")
    if value.is_quantized or value.is_meta:
        raise DataError(
            f"{where} is a {'quantized' if value.is_quantized else 'meta'} tensor; expected values: dequantize() it."
        )
    if value.layout == torch.strided:
        return value.detach().contiguous()
    if value.dim() != 2:
        raise DataError(f"{where} is a sparse tensor of shape {tuple(value.shape)}; expected (N, D): call to_dense().")
    whole = value.detach().cpu().to_sparse_coo().coalesce()
    entries = whole.values().numpy(), tuple(whole.indices().numpy())
    return Sparse(matrix=scipy.sparse.coo_matrix(entries, shape=tuple(value.shape)).tocsr())


def _of_array(value: np.ndarray, where: str) -> Column:
    named = value.dtype.kind in "OUST" and value.ndim in (1, 2) and value.size
    if named and all(isinstance(each, str) or each is None for each in value.ravel().tolist()):
        return Text.of(value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value, where)
    if value.dtype.kind not in "buif":
        raise DataError(
            f"{where} has dtype {value.dtype}; expected dense numbers (bool, integer or float) or strings: convert it with "
            "astype; numbers of names are numpy.unique(..., return_inverse=True)[1], a sparse matrix is dense by .toarray()."
        )
    return Mapped(array=value) if isinstance(value, np.memmap) else tensor(np.asarray(value)) if value.ndim else torch.empty(0)


def of_series(series: pandas.Series, where: str) -> Tensor | Text:
    """A column of a DataFrame: numbers (NaN where one is missing), or names."""
    if isinstance(series.dtype, pandas.CategoricalDtype):
        order = tuple(series.cat.categories.tolist()) if series.cat.ordered else None
        return replace(Text.of(series, where), order=order)
    if pandas.api.types.is_numeric_dtype(series.dtype):
        numbers = series.astype("float64") if series.isna().any() else series
        return tensor(numbers.to_numpy(dtype=None if numbers.dtype.kind in "buif" else numbers.dtype.numpy_dtype))
    if pandas.api.types.is_datetime64_any_dtype(series.dtype) or pandas.api.types.is_timedelta64_dtype(series.dtype):
        raise DataError(f"{where} holds dates; expected numbers or names: make days of them, as in (t - t.min()).dt.days.")
    return Text.of(series, where)
