"""Does every recipe, with its defaults, learn more than the simplest baseline?

Each pair of the catalogue is trained with its default options and objective, Adam 1e-3, for so many seconds of the processor,
on data of the form that its recipe names first: the digits (as counts 0 to 16 for recipes of counts), or a made table of two
real columns, one of classes and one of levels. Held against it, on the test data:

- squared error of a value: of the reconstruction, beside that of the mean of the training data (of a table's real columns,
  over their variance);
- log p(x) by importance sampling, nats per datum: beside that of independent values. They are Bernoulli of the training means
  for binary data, Gaussian of the training means and one variance for grey levels (some pixels are always 0: with variances of
  their own their density would have no bound), Poisson of a row's size times the training shares for counts, and Gaussian or
  categorical for the columns of a table. Where part of x is given, that of the rest.

A recipe beats them where its squared error is at most 0.9 of the mean's and its log p(x) is the larger one; what does not
learns nothing with its defaults, which is a fault of theirs.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, Poisson

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.tables.columns import is_real, made
from pyrovae.data.frames import as_frame
from pyrovae.pairs.tiny import FORMS
from pyrovae.train import Callback

__all__ = ["ENTRY", "independent_log_p"]

MAX_SHARE = 0.9  # of the mean's squared error


class Deadline(Callback):
    """Ends training after so many seconds of the processor, or of another clock, with the epoch at hand."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.process_time) -> None:
        self.seconds, self.clock = seconds, clock

    def on_fit_start(self, run: pv.Run) -> None:
        """Begin to count."""
        self.began = self.clock()

    def on_epoch_end(self, run: pv.Run, metrics: dict) -> None:
        """Look at the clock."""
        run.should_stop = self.clock() - self.began > self.seconds


def independent_log_p(train: Tensor, test: Tensor, kind: str) -> Tensor:
    """log p of each value of the test data, as if values were independent of each other.

    Bernoulli of (sum + 1) / (N + 2), Poisson of a row's size times (sum + 1) / (total + D), or N(mean, one variance).
    """
    if kind == "binary":
        return Bernoulli((train.sum(0) + 1) / (len(train) + 2)).log_prob(test)
    if kind == "count":
        shares = (train.sum(0) + 1) / (train.sum() + train.shape[1])
        return Poisson(test.sum(1, keepdim=True) * shares).log_prob(test)
    return Normal(train.mean(0), train.var(0).mean().sqrt()).log_prob(test)


def independent_columns(train: pandas.DataFrame, test: pandas.DataFrame) -> float:
    """log p of a row of the test data, as if its columns were independent: N(mean, variance), or the training frequencies."""
    total = 0.0
    for name in train:
        if is_real(train[name]):
            scores = Normal(float(train[name].mean()), float(train[name].std())).log_prob(torch.tensor(test[name].to_numpy()))
            total += float(scores.mean())
        else:
            frequencies = train[name].value_counts(normalize=True)
            total += float(np.log(test[name].astype(object).map(frequencies).astype(float)).mean())
    return total


def load(form: str) -> pv.data.Split:
    """Digits, or a table, in one of the forms of :data:`pyrovae.pairs.tiny.FORMS`."""
    if form == "counts":
        grey = pv.data.load("digits", binarization="none")
        parts = [(16 * part["x"].flatten(1)).round().int().numpy() for part in (grey.train, grey.valid, grey.test)]
        return pv.data.load(tuple(parts), **FORMS[form])
    if form == "table":
        return pv.data.load(made(2000), transforms=["standardize"])
    if form == "entries":
        return pv.data.load("sprite-table")
    return pv.data.load("digits", **FORMS[form])


def cell(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train one recipe and hold it against the baselines."""
    recipe = pv.pairs.get(name)
    form = recipe.tiny[0].form
    data = load(form)
    torch.manual_seed(seed)
    pair = recipe.build(data.spec)
    shared = {"epochs": options.epochs, "seed": seed, "validate": False, "progress": False, "compile": not options.eager}
    alike = {"callbacks": [Deadline(options.seconds / (1 + len(pair.stages)))]}
    run = finished(pv.fit_stages(pair, data, stage_options=alike if pair.stages else None, **alike, **shared))
    return {"epochs": len(run.records)} | (hold_table if form == "table" else hold)(run, data, recipe, seed, options.samples)


def hold(run: pv.Run, data: pv.data.Split, recipe: pv.pairs.Recipe, seed: int, samples: int) -> Row:
    """Squared error and log p(x) of the test data, beside the baselines."""
    train, test = data.train["x"].float(), data.test["x"].float()
    asked = 1 - data.test["given"] if "given" in data.spec.covariates else torch.ones_like(test)
    found = {
        "squared_error": _mean((pv.reconstruct(run, data.test, num_samples=20) - test).square(), asked),
        "squared_error_of_mean": _mean((train.mean(0) - test).square(), asked),
    }
    if recipe.density is True:
        evidence = pv.log_evidence(run, data.test, num_samples=samples, seed=seed)
        alone = independent_log_p(train, test, data.spec.kind) * asked
        found |= evidence.to_json() | {"independent": float(alone.flatten(1).sum(1).mean())}
    return found


def hold_table(run: pv.Run, data: pv.data.Split, recipe: pv.pairs.Recipe, seed: int, samples: int) -> Row:
    """The same of a table, in the user's units."""
    train, test = (as_frame(part["x"], data.spec) for part in (data.train, data.test))
    told = pv.reconstruct_table(run, num_samples=20)
    real = [name for name in train if is_real(train[name])]
    errors = [((told[name] - test[name]) ** 2).mean() / train[name].var() for name in real]
    means = [((train[name].mean() - test[name]) ** 2).mean() / train[name].var() for name in real]
    evidence = pv.log_evidence_table(run, num_samples=samples, seed=seed)
    return {
        "squared_error": float(np.mean(errors)),
        "squared_error_of_mean": float(np.mean(means)),
        "mean": float(evidence["log_p"].mean()),
        "mean_stderr": float((evidence["stderr"] ** 2).sum() ** 0.5 / len(evidence)),
        "independent": independent_columns(train, test),
    }


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
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 60.0),
        "epochs": Option("of training, at most", 1000),
        "samples": Option("of log p(x)", 500),
        "eager": Option("compile nothing", False),
    },
)
