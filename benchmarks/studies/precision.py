"""Does training or evaluating in bf16 change the test bound?

784-200-200-50 tanh on binary-mnist, batch 100, Adam 1e-3, compiled: trained in float32 and with bf16 networks (densities in
float32) from the same seeds, each evaluated in float32 and in bf16 on the same images by the same draws: log p(x) of float32
training and what bf16 changes, paired over seeds.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Sequence

import torch

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished

__all__ = ["ENTRY"]

EPOCHS = {"elbo": 30, "iwae:num_particles=50": 5}
PRECISIONS = ("float32", "bf16")


def cell(objective: str, precision: str, seed: int, epochs: int, options: argparse.Namespace, data: pv.data.Data) -> Row:
    """Train in one precision, evaluate in both."""
    torch.manual_seed(seed)
    pair = pv.pairs.vae(data.spec)
    shared = {"validate": False, "progress": False, "compile": not options.eager}
    run = finished(pv.fit(pair, data, objective, epochs=epochs, seed=seed, precision=precision, **shared))
    rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[: options.test]
    test, num = data.test.subset(rows), options.samples
    found = {f"log_p_{how}": pv.log_evidence(pair, test, num_samples=num, precision=how).mean for how in PRECISIONS}
    pace = statistics.median(row["seconds"] for row in run.records)
    return {**found, "seconds_an_epoch": round(pace, 2), "test": len(rows)}


def run(job: Job) -> None:
    """Each objective, seed and precision."""
    options = job.options
    data = pv.data.load(options.data)
    for objective in EPOCHS:
        for seed in options.seeds:
            for precision in PRECISIONS:
                epochs = options.epochs or EPOCHS[objective]
                key = {"objective": objective, "precision": precision, "seed": seed, "epochs": epochs}
                job.records.cell(key, functools.partial(cell, objective, precision, seed, epochs, options, data))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """What bf16 adds to log p(x), mean and standard error over seeds."""
    lines = []
    for name in dict.fromkeys(row["objective"] for row in rows):
        both = {}
        for precision in PRECISIONS:
            cells = [row for row in rows if (row["objective"], row["precision"]) == (name, precision)]
            both[precision] = {row["seed"]: row for row in cells}
        plain, low = both.values()
        base = statistics.mean(row["log_p_float32"] for row in plain.values())
        trained = [low[seed]["log_p_float32"] - plain[seed]["log_p_float32"] for seed in plain if seed in low]
        evaluated = [row["log_p_bf16"] - row["log_p_float32"] for row in rows if row["objective"] == name]
        pace = " and ".join(
            f"{statistics.median(r['seconds_an_epoch'] for r in cells.values()):.2f}" for cells in both.values() if cells
        )
        shown = [markdown.mean_error(values, 3, "+") if values else "-" for values in (trained, evaluated)]
        lines.append([f"`{name}`", f"{base:.2f}", *shown, pace])
    heads = ["objective", "log p(x), float32", "trained in bf16", "evaluated in bf16", "s an epoch, float32 and bf16"]
    return {"precision": markdown.table(heads, lines)}


ENTRY = Entry(
    name="precision",
    shows="Whether training or evaluating networks in bf16 changes log p(x).",
    budgets={
        "smoke": Spend("5 seconds", {"data": "digits", "epochs": 1, "test": 20, "samples": 5, "eager": True}),
        "cpu": Spend("12 cells of 1 to 2 minutes on one core", {"seeds": [0, 1, 2]}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "epochs": Option("in place of each objective's own", 0),
        "data": Option("a data set of binary images", "binary-mnist"),
        "test": Option("how many test images, a seeded random subset", 2500),
        "samples": Option("of log p(x)", 1000),
        "eager": Option("compile nothing", False),
    },
)
