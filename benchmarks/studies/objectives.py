"""Which objective trains the IWAE's network best, at equal epochs and at equal time?

784-200-200-50 tanh on binary-mnist, batch 100, Adam 1e-3. ELBO and STL with one particle, the others with K = 64 (MIWAE and
PIWAE 8 x 8, CIWAE beta 0.5); with ``--seconds`` as many epochs as each has time for. Test log p(x) by importance sampling,
mean and standard error over seeds.
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

CELLS = {
    "elbo": {},
    "stl": {},
    "iwae": {"num_particles": 64},
    "dreg": {"num_particles": 64},
    "miwae": {"num_particles": 64, "num_groups": 8},
    "ciwae": {"num_particles": 64, "beta": 0.5},
    "piwae": {"num_particles": 64, "num_groups": 8},
}


def trained(name: str, seed: int, epochs: int, data: pv.data.Data, eager: bool) -> pv.Run:
    """The network by one objective."""
    torch.manual_seed(seed)
    pair = pv.pairs.vae(data.spec)
    shared = {"seed": seed, "validate": False, "progress": False, "compile": not eager}
    return finished(pv.fit(pair, data, {"name": name, **CELLS[name]}, epochs=epochs, **shared))


def cell(name: str, seed: int, options: argparse.Namespace, data: pv.data.Data) -> Row:
    """Train and evaluate one objective with one seed."""
    epochs = options.epochs
    if options.seconds:
        first = trained(name, seed, 1, data, options.eager)
        epochs = max(1, round(options.seconds / first.records[0]["seconds"]))
    run = trained(name, seed, epochs, data, options.eager)
    rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[: options.test]
    evidence = pv.log_evidence(run, data.test.subset(rows), num_samples=options.samples, seed=seed)
    seconds = [row["seconds"] for row in run.records]
    return {
        "epochs": epochs,
        "seconds_an_epoch": round(statistics.median(seconds), 2),
        "seconds": round(sum(seconds), 1),
        "log_p": evidence.mean,
        "log_p_stderr": evidence.mean_stderr,
        "test": len(rows),
        "samples": options.samples,
        "elbo": float(evidence.elbo.mean()),
    }


def run(job: Job) -> None:
    """Each seed and objective."""
    options = job.options
    data = pv.data.load(options.data)
    budget = f"{options.seconds:g} s" if options.seconds else f"{options.epochs} epochs"
    for seed in options.seeds:
        for name in options.objectives:
            key = {"budget": budget, "objective": name, "seed": seed}
            job.records.cell(key, functools.partial(cell, name, seed, options, data))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A row for each objective and budget."""
    lines = []
    for budget, name in dict.fromkeys((row["budget"], row["objective"]) for row in rows):
        cells = [row for row in rows if (row["budget"], row["objective"]) == (budget, name)]
        pace = statistics.median(row["seconds_an_epoch"] for row in cells)
        epochs = statistics.median(row["epochs"] for row in cells)
        log_p = markdown.mean_error([row["log_p"] for row in cells])
        lines.append([budget, name, log_p, len(cells), f"{epochs:g}", f"{pace:.2f}"])
    heads = ["budget", "objective", "log p(x)", "seeds", "epochs", "s an epoch"]
    return {"objectives": markdown.table(heads, lines)}


ENTRY = Entry(
    name="objectives",
    shows="ELBO, STL, IWAE, DReG, MIWAE, CIWAE, PIWAE on one network, at equal epochs or (--seconds) at equal time.",
    budgets={
        "smoke": Spend(
            "5 seconds",
            {"data": "digits", "epochs": 1, "test": 20, "samples": 5, "eager": True, "objectives": ["elbo", "dreg"]},
        ),
        "cpu": Spend("14 cells of 1 to 8 minutes on one core", {"seeds": [0, 1]}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "epochs": Option("of training", 10),
        "seconds": Option("of training, in place of epochs", 0.0),
        "objectives": Option("which", list(CELLS), str, list(CELLS)),
        "data": Option("a data set of binary images", "binary-mnist"),
        "test": Option("how many test images, a seeded random subset", 5000),
        "samples": Option("of log p(x)", 1000),
        "eager": Option("compile nothing", False),
    },
)
