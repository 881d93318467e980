"""Work on many rows in passes of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from pyrovae.compile import Code
from pyrovae.core.program import batch_size

__all__ = ["ROWS_PER_PASS", "map_rows"]

ROWS_PER_PASS = 5000  # particles x data
Function = Callable[[Mapping[str, Tensor]], Any]


def map_rows(function: Function, batch: Mapping[str, Tensor], rows: int, compile: bool) -> Iterator[Any]:
    """The function's values on so many rows of a batch at a time; compiled, but for a last pass of fewer rows."""
    code = Code()
    for start in range(0, batch_size(batch), rows):
        part = {key: value[start : start + rows] for key, value in batch.items()}
        yield (code.get(function, part) if compile else function)(part)
