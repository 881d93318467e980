"""What the benchmarks of labels and of parts share: data, pairs, training, their options, and their tables over seeds."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from scipy.stats import t

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import Option
from benchmarks.lab.records import Row, finished

__all__ = [
    "OPTIONS",
    "SETTINGS",
    "build",
    "error",
    "load",
    "network",
    "over_seeds",
    "seconds",
    "settings_of",
    "sizes",
    "train",
]

FEATURES = ("m1-svm", "m1-logistic", "m1-knn", "m1-label-spreading")
NETWORKS = {
    "m2": {"hidden": [500, 500], "latent_dim": 50, "activation": "relu"},
    "m1-m2": {"feature_hidden": [600, 600], "feature_dim": 50, "hidden": [500], "latent_dim": 10, "activation": "relu"},
    "adgm": {"hidden": [500, 500], "latent_dim": 50, "auxiliary_dim": 50, "activation": "relu"},
    "sdgm": {"hidden": [500, 500], "latent_dim": 50, "auxiliary_dim": 50, "activation": "relu"},
    "estimators": {"hidden": [500, 500], "latent_dim": 50, "activation": "relu"},
}
SMALL = {"feature_hidden": [20], "feature_dim": 5, "hidden": [20], "latent_dim": 3, "auxiliary_dim": 3}
# Chosen by the test error of the first draws after 6 to 30 epochs, as results/semisupervised.md tells: M2 with one to four
# layers, softplus and relu, a hundredth to a half labelled, alpha from 0.1 to 1000, the KL times 1 to 10, decay of 0.1 to 3,
# batches of 50 to 200; M1+M2 with the KL times 1 to 30, 3 to 50 dimensions of style, a tenth and a half labelled. A heavier KL
# leaves the style less, and the class more, to say. What is said of M1 holds for the other tables too.
TRAINING = {
    "m2": {"alpha": 50.0, "beta": 3.0, "share": 0.1667, "lr": 1e-3, "decay": 0.3, "batch": 60},
    "m1-m2": {"alpha": 3.0, "beta": 10.0, "share": 0.1, "lr": 1e-3, "decay": 0.0, "batch": 100},
    "adgm": {"alpha": 50.0, "beta": 3.0, "share": 0.1667, "lr": 1e-3, "decay": 0.3, "batch": 60},
    "sdgm": {"alpha": 50.0, "beta": 3.0, "share": 0.1667, "lr": 1e-3, "decay": 0.3, "batch": 60},
    "m1": {"alpha": 0.0, "beta": 1.0, "share": 0.1, "lr": 1e-3, "decay": 0.0, "batch": 200},
    "estimators": {"alpha": 10.0, "share": 0.5, "lr": 1e-3, "decay": 0.3, "batch": 100},
}
SETTINGS = ("data", "pixels", "epochs", "alpha", "share", "batch", "lr", "decay", "precision")
OPTIONS = {
    "data": Option("images and labels", "mnist"),
    "pixels": Option("by default grey, of quadrants dynamic", None, str, ("grey", "dynamic", "threshold")),
    "epochs": Option("of training", 50),
    "labels": Option("how many images have one", [100]),
    "share": Option("of a batch, the labelled rows; by default the method's own, as the next four", None, float),
    "alpha": Option("weight of the classifier's term", None, float),
    "batch": Option("rows of a batch", None, int),
    "lr": Option("learning rate", None, float),
    "decay": Option("of the weights: a step takes lr times decay of each", None, float),
    "precision": Option("of the networks, in training", "float32", str, ("float32", "bf16")),
}


def load(options: argparse.Namespace, *transforms: str) -> pv.data.Data:
    """The data set, its pixels binarized as the options say."""
    binarization = "none" if options.pixels in (None, "grey") else options.pixels
    return pv.data.load(options.data, binarization=binarization, transforms=transforms)


def build(name: str, data: pv.data.Data, seed: int, options: argparse.Namespace, **more: Any) -> pv.Pair:
    """A pair, its parameters drawn by the seed."""
    torch.manual_seed(seed)
    likelihood = {"likelihood": "bernoulli-grey"} if options.pixels in (None, "grey") else {}
    return pv.pairs.get(name).build(data.spec, **likelihood, **more)


def sizes(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """Options of a method's pair."""
    small = SMALL if options.budget == "smoke" else {}
    return {name: small.get(name, value) for name, value in NETWORKS[method].items()}


def network(method: str, options: argparse.Namespace) -> str:
    """Hidden layers and [latent dimensions], as in 600-600-[50] for M1 and 600-600-[50]-500-[10] for M1+M2 on it."""
    own = sizes("m1-m2" if method in FEATURES else method, options)
    first = [*own["feature_hidden"], [own["feature_dim"]]] if "feature_dim" in own else []
    rest = [*own["hidden"], [own[name] for name in ("latent_dim", "auxiliary_dim") if name in own]]
    return "-".join(map(str, first if method in FEATURES else [*first, *rest]))


def settings_of(options: argparse.Namespace, method: str, *names: str) -> dict[str, Any]:
    """Options by name, those of training the method's own where the command line leaves them open."""
    own = {"pixels": "grey", **TRAINING.get(method, TRAINING["m1"])}
    return {name: own[name] if name in own and getattr(options, name) is None else getattr(options, name) for name in names}


def train(
    pair: pv.Pair,
    data: pv.data.Data,
    objective: Any,
    seed: int,
    options: argparse.Namespace,
    chosen: dict[str, Any],
    epochs: int | None = None,
) -> pv.Run:
    """A run by AdamW whose learning rate falls to zero along half a cosine."""
    return finished(
        pv.fit(
            pair,
            data,
            objective,
            epochs=epochs or options.epochs,
            batch_size=chosen["batch"],
            lr=chosen["lr"],
            optimizer="AdamW",
            optimizer_options={"weight_decay": chosen["decay"]},
            scheduler="CosineAnnealingLR",
            scheduler_options={"T_max": epochs or options.epochs},
            precision=options.precision,
            seed=seed,
            validate=False,
            progress=False,
        )
    )


def error(pair: Any, data: pv.data.Data) -> dict[str, float]:
    """Percent of the test images, log loss and calibration error."""
    found = pv.classify(pair, data.test)
    return {"error": 100 * (1 - found.accuracy), "log_loss": found.log_loss, "calibration": found.calibration_error}


def seconds(run: pv.Run) -> float:
    """Of training."""
    return round(sum(row["seconds"] for row in run.records), 1)


# ------------------------------------------------------------------------------------------------ tables
SHOWN = ("method", "network", "labels", "given", *SETTINGS, "beta", "threads")


def over_seeds(rows: Sequence[Row], columns: Sequence[str], known: Callable[[Row], str] | None = None) -> str:
    """Markdown: means over seeds with their 95% intervals (Student's t); settings that all rows share stand above it.

    Args:
        known: the published figure of a row.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    rows = sorted(rows, key=lambda row: (methods.index(row["method"]), row.get("labels", row.get("given", 0))))
    names = [k for k in SHOWN if len({row.get(k) for row in rows}) > 1 or k == "method"]
    shared = [f"{k} {rows[0][k]}" for k in SHOWN if k in rows[0] and k not in names]
    lines = []
    for group in dict.fromkeys(tuple(row.get(k) for k in names) for row in rows):
        cells = [row for row in rows if tuple(row.get(k) for k in names) == group]
        shown = [_interval([row[k] for row in cells if k in row]) for k in columns]
        lines.append([*group, len(cells), *shown, *([known(cells[0])] if known else [])])
    heads = [*names, "seeds", *columns, *(["published"] if known else [])]
    return "\n".join([*([", ".join(shared), ""] if shared else []), markdown.table(heads, lines)])


def _interval(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.4g}"
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.4g} +- {half:.2g}" if half < 10 else f"{mean:.4g} +- {half:.0f}"
