"""A published table as an entry: its cells are computed by :mod:`benchmarks.lab.runner`, its records are their results."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.lab import figures, published
from benchmarks.lab.cells import Budget, Cell, Table, joined
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.jobs import launch, run_cells
from benchmarks.lab.records import Row
from benchmarks.lab.runner import How, results_of
from pyrovae.errors import OptionError
from pyrovae.runs.builders import load_builder
from pyrovae.train.fitting import resolve_device

__all__ = ["entry"]

OPTIONS = {
    "seeds": SEEDS,
    "minutes": Option("of a cell of --budget cpu", 30.0),
    "cells": Option("only those whose label, a space and data set match this pattern", "*"),
    "pair": Option("FILE.py:FUNCTION, pairs of your own to join in", [], Path),
    "device": Option("cpu, cuda or auto", "cpu"),
    "devices": Option("processes that share each cell's batches (extra: distributed)", 1),
    "jobs": Option("processes that each compute cells of their own", 1),
}


def entry(table: Table, shows: str, smoke: str, paper: str) -> Entry:
    """The table's entry; ``smoke`` and ``paper`` are what these budgets cost."""
    number = len(table.cells(Budget("cpu")))
    budgets = {
        "smoke": Spend(smoke),
        "cpu": Spend(f"{number} cells of 30 minutes (--minutes) on two cores"),
        "paper": Spend(paper),
    }
    return Entry(
        name=table.name,
        shows=shows,
        budgets=budgets,
        run=lambda job: run(table, job),
        tables=lambda rows: tables(table, rows),
        options=OPTIONS,
        figures=lambda rows: draw(table, rows),
        arrange=lambda items: arrange(table, items),
    )


def run(table: Table, job: Job) -> None:
    """Compute the cells that are asked for; the records are those of all finished seeds."""
    options = job.options
    if options.devices > 1 and options.jobs > 1:
        raise OptionError("--devices shares a cell among processes and --jobs gives each its own: choose one of them.")
    pairs = [str(pair) for pair in options.pair]
    for pair in pairs:
        load_builder(pair)
    budget = Budget(options.budget, options.minutes)
    cells = joined(table.cells(budget), pairs)
    chosen = [cell for cell in cells if fnmatch.fnmatch(f"{cell.label} {cell.data['name']}", options.cells)]
    if not chosen:
        raise OptionError(f"no cell of {table.name} matches {options.cells!r}.")
    device = resolve_device(options.device)
    fabric = launch(options.devices, device)
    how = How(job.out, job.command, device, options.threads, not options.quiet, fabric)
    job.leads = how.writes

    def keep() -> None:
        if job.leads:
            collect(table, job, budget, cells)

    keep()
    run_cells(chosen, options.seeds, how, options.jobs, keep)


def collect(table: Table, job: Job, budget: Budget, cells: Sequence[Cell]) -> None:
    """Put the results of all finished seeds into the records."""
    for cell in cells:
        told = None if cell.published is None else asdict(cell.published)
        for result in results_of(cell, job.out):
            key = {"budget": budget.label, "fingerprint": cell.fingerprint, "seed": result["seed"]}
            found = {**result, "label": cell.label, "published": told}
            job.records.put({"key": key, "found": found, "date": result["date"]})
    job.records.items = arrange(table, job.records.items)
    if job.records.items:
        job.records.write()


def arrange(table: Table, items: list[Row]) -> list[Row]:
    """Records in the order of the table's cells; those of settings that it no longer has are left out, and told.

    Rows of pairs of the user's own stay, each the latest of its label.
    """
    kept = []
    for label in dict.fromkeys(item["key"]["budget"] for item in items):
        cells = table.cells(Budget.of(label))
        places = {cell.fingerprint: place for place, cell in enumerate(cells)}
        some = [item for item in items if item["key"]["budget"] == label]
        own = {_name(item): item["key"]["fingerprint"] for item in some if "pair_sha256" in item["found"]["settings"]}
        own = {fingerprint: len(cells) + place for place, fingerprint in enumerate(own.values())}
        places = {**own, **places}
        some = [item for item in some if item["key"]["fingerprint"] in places]
        kept += sorted(some, key=lambda item: (places[item["key"]["fingerprint"]], item["key"]["seed"]))
    if len(kept) < len(items):
        print(f"{table.name}: left out {len(items) - len(kept)} records of settings that the table no longer has.")
    return kept


def _name(item: Row) -> tuple[str, str, str]:
    """What a row is called: label, data set, binarization."""
    data = item["found"]["data"]
    return item["found"]["label"], data["name"], data["binarization"]


def tables(table: Table, rows: Sequence[Row]) -> dict[str, str]:
    """Markdown for each budget."""
    found = {}
    for budget, some in _by_budget(rows).items():
        names = {(cell.label, str(dict(cell.data))) for cell in table.cells(Budget.of(budget))}
        names -= {(row["label"], str(row["settings"]["data"])) for row in some}
        found[f"{table.name} {budget}"] = published.render(table, budget, published.rows_of(some), missing=len(names))
    return found


def draw(table: Table, rows: Sequence[Row]) -> dict[str, Figure]:
    """Two figures for each budget."""
    found = {}
    for budget, some in _by_budget(rows).items():
        stem = f"{table.name}-{budget}"
        shown = published.rows_of(some)
        found |= {stem: figures.points(shown), f"{stem}-curves": figures.curves(shown)}
    return found


def _by_budget(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["budget"], []).append(row)
    return groups
