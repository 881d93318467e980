"""Does every recipe, with its defaults, learn more than the simplest baseline?

Each pair of the catalogue is trained with its default options and objective, Adam 1e-3, for so many seconds, on the form of
the digits that its recipe names first. Held against it, on the test data:

- squared error of a value: of the reconstruction, beside that of the mean of the training data;
- log p(x) by importance sampling, nats per datum: beside that of independent values, Bernoulli of the training means for
  binary data and Gaussian of the training means and variances for others. Where part of x is given, that of the rest.

A recipe beats them where its squared error is at most 0.9 of the mean's and its log p(x) is the larger one; what does not
learns nothing with its defaults, which is a fault of theirs.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from pyrovae.pairs.tiny import FORMS
from pyrovae.train import Callback

__all__ = ["ENTRY", "independent_log_p"]

MAX_SHARE = 0.9  # of the mean's squared error
MIN_SCALE = 0.01  # of a value that is the same in all training data


class Deadline(Callback):
    """Ends training after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_fit_start(self, run: pv.Run) -> None:
        """Begin to count."""
        self.began = time.perf_counter()

    def on_epoch_end(self, run: pv.Run, metrics: dict) -> None:
        """Look at the clock."""
        run.should_stop = time.perf_counter() - self.began > self.seconds


def independent_log_p(train: Tensor, test: Tensor, binary: bool) -> Tensor:
    """log p of each value of the test data, as if values were independent of each other.

    Bernoulli of (sum + 1) / (N + 2), or N(mean, variance) of the training data.
    """
    if binary:
        return Bernoulli((train.sum(0) + 1) / (len(train) + 2)).log_prob(test)
    return Normal(train.mean(0), train.std(0).clamp(min=MIN_SCALE)).log_prob(test)


def cell(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train one recipe and hold it against the baselines."""
    recipe = pv.pairs.get(name)
    data = pv.data.load("digits", **FORMS[recipe.tiny[0].form])
    torch.manual_seed(seed)
    pair = recipe.build(data.spec)
    shared = {"validate": False, "progress": False, "compile": not options.eager}
    run = finished(pv.fit(pair, data, epochs=options.epochs, seed=seed, callbacks=[Deadline(options.seconds)], **shared))
    train, test = data.train["x"], data.test["x"]
    asked = 1 - data.test["given"] if "given" in data.spec.covariates else torch.ones_like(test)
    told = pv.reconstruct(run, data.test, num_samples=20)
    found = {
        "epochs": len(run.records),
        "squared_error": _mean((told - test).square(), asked),
        "squared_error_of_mean": _mean((train.mean(0) - test).square(), asked),
    }
    if recipe.density is True:
        evidence = pv.log_evidence(run, data.test, num_samples=options.samples, seed=seed)
        alone = independent_log_p(train, test, data.spec.kind == "binary") * asked
        found |= evidence.to_json() | {"independent": float(alone.flatten(1).sum(1).mean())}
    return found


def _mean(values: Tensor, weights: Tensor) -> float:
    return float((values * weights).sum() / weights.sum())


def run(job: Job) -> None:
    """Each recipe and seed."""
    given = job.options
    for name in given.names or sorted(pv.pairs.CATALOGUE.entries):
        for seed in given.seeds:
            key = {"name": name, "seed": seed, "seconds_given": given.seconds}
            job.records.cell(key, functools.partial(cell, name, seed, given))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Each recipe beside its baselines."""
    found = []
    for row in rows:
        beats = row["squared_error"] <= MAX_SHARE * row["squared_error_of_mean"]
        log_p = independent = ""
        if "independent" in row:
            log_p, independent = f"{row['mean']:.2f} +- {row['mean_stderr']:.2f}", f"{row['independent']:.2f}"
            beats &= row["mean"] > row["independent"]
        errors = [f"{row[key]:.4f}" for key in ("squared_error", "squared_error_of_mean")]
        found.append([row["name"], row["epochs"], *errors, log_p, independent, "yes" if beats else "**no**"])
    heads = ["pair", "epochs", "squared error a value", "of the mean", "log p(x)", "independent", "beats both"]
    return {"defaults": markdown.table(heads, found)}


ENTRY = Entry(
    name="defaults",
    shows="Every recipe with its defaults, a minute of training, beside the simplest baseline.",
    budgets={
        "smoke": Spend("10 seconds", {"names": ["vae", "sparse-ae"], "seconds": 0.0, "samples": 5, "eager": True}),
        "cpu": Spend("a minute of one core for each of the recipes", {"threads": 1}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "names": Option("of recipes; all by default", []),
        "seconds": Option("of training, after which the epoch at hand is the last", 60.0),
        "epochs": Option("of training, at most", 1000),
        "samples": Option("of log p(x)", 500),
        "eager": Option("compile nothing", False),
    },
)
