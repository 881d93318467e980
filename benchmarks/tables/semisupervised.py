"""Classes from few labels: test error of M1 and a classifier, M2, M1+M2, ADGM, SDGM.

A seed draws the labels, the parameters and the noise; networks of binary pixels are tested on grey ones too, which are their
probabilities (``grey_error``). Pixels are grey levels in [0, 1] under a Bernoulli cross-entropy (an energy, as in Pyro's
tutorials) with ``--pixels grey``, as they are if nothing is said, and binary otherwise.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from typing import Any

import pyrovae as pv
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.tables import classes
from benchmarks.tables.classes import FEATURES
from pyrovae.core.pair import set_trainable

__all__ = ["ENTRY"]

METHODS = [*FEATURES, "m2", "m1-m2", "adgm", "sdgm"]
# test error in percent with its sources: [1] the table of Salimans et al. 2016, [2] the README of Pyro's ss-vae tutorial, [3]
# Kingma et al. 2014, Table 1, as restated by the README of tijiang13/Semi-supervised-VAE and (M1+TSVM) by other reproductions;
# [5] Jang, Gu and Poole 2017, y marginalized
PUBLISHED = {
    ("m1-svm", 100): "11.82 (TSVM) [3]",
    ("m1-svm", 600): "5.72 (TSVM) [3]",
    ("m1-svm", 1000): "4.24 (TSVM) [3]",
    ("m1-svm", 3000): "3.49 (TSVM) [3]",
    ("m1-m2", 100): "3.33 +- 0.14 [1]",
    ("adgm", 100): "0.96 +- 0.02 [1]",
    ("sdgm", 100): "1.32 +- 0.07 [1]",
    ("m2", 100): "11.97 +- 1.71 [3]; grey 6.81 +- 0.60 [2]; binary, convolutional 7.4 [5]",
    ("m2", 600): "5.63 +- 0.70 [2]",
    ("m2", 1000): "5.13 +- 0.38 [2]",
    ("m2", 3000): "4.18 +- 0.12 [2]",
}


class Methods:
    """The methods' errors; the first stage of a seed, M1, is trained once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.features = options, {}

    def stacked(self, data: pv.data.Data, seed: int) -> pv.Pair:
        """M1+M2."""
        return classes.build("m1-m2", data, seed, self.options, **classes.sizes("m1-m2", self.options))

    def first_stage(self, seed: int) -> pv.Run:
        """M1 of a seed, the first stage of M1+M2, trained on all rows, without labels."""
        if seed not in self.features:
            data = classes.load(self.options)
            stage = self.stacked(data, seed).stages[0]
            set_trainable(stage, True)
            chosen = classes.settings_of(self.options, "m1", "lr", "decay", "batch")
            self.features[seed] = classes.train(stage, data, None, seed, self.options, chosen)
        return self.features[seed]

    def pair(self, method: str, data: pv.data.Data, seed: int) -> pv.Pair:
        """The pair to be trained with labels."""
        if method != "m1-m2":
            return classes.build(method, data, seed, self.options, **classes.sizes(method, self.options))
        pair, trained = self.stacked(data, seed), self.first_stage(seed).pair
        pair.stages[0].model.load_state_dict(trained.model.state_dict())
        pair.stages[0].guide.load_state_dict(trained.guide.state_dict())
        return pair

    def cell(self, method: str, labels: int, seed: int, chosen: dict[str, Any]) -> dict[str, Any]:
        """Train and test."""
        data = classes.load(self.options, f"few-labels:num_labels={labels},seed={seed},share={chosen['share']}")
        if method in FEATURES:
            first = self.first_stage(seed)
            found = pv.classify_features(first.pair, data.train, data.test, method.removeprefix("m1-"))
            return {"error": 100 * (1 - found.accuracy), "seconds": classes.seconds(first)}
        pair = self.pair(method, data, seed)
        base = {"name": "meanfield", "beta": chosen["beta"]}
        objective = {"name": "semisupervised", "alpha": chosen["alpha"], "base": base}
        run = classes.train(pair, data, objective, seed, self.options, chosen)
        extra = classes.seconds(self.features[seed]) if method == "m1-m2" else 0.0
        found = classes.error(pair, data)
        if chosen["pixels"] != "grey":
            grey = pv.data.load(self.options.data, binarization="none")
            found["grey_error"] = classes.error(of_grey(pair, grey.spec), grey)["error"]
        return {**found, "seconds": classes.seconds(run) + extra, "bound": run.records[-1]["train"]}


def of_grey(pair: pv.Pair, spec: pv.data.DataSpec) -> pv.Pair:
    """The trained networks under the cross-entropy of grey pixels, in place of the Bernoulli of binary ones."""
    options = {**pair.recipe["options"], "likelihood": "bernoulli-grey"}
    grey = pv.pairs.get(pair.recipe["name"])(spec, **options)
    grey.model.load_state_dict(pair.model.state_dict())
    grey.guide.load_state_dict(pair.guide.state_dict())
    return grey


def run(job: Job) -> None:
    """Each seed, number of labels and method."""
    options, methods = job.options, Methods(job.options)
    for seed in options.seeds:
        for labels in options.labels:
            for method in options.methods:
                chosen = classes.settings_of(options, method, *classes.SETTINGS, "beta")
                key = {"method": method, "network": classes.network(method, options), "labels": labels, "seed": seed, **chosen}
                job.records.cell(key, functools.partial(methods.cell, method, labels, seed, chosen))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Errors, published ones beside them."""

    def known(row: Row) -> str:
        return PUBLISHED.get((row["method"], row["labels"]), "") if row["data"] == "mnist" else ""

    return {"semisupervised": classes.over_seeds(rows, ["error", "grey_error", "calibration", "seconds"], known)}


ENTRY = Entry(
    name="semisupervised",
    shows="Test error with 100 to 3,000 labels: M1 and a classifier, M2, M1+M2, ADGM, SDGM.",
    budgets={
        "smoke": Spend("10 seconds", {"data": "digits", "epochs": 1, "methods": ["m1-knn", "m2", "m1-m2"]}),
        "cpu": Spend("1.5 to 12 minutes a cell on one core", {"seeds": [0, 1, 2, 3, 4]}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "methods": Option("which", METHODS, str, METHODS),
        **classes.OPTIONS,
        "beta": Option("weight of the KL in training", None, float),
    },
)
