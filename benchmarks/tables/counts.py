"""The VAE of counts beside scvi-tools' SCVI: the same synthetic counts and networks; held-out log p(x), training time."""

from __future__ import annotations

import functools
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.lab.worker import Worker
from benchmarks.tables import classes

__all__ = ["ENTRY"]

METHODS = ("count-vae", "scvi-tools", "scvi-tools, its own networks")
NETWORK = {"hidden": 128, "latent_dim": 10, "batch": 128, "lr": 1e-3}
CLUSTERS, DISPERSION = 6, 2.0


def synthetic(genes: int, cells: int) -> dict[str, np.ndarray]:
    """Counts of a negative binomial: shares of genes by cluster and two hidden numbers, log-normal sizes; 80% to train."""
    rng = np.random.default_rng(0)
    cluster, hidden = rng.integers(CLUSTERS, size=cells), rng.normal(size=(cells, 2))
    logits = rng.normal(size=(CLUSTERS, genes))[cluster] + hidden @ rng.normal(size=(2, genes)) * 0.5
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    size = rng.lognormal(math.log(5 * genes), 0.5, size=(cells, 1))
    counts = rng.poisson(rng.gamma(DISPERSION, size * shares / DISPERSION))
    counts = counts[counts.sum(1) > 0]
    cut = int(0.8 * len(counts))
    return {"train": counts[:cut], "test": counts[cut:]}


def ours(counts: dict[str, np.ndarray], settings: dict[str, Any]) -> dict[str, Any]:
    """The pair count-vae, its size observed."""
    data = pv.data.load((counts["train"], None, counts["test"]), kinds={"x": "count"}, transforms=["library-size"])
    sizes = {"latent_dim": settings["latent_dim"], "hidden": [settings["hidden"]]}
    options = {"lr": settings["lr"], "batch_size": settings["batch"], "validate": False, "progress": False, "compile": False}
    pv.fit(pv.pairs.count_vae(data.spec, **sizes), data, epochs=1, **options)  # imports and first calls are not timed
    torch.manual_seed(settings["seed"])
    pair = pv.pairs.count_vae(data.spec, **sizes)
    began = time.process_time()
    pv.fit(pair, data, epochs=settings["epochs"], seed=settings["seed"], **options)
    seconds = time.process_time() - began
    found = pv.log_evidence(pair, data.test, num_samples=settings["samples"])
    return {"values": found.value.tolist(), "train_cpu_s": seconds, "versions": {"pyrovae": pv.__version__}}


def theirs(python: str, counts: dict[str, np.ndarray], settings: dict[str, Any], plain: bool) -> dict[str, Any]:
    """SCVI, with networks like ours, or with its own batch norm and dropout."""
    worker = Worker(python, "benchmarks.speed.contenders.scvi")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "counts.npz"
            np.savez(path, **counts)
            return worker.ask("fit", counts=str(path), settings=settings, plain=plain)
    finally:
        worker.close()


def cell(method: str, seed: int, options: Any) -> dict[str, Any]:
    """One contender, one seed."""
    counts = synthetic(options.genes, options.cells)
    settings = {**NETWORK, "epochs": options.epochs, "samples": options.samples, "seed": seed}
    if method == "count-vae":
        found = ours(counts, settings)
    else:
        found = theirs(options.scvi, counts, settings, plain=method == "scvi-tools")
    values = np.array(found["values"])
    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    return {"log_p": float(values.mean()), "stderr": error, "train_cpu_s": round(found.pop("train_cpu_s"), 2), **found}


def run(job: Job) -> None:
    """Every contender, each seed; one that is missing is said to be."""
    options = job.options
    for method in METHODS if options.scvi else METHODS[:1]:
        for seed in options.seeds:
            key = {"method": method, "seed": seed, "genes": options.genes, "cells": options.cells, "epochs": options.epochs}
            job.records.cell(key, functools.partial(cell, method, seed, options))
    if not options.scvi:
        job.say("scvi-tools is missing: give --scvi ENV/bin/python, an interpreter that has it.")


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Means over seeds; the difference from ours, datum by datum, and how many times longer training took."""
    text = [classes.over_seeds(rows, ["log_p", "stderr", "train_cpu_s"])]
    own = {row["seed"]: row for row in rows if row["method"] == "count-vae"}
    compared = []
    for method in METHODS[1:]:
        pairs = [(own[row["seed"]], row) for row in rows if row["method"] == method and row["seed"] in own]
        if pairs:
            gaps = [mine["log_p"] - other["log_p"] for mine, other in pairs]
            if len(pairs) == 1:  # the error over held-out cells; of several seeds that over seeds
                gaps = np.subtract(pairs[0][0]["values"], pairs[0][1]["values"]).tolist()
            ratio = np.mean([other["train_cpu_s"] / mine["train_cpu_s"] for mine, other in pairs])
            compared.append([method, markdown.mean_error(gaps), f"{ratio:.1f}"])
    if compared:
        head = ["count-vae beside", "log p(x) more, nats per cell", "processor time of its training, over ours"]
        text.append(markdown.table(head, compared))
    return {"count-vae": "\n\n".join(text)}


ENTRY = Entry(
    name="count-vae",
    shows="The VAE of counts beside scvi-tools: held-out log p(x) on the same synthetic counts, and training time.",
    budgets={
        "smoke": Spend("3 seconds", {"genes": 20, "cells": 200, "epochs": 2, "samples": 10}),
        "cpu": Spend("9 cells of a minute", {"seeds": [0, 1, 2]}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "genes": Option("how many", 100),
        "cells": Option("how many, a fifth of them held out", 3000),
        "epochs": Option("of training", 100),
        "samples": Option("of log p(x)", 1000),
        "scvi": Option("an interpreter that has scvi-tools", None, str),
    },
    silent=("values",),
)
