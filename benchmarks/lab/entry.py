"""What a benchmark says of itself, once: ``list``, ``run``, ``table`` and the tests are made of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.lab.records import Records, Row

__all__ = ["BUDGETS", "Entry", "Job", "Option", "SEEDS", "Spend"]

BUDGETS = ("smoke", "cpu", "gpu", "paper")


@dataclass(frozen=True)
class Option:
    """An option of one entry.

    Attributes:
        help: what it is.
        default: its value unless a budget has another; a list takes several values, False makes a switch.
        kind: of one value; by default that of the default.
        choices: what it may be.
    """

    help: str
    default: Any = None
    kind: Callable[[str], Any] | None = None
    choices: Sequence[Any] | None = None

    def add_to(self, parser: argparse.ArgumentParser, name: str) -> None:
        """Declare it; what is not given stays None."""
        flag = f"--{name.replace('_', '-')}"
        if self.default is False:
            parser.add_argument(flag, action="store_const", const=True, help=self.help)
            return
        first = self.default[0] if isinstance(self.default, list) and self.default else self.default
        kind = self.kind or (str if first is None or isinstance(first, list) else type(first))
        several = {"nargs": "+"} if isinstance(self.default, list) else {}
        parser.add_argument(flag, type=kind, choices=self.choices, help=self.help, **several)


SEEDS = Option("of parameters and noise, and of whatever else an entry draws", [0])


@dataclass(frozen=True)
class Spend:
    """One budget of an entry: what it costs, and the options that it stands for."""

    cost: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Job:
    """One call of ``run``.

    Attributes:
        options: the entry's, settled.
        records: to which cells are added.
        command: that gives these results.
        out: folder of the records, and of whatever else a cell keeps.
        leads: whether this process, of several that share a cell, prints and writes.
    """

    options: argparse.Namespace
    records: Records
    command: str
    out: Path
    leads: bool = True

    @property
    def smoke(self) -> bool:
        """Whether all that is asked is that everything runs."""
        return self.options.budget == "smoke"

    def say(self, text: str) -> None:
        """A line for whoever waits."""
        if not self.options.quiet:
            print(text, flush=True)


def _no_figures(_rows: Sequence[Row]) -> dict[str, Figure]:
    return {}


def _as_they_are(items: list[Row]) -> list[Row]:
    return items


@dataclass(frozen=True)
class Entry:
    """A benchmark.

    Attributes:
        name: in commands and files.
        shows: in one sentence.
        budgets: what each costs.
        run: computes what is missing in the job's records.
        tables: Markdown of records, by name: the entry's own, or that and a part's.
        options: the entry's own, beside --budget, --threads, --out, --record and --quiet.
        figures: of records; a table's figures bear its name, spaces as hyphens.
        arrange: the records that are still of this entry, in the order of its tables.
        silent: what is recorded, but not printed.
    """

    name: str
    shows: str
    budgets: Mapping[str, Spend]
    run: Callable[[Job], None]
    tables: Callable[[Sequence[Row]], dict[str, str]]
    options: Mapping[str, Option] = field(default_factory=dict)
    figures: Callable[[Sequence[Row]], dict[str, Figure]] = _no_figures
    arrange: Callable[[list[Row]], list[Row]] = _as_they_are
    silent: tuple[str, ...] = ()

    def settle(self, given: argparse.Namespace) -> argparse.Namespace:
        """The options, those that are not given as the budget or the option itself has them."""
        spend = self.budgets[given.budget].options
        usual = {"threads": None, **{name: option.default for name, option in self.options.items()}}
        values = {**usual, **spend, **{name: value for name, value in vars(given).items() if value is not None}}
        return argparse.Namespace(**values)
