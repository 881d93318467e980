"""Milliseconds a step of M2, in turns: compiled, eager, a hand-written PyTorch loop, stock Pyro's TraceEnum_ELBO."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.speed.contenders.m2 import Measurement
from benchmarks.speed.row import summary
from benchmarks.tables import classes

__all__ = ["ENTRY"]


def measured(job: Job, share: float) -> dict[str, list[float]]:
    """Milliseconds of each contender, with this share of a batch labelled."""
    options = job.options
    width, latent = options.width, options.latent_dim
    batch = classes.settings_of(options, "m1", "batch")["batch"]
    data = classes.load(options, f"few-labels:num_labels={options.labels[0]},share={share}")
    batches = [b for b, _ in zip(data.train.epoch(batch, seed=0, epoch=0), range(8), strict=False)]
    make = functools.partial(classes.build, "m2", data, 0, options, hidden=[width], latent_dim=latent)
    sizes = (math.prod(data.spec.shape), data.spec.classes or 10, latent, width)
    return Measurement(make, batches, sizes, options.precision, options.backend).milliseconds(options.steps, options.rounds)


def run(job: Job) -> None:
    """Each share of labelled rows."""
    options = job.options
    settings = classes.settings_of(options, "m1", "data", "pixels", "batch", "precision")
    settings["threads"] = options.threads or torch.get_num_threads()
    for share in (0.1, 0.5) if options.share is None else (options.share,):
        once = functools.cache(functools.partial(measured, job, share))

        def cell(name: str, times: Any = once) -> dict[str, Any]:
            ratio = statistics.median(other / own for other, own in zip(times()[name], times()["compiled"], strict=True))
            found = summary(times()[name])
            shown = {"ms": found["median"], "quartiles": found["quartiles"], "times_compiled": round(ratio, 3)}
            return {**shown, "steps": options.steps}

        for name in ("compiled", "eager", "hand-written PyTorch", "stock Pyro"):
            key = {"method": name, "width": options.width, "share": share, **settings}
            job.records.cell(key, functools.partial(cell, name))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Milliseconds and ratios."""
    return {"m2-speed": classes.over_seeds(rows, ["ms", "times_compiled"])}


SHARED = ("data", "pixels", "labels", "share", "batch", "precision")
ENTRY = Entry(
    name="m2-speed",
    shows="A step of M2, compiled and eager, beside hand-written PyTorch and stock Pyro.",
    budgets={
        "smoke": Spend(
            "5 seconds",
            {"data": "digits", "width": 20, "latent_dim": 3, "steps": 2, "rounds": 1, "backend": "graph", "share": 0.5},
        ),
        "cpu": Spend("3 minutes, with nothing else running", {"threads": 2}),
    },
    run=run,
    tables=tables,
    options={
        **{name: classes.OPTIONS[name] for name in SHARED},
        "width": Option("of the hidden layer", 500),
        "latent_dim": Option("of z", 50),
        "steps": Option("in a turn", 100),
        "rounds": Option("in which the contenders take turns", 5),
        "backend": Option("graph: trace the step, and compile nothing; by default as compile_step chooses", None, str),
    },
)
