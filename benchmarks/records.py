"""Benchmarks whose cells are lines of JSON: what stands in the file is not run again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyrovae as pv

__all__ = ["Records", "finished"]

Row = dict[str, Any]


class Records:
    """The rows of a file of JSON lines, to which cells are added as they are done.

    Args:
        path: the file; it need not be there.
        silent: names that are written, but not printed.
    """

    def __init__(self, path: str | Path, silent: tuple[str, ...] = ()) -> None:
        self.path, self.silent = Path(path), silent
        self.rows: list[Row] = [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def cell(self, key: Mapping[str, Any], make: Callable[[], Row]) -> Row:
        """The row that has all of ``key``; if there is none, what ``make`` returns is added to the key and written."""
        for row in self.rows:
            if key.items() <= row.items():
                return row
        row = {**key, **make()}
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        print(json.dumps({name: value for name, value in row.items() if name not in self.silent}), flush=True)
        return row


def finished(run: pv.Run) -> pv.Run:
    """The run, if it was trained to its end; what was stopped by a signal makes no cell."""
    if run.unfinished:
        raise SystemExit("Stopped in the middle of a cell, which is not written; the same command goes on with it.")
    return run
