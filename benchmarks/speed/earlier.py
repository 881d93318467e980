"""Is a compiled step slower than it was in an earlier version?

Each row of ``rows.py`` is compiled by this checkout and by another one, whose interpreter is given (``--python``), in two
processes that take turns, round by round: milliseconds a step and the ratio of the two in each round, its median and
quartiles. A first round warms up. Both are told the same library for products of matrices, unless ``--matmul choose``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.machine import processor
from benchmarks.lab.markdown import table
from benchmarks.lab.records import Row as Record
from benchmarks.lab.worker import ROOT, Worker
from benchmarks.speed.row import alternate, prepared, summary
from benchmarks.speed.rows import ROWS, Row

__all__ = ["ENTRY"]

WORKER = "benchmarks.speed.contenders.checkout"


def measure(row: Row, given: Any, pythons: dict[str, str]) -> dict[str, Any]:
    """What both made of a row, and the ratio of their times, this checkout's over the other's."""
    steps = given.steps or row.steps
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "benchmarks").symlink_to(ROOT / "benchmarks")  # alone: each interpreter has a pyrovae of its own
        batches = f"{folder}/batches.npy"
        np.save(batches, torch.stack(prepared(row, given.data, min(100, steps))).numpy())
        workers = {
            python: Worker(python, WORKER, Path(folder)) for python in {*pythons.values()}
        }  # one, measured against itself
        try:
            made, matmul = {}, None if given.matmul == "choose" else given.matmul
            for name, python in pythons.items():
                about = {"row": row.to_json(), "batches": batches, "threads": given.threads or 1}
                made[name] = workers[python].ask("load", **about, backend=given.backend, matmul=matmul)
            turns = {name: partial(_turn, workers[python]) for name, python in pythons.items()}
            times = alternate(turns, steps, given.rounds)
        finally:
            for worker in workers.values():
                worker.close()
    ratios = [now / before for now, before in zip(times["now"], times["earlier"], strict=True)]
    for name, seconds in times.items():
        made[name]["ms"] = summary([1000 * each / steps for each in seconds])
    return {**made, "ratio": summary(ratios), "steps": steps}


def _turn(worker: Worker, steps: int) -> float:
    return worker.ask("run", steps=steps)


def run(job: Job) -> None:
    """Measure each row that is asked for, anew."""
    given = job.options
    pythons = {"now": sys.executable, "earlier": str(given.python or sys.executable)}
    if given.python is None:
        job.say("--python names no interpreter of another checkout: this one is measured against itself.")
    load = os.getloadavg()[0]
    for name in given.row:
        key = {"row": name, "rounds": given.rounds, "threads": given.threads or 1, "data": given.data}
        found = measure(ROWS[name], given, pythons)
        job.records.add(key, {**found, "machine": processor(), "cores": os.cpu_count(), "load": load})
        job.say(f"{name}: {found['ratio']['median']:.3f} of the earlier step's time")


def tables(rows: Sequence[Record]) -> dict[str, str]:
    """One line a row."""
    lines = []
    for row in rows:
        ratio = row["ratio"]
        times = [f"{row[name]['ms']['median']:.3f}" for name in ("now", "earlier")]
        low, high = ratio["quartiles"]
        lines.append([row["row"], *times, f"{ratio['median']:.3f} ({low:.3f} to {high:.3f})", row["now"]["backend"]])
    head = ["row", "ms a step", "earlier", "ratio, median and quartiles", "backend"]
    return {"speed-earlier": table(head, lines)}


ENTRY = Entry(
    name="speed-earlier",
    shows="The compiled step of this checkout beside that of another one, an earlier version, in turns.",
    budgets={
        "smoke": Spend("5 seconds", {"row": ["vae-20"], "rounds": 1, "steps": 2, "data": "random", "backend": "graph"}),
        "cpu": Spend("25 minutes, with nothing else running", {"threads": 1}),
    },
    run=run,
    tables=tables,
    options={
        "row": Option("rows to measure", list(ROWS), str, list(ROWS)),
        "rounds": Option("in which both take a turn", 7),
        "steps": Option("in a turn, in place of the row's own number", None, int),
        "data": Option("a data set of binary 28x28 images, or random", "random"),
        "backend": Option("inductor, or graph: trace, and compile nothing", "inductor", str, ("inductor", "graph")),
        "matmul": Option("the library for products of matrices, or choose", "mkl", str, ("mkl", "onednn", "choose")),
        "python": Option("interpreter of the other checkout", None, Path),
    },
)
