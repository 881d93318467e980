"""M2 with y summed out, drawn (score function, with baselines) and relaxed: error, log p(x), variance of the gradient."""

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
from pyrovae.objectives.moves import prepare_objective

__all__ = ["ENTRY"]

ESTIMATORS = {
    "summed": {"base": "meanfield"},
    "drawn, score function": {"y": "sampled"},
    "drawn, baselines": {"y": "sampled", "base": "nvil"},
    "relaxed": {"y": "relaxed", "base": "meanfield"},
}
EVIDENCE_IMAGES, EVIDENCE_SAMPLES = 1000, 100


class Estimators:
    """The cells, which share a pair of each seed at which gradients are held against each other."""

    def __init__(self, options: argparse.Namespace, chosen: dict[str, Any]) -> None:
        self.options, self.chosen, self.references = options, chosen, {}

    def trained(self, name: str, seed: int, epochs: int | None = None) -> tuple[pv.Run, pv.data.Data]:
        """M2 of a seed by one of the estimators."""
        labels, share = self.options.labels[0], self.chosen["share"]
        data = classes.load(self.options, f"few-labels:num_labels={labels},seed={seed},share={share}")
        pair = classes.build("m2", data, seed, self.options, **classes.sizes("estimators", self.options))
        objective = {"name": "semisupervised", "alpha": self.chosen["alpha"], **ESTIMATORS[name]}
        return classes.train(pair, data, objective, seed, self.options, self.chosen, epochs), data

    def reference(self, seed: int) -> pv.Pair:
        """The pair of the seed after two epochs with y summed out."""
        if seed not in self.references:
            self.references[seed] = self.trained("summed", seed, epochs=2)[0].pair
        return self.references[seed]

    def cell(self, name: str, seed: int) -> dict[str, Any]:
        """Train, test, and measure the gradient; of binary pixels log p(x) too, y summed out and z by importance."""
        run, data = self.trained(name, seed)
        variance = gradient_variance(self.reference(seed), data, name, self.chosen["batch"])
        row = {**classes.error(run, data), "seconds": classes.seconds(run), "variance": variance}
        if self.chosen["pixels"] != "grey":
            x = data.test["x"][:EVIDENCE_IMAGES]
            row["log_p"] = pv.log_evidence(run.pair, x, num_samples=EVIDENCE_SAMPLES, seed=0).mean
        return row


def gradient_variance(pair: pv.Pair, data: pv.data.Data, name: str, batch_size: int, draws: int = 30) -> float:
    """Sum over the classifier's parameters of the variance of the gradient of one batch's mean bound, over noise alone."""
    batch = next(data.train.epoch(batch_size, seed=0, epoch=0))
    objective = objectives.get({"name": "semisupervised", "alpha": 0.0, **ESTIMATORS[name]})
    prepare_objective(objective, pair.model, pair.guide, batch)
    given = objectives.Given(pair.model, pair.guide, [batch])
    params = list(pair.guide.classifier.parameters())
    gradients = []
    for _ in range(draws):
        loss = next(objective.updates(given)).loss
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(-loss, params)]))
    return float(torch.stack(gradients).var(0).sum())


def run(job: Job) -> None:
    """Each seed and estimator."""
    options = job.options
    chosen = classes.settings_of(options, "estimators", *classes.SETTINGS)
    estimators = Estimators(options, chosen)
    for seed in options.seeds:
        for name in options.estimators:
            key = {"method": name, "network": classes.network("estimators", options), "labels": options.labels[0]}
            key |= {"seed": seed, **chosen}
            job.records.cell(key, functools.partial(estimators.cell, name, seed))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Error, log p(x) and variance, a table for each kind of pixels."""
    kinds = {"class-gradients": ["grey"], "class-gradients-binary": ["fixed", "dynamic"]}
    parts = {name: [row for row in rows if row["pixels"] in pixels] for name, pixels in kinds.items()}
    columns = {"class-gradients": ["error", "variance", "seconds"]}
    columns["class-gradients-binary"] = ["error", "log_p", "variance", "seconds"]
    return {name: classes.over_seeds(part, columns[name]) if part else "" for name, part in parts.items()}


ENTRY = Entry(
    name="class-gradients",
    shows="M2's y summed out, drawn (score function, baselines) and relaxed: error, log p(x), variance of the gradient.",
    budgets={
        "smoke": Spend("3 seconds", {"data": "digits", "epochs": 1}),
        "cpu": Spend("12 cells of 1 to 3 minutes on one core", {"epochs": 8, "seeds": [0, 1, 2]}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "estimators": Option("which", list(ESTIMATORS), str, tuple(ESTIMATORS)),
        **classes.OPTIONS,
    },
)
