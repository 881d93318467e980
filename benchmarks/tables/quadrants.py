"""log p(x_rest | 1, 2, 3 quadrants) of CVAE and GSNN by importance sampling.

``ais`` is how much higher annealed importance sampling estimates it on the first images; of grey pixels the ELBO alone, as in
[4], Pyro's tutorial on the CVAE.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from typing import Any

import torch

import pyrovae as pv
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.tables import classes
from pyrovae import objectives

__all__ = ["ENTRY", "elbo_of"]

PUBLISHED = {("cvae", 1): "-71.8 [4]", ("cvae", 2): "-51.0 [4]", ("cvae", 3): "-24.2 [4]"}  # grey pixels: nats, a bound
NAMES = ("data", "epochs", "batch", "lr", "decay", "precision", "samples", "test")


def cell(name: str, given: int, seed: int, options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """Train and evaluate."""
    data = classes.load(options, f"quadrants:given={given}")
    small = {"hidden": [20], "latent_dim": 3} if options.budget == "smoke" else {}
    pair = classes.build(name, data, seed, options, **small)
    run = classes.train(pair, data, None, seed, options, settings)
    test = data.test.subset(torch.arange(min(len(data.test), options.test)))
    if options.pixels == "grey":
        return {"elbo": elbo_of(pair, test), "seconds": classes.seconds(run)}
    found = pv.log_evidence(pair, test, num_samples=options.samples)
    elbo = float(found.elbo.mean())
    few = test.subset(torch.arange(min(len(test), options.annealed)))
    ais = pv.log_evidence(pair, few, method="ais", num_distributions=options.distributions)
    annealed = ais.mean - float(found.value[: len(few)].mean())
    figures = {"log_p": found.mean, "log_p_stderr": found.mean_stderr, "elbo": elbo, "ais": annealed}
    return {**figures, "seconds": classes.seconds(run)}


@torch.no_grad()
def elbo_of(pair: pv.Pair, test: pv.data.Split, num_samples: int = 10) -> float:
    """The mean ELBO, also of grey pixels, whose cross-entropy leaves no log p(x) to bound; Pyro's tutorial prints this."""
    objective = objectives.get("elbo", num_particles=num_samples)
    total = 0.0
    for batch in test.batches(500):
        total += float(objective.evaluate(pair.model, pair.guide, batch).sum())
    return total / len(test)


def run(job: Job) -> None:
    """Each seed, number of quadrants and pair."""
    options = argparse.Namespace(**{**vars(job.options), "pixels": job.options.pixels or "dynamic"})
    settings = classes.settings_of(options, "m1", *NAMES)
    for seed in options.seeds:
        for given in options.given:
            for name in ("gsnn", "cvae"):
                key = {"method": name, "given": given, "seed": seed, "pixels": options.pixels, **settings}
                job.records.cell(key, functools.partial(cell, name, given, seed, options, settings))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """log p and the bound, published ones beside them."""

    def known(row: Row) -> str:
        compared = row["data"] == "mnist" and row["pixels"] == "grey"
        return PUBLISHED.get((row["method"], row["given"]), "") if compared else ""

    return {"quadrants": classes.over_seeds(rows, ["log_p", "elbo", "ais", "seconds"], known)}


SHARED = ("data", "pixels", "epochs", "batch", "lr", "decay", "precision")
ENTRY = Entry(
    name="quadrants",
    shows="log p of the quadrants that are left, given 1, 2 or 3 of them: CVAE and GSNN (Sohn et al. 2015).",
    budgets={
        "smoke": Spend(
            "3 seconds",
            {"data": "digits", "epochs": 1, "samples": 20, "test": 20, "annealed": 2, "distributions": 10, "given": [2]},
        ),
        "cpu": Spend("18 cells of 2 to 3 minutes on one core", {"epochs": 30, "seeds": [0, 1]}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        **{name: classes.OPTIONS[name] for name in SHARED},
        "given": Option("how many quadrants", [1, 2, 3]),
        "samples": Option("of log p", 1000),
        "test": Option("how many test images", 10_000),
        "distributions": Option("temperatures of that annealing", 1000),
        "annealed": Option("how many of those by annealed importance sampling too", 100),
    },
)
