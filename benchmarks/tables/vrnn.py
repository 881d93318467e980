"""The VRNN on polyphonic music, trained by the ELBO, the IWAE bound and FIVO, each evaluated by particle filters.

Maddison et al. (2017, Table 1): JSB chorales, N = 4, test nats a step by FIVO of 128 particles: 8.60 (ELBO), 7.86 (IWAE), 6.90
(FIVO); run again by others with the paper's code, sequences cut at 100 steps: 8.69, 8.25, 7.60. Independent keys have 11.06, a
logistic regression on the frame before 9.11. Figures are totals over all data divided by the total of their steps.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence

import torch

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline

__all__ = ["ENTRY"]

OBJECTIVES = ("elbo", "iwae", "fivo")
PUBLISHED = {"elbo": "8.60 (8.69)", "iwae": "7.86 (8.25)", "fivo": "6.90 (7.60)"}


def cell(objective: str, seed: int, options: argparse.Namespace) -> Row:
    """Train by one objective, evaluate by filters."""
    data = pv.data.load(options.data)
    torch.manual_seed(seed)
    pair = pv.pairs.vrnn(data.spec, latent_dim=options.size, recurrent_dim=options.size, hidden=[options.size])
    settings = {"batch_size": options.batch, "lr": options.lr, "seed": seed, "patience": options.epochs, "progress": False}
    deadline = Deadline(options.seconds)
    chosen = {"name": objective, "num_particles": options.particles}
    run = finished(
        pv.fit(pair, data, chosen, epochs=options.epochs, callbacks=[deadline], compile=not options.eager, **settings)
    )
    single = {"num_samples": options.samples, "num_filters": 1, "compile": not options.eager}
    found = pv.log_evidence(run, data.test, "fivo", **single)
    bound = pv.log_evidence(run, data.test, num_samples=options.particles, compile=False)
    test = data.test[:]
    steps = test["lengths"] if "lengths" in test else torch.full((len(data.test),), data.spec.shape[0])
    nats, error = found.per(steps)
    kept = {"epochs": len(run.records), "best_epoch": run.best_epoch, "nats": -nats, "stderr": error}
    return {**kept, "elbo_nats": -float(bound.elbo.sum() / steps.sum())}


def run(job: Job) -> None:
    """Each objective and seed."""
    given = job.options
    shared = {
        name: getattr(given, name) for name in ("data", "seconds", "epochs", "particles", "size", "lr", "batch", "samples")
    }
    for objective in given.objectives:
        for seed in given.seeds:
            job.records.cell({"objective": objective, "seed": seed, **shared}, functools.partial(cell, objective, seed, given))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A row a cell, beside what was published of the chorales."""
    heads = ["trained by", "data", "CPU s", "epochs", "best", "nats a step", "+-", "elbo, nats a step", "published (again)"]
    lines = []
    for row in rows:
        figures = [f"{row[name]:.3f}" for name in ("nats", "stderr", "elbo_nats")]
        known = PUBLISHED[row["objective"]] if row["data"] == "jsb" else "-"
        lines.append([row["objective"], row["data"], f"{row['seconds']:g}", row["epochs"], row["best_epoch"], *figures, known])
    return {"vrnn": markdown.table(heads, lines)}


TINY = {"data": "digits", "seconds": 0.0, "epochs": 1, "particles": 2, "size": 4, "batch": 400, "samples": 4, "eager": True}

ENTRY = Entry(
    name="vrnn",
    shows="Maddison et al. 2017, Table 1: a VRNN of chorales trained by ELBO, IWAE and FIVO, in nats a step.",
    budgets={
        "smoke": Spend("4 seconds", TINY),
        "cpu": Spend("three cells of 10 minutes of one core", {}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "objectives": Option("which", list(OBJECTIVES), str, OBJECTIVES),
        "data": Option("a named set of sequences", "jsb"),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 540.0),
        "epochs": Option("at most", 10_000),
        "particles": Option("N, in training", 4),
        "size": Option("of states, latents and hidden layers", 32),
        "lr": Option("learning rate of Adam", 3e-3),
        "batch": Option("sequences a step", 20),
        "samples": Option("particles of the filter that evaluates", 128),
        "eager": Option("compile nothing", False),
    },
)
