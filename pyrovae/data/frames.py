"""Rows of a table as a DataFrame, in the user's columns, names and units."""

from __future__ import annotations

import numpy as np
import pandas
from torch import Tensor

from pyrovae.data.changes import columns_of, user_values
from pyrovae.data.spec import DataSpec
from pyrovae.errors import DataError

__all__ = ["as_frame"]


def as_frame(x: Tensor, spec: DataSpec, mask: Tensor | None = None) -> pandas.DataFrame:
    """Rows x, (N, D), of a table as a DataFrame: changes taken back, classes by their labels, counts as whole numbers.

    Args:
        x: as batches have it.
        spec: of the data.
        mask: (N, D), 0 where a value is missing, which the frame shows as missing; None where none is.

    Raises:
        DataError: x is no table of the spec.

    >>> from pyrovae.data.spec import KeySpec
    >>> columns = {"pet": KeySpec((), "category", size=2, labels=("cat", "dog"))}
    >>> as_frame(Tensor([[1.0]]), DataSpec("toy", keys={"x": KeySpec((1,), "table", columns=columns)}))["pet"].tolist()
    ['dog']
    """
    columns = columns_of(spec)
    if x.dim() != 2 or x.shape[1] != len(columns):
        raise DataError(f"x has shape {tuple(x.shape)}; expected rows of {spec.name}'s columns, (N, {len(columns)}).")
    values = user_values(x, spec)
    frame = {}
    for i, (name, column) in enumerate(columns.items()):
        numbers = values[:, i].cpu().numpy()
        if column.size is not None and column.kind in ("category", "ordinal"):
            numbers = np.array(column.named(numbers.round().astype(int).tolist()), dtype=object)
        elif column.kind == "binary" or (column.kind == "count" and (numbers == numbers.round()).all()):
            numbers = numbers.round().astype(np.int64)
        series = pandas.Series(numbers)
        frame[name] = series if mask is None else series.where(mask[:, i].bool().cpu().numpy())
    return pandas.DataFrame(frame)
