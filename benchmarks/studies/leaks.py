"""Do short fits, one after the other in one process, keep memory or threads?

Sixty fits of one epoch, each written to a folder of its own with TensorBoard's events; resident memory and threads of the
process after each, of which the 10th is held against the last.
"""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row

__all__ = ["ENTRY"]

SETTLED = 10  # fits, after which imports and caches are done


def resident() -> float:
    """Resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(fits: int, queue: Any) -> None:
    """Memory and threads after each fit; run in a process of its own."""
    torch.set_num_threads(1)
    data = pv.data.load("digits")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(fits):
            pair = pv.pairs.vae(data.spec, latent_dim=2, hidden=[8])
            how = {"batch_size": 200, "progress": False, "compile": False, "seed": number}
            pv.fit(pair, data, epochs=1, out=Path(folder) / str(number), **how)
            del pair
            gc.collect()
            found.append((resident(), len(os.listdir("/proc/self/task"))))
    queue.put(found)


def cell(fits: int) -> Row:
    """What the process had after the 10th fit and after the last."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "torch._dynamo"])  # which Adam imports
    queue = context.Queue()
    process = context.Process(target=measure, args=(fits, queue))
    process.start()
    found = queue.get()
    process.join()
    first, last = found[min(SETTLED, fits) - 1], found[-1]
    return {
        "megabytes": round(first[0], 1),
        "megabytes_more": round(last[0] - first[0], 1),
        "threads": first[1],
        "threads_more": last[1] - first[1],
    }


def run(job: Job) -> None:
    """All fits are one cell."""
    job.records.cell({"fits": job.options.fits}, functools.partial(cell, job.options.fits))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """The growth between the 10th fit and the last."""
    heads = ["fits", f"MB after {SETTLED}", "MB more after the last", "threads", "more after the last"]
    names = ("fits", "megabytes", "megabytes_more", "threads", "threads_more")
    return {"leaks": markdown.table(heads, [[row[name] for name in names] for row in rows])}


ENTRY = Entry(
    name="leaks",
    shows="Sixty short fits in one process keep neither memory nor threads.",
    budgets={"smoke": Spend("5 seconds", {"fits": 2}), "cpu": Spend("1 minute of one core", {})},
    run=run,
    tables=tables,
    options={"fits": Option("one after the other", 60)},
)
