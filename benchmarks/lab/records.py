"""The one store of results: a JSON file of an entry's records, each the key of a cell and what was found.

{"entry": NAME, "records": [
{"key": {...}, "found": {...}, "date": "2026-11-26", "on": "processor, cores; versions"},
...
]}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.lab.machine import place
from pyrovae.errors import RunError
from pyrovae.files import read_json, write_whole

if TYPE_CHECKING:
    import pyrovae as pv

__all__ = ["Records", "Row", "finished"]

Row = dict[str, Any]


class Records:
    """An entry's records, written whole each time that one is added.

    Args:
        path: the file; it need not be there.
        silent: names that are written, but not printed.
        quiet: print nothing.
    """

    def __init__(self, path: str | Path, silent: tuple[str, ...] = (), quiet: bool = False) -> None:
        self.path, self.silent, self.quiet = Path(path), silent, quiet
        content = read_json(self.path) if self.path.exists() else {"entry": self.path.stem, "records": []}
        if content.get("entry") != self.path.stem:
            raise RunError(f"{self.path} has records of {content.get('entry')!r}, expected {self.path.stem!r}.")
        self.items: list[Row] = content["records"]

    @property
    def rows(self) -> list[Row]:
        """Key and what was found, as one dict for each record."""
        return [{**item["key"], **item["found"]} for item in self.items]

    @property
    def last(self) -> str:
        """The date of the latest record, or "never"."""
        return max((item["date"] for item in self.items), default="never")

    def cell(self, key: Mapping[str, Any], make: Callable[[], Row]) -> Row:
        """The row that has all of ``key``; if there is none, what ``make`` returns is added under it."""
        for row in self.rows:
            if key.items() <= row.items():
                return row
        found = make()
        self.add(key, found)
        row = {**key, **found}
        if not self.quiet:
            print(json.dumps({name: value for name, value in row.items() if name not in self.silent}), flush=True)
        return row

    def add(self, key: Mapping[str, Any], found: Row) -> None:
        """Write a record, in place of the one of the same key."""
        today = datetime.now(timezone.utc).date().isoformat()
        self.put({"key": dict(key), "found": found, "date": today, "on": place()})
        self.write()

    def put(self, item: Row) -> None:
        """Take a whole record, in place of the one of the same key, without writing."""
        for number, other in enumerate(self.items):
            if other["key"] == item["key"]:
                self.items[number] = item
                return
        self.items.append(item)

    def write(self) -> None:
        """Write the file, a record a line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(item) for item in self.items)
        head = json.dumps({"entry": self.path.stem})[:-1]
        write_whole(self.path, f'{head}, "records": [\n{lines}\n]}}\n'.encode())


def finished(run: pv.Run) -> pv.Run:
    """The run, if it was trained to its end; what was stopped by a signal makes no cell."""
    if run.unfinished:
        raise SystemExit("Stopped in the middle of a cell, which is not recorded; the same command goes on with it.")
    return run
