"""Likelihoods of colours on patches of two photographs, in bits per dimension of patches that no training patch touches."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import pyrovae as pv
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.tables import classes

__all__ = ["ENTRY"]

LIKELIHOODS: dict[str, dict[str, Any]] = {
    "gaussian": {"scale": "predicted"},  # its density times the width of a level: no mass
    "discretized-logistic": {"scale": "predicted"},
    "logistic-mixture:num_components=5,autoregressive=false": {},
    "logistic-mixture:num_components=5": {},
}
TRAIN, VALID = 0.7, 0.8  # where the pictures are cut, by their width


def patches(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patches (N, 3, size, size) of the bytes of both pictures: overlapping in the left part, side by side in the others."""
    from sklearn.datasets import load_sample_images

    parts: list[list[np.ndarray]] = [[], [], []]
    for picture in load_sample_images().images:
        edges = [0, *(int(share * picture.shape[1]) for share in (TRAIN, VALID)), picture.shape[1]]
        for number, (left, right) in enumerate(itertools.pairwise(edges)):
            step = size // 2 if number == 0 else size
            windows = np.lib.stride_tricks.sliding_window_view(picture[:, left:right], (size, size), (0, 1))[::step, ::step]
            parts[number].append(windows.reshape(-1, 3, size, size))
    train, valid, test = (np.concatenate(part) for part in parts)
    return train, valid, test


def cell(likelihood: str, seed: int, size: int, epochs: int, samples: int, rows: int | None) -> dict[str, Any]:
    """One likelihood: trained, and log p of held-out patches."""
    data = pv.data.load(tuple(part[:: max(1, len(part) // rows)] if rows else part for part in patches(size)))
    torch.manual_seed(seed)
    began = time.process_time()
    own = LIKELIHOODS[likelihood]
    pair = pv.pairs.vae(data.spec, latent_dim=32, hidden=[256, 256], activation="relu", likelihood=likelihood, **own)
    options = {"patience": 10, "clip_norm": 100.0, "compile": False}
    run = pv.fit(pair, data, epochs=epochs, batch_size=200, seed=seed, progress=False, **options)
    found = pv.log_evidence(run, data.test, num_samples=samples)
    dims = math.prod(data.spec.shape)
    width = -math.log(data.spec.levels - 1) if likelihood == "gaussian" else 0.0  # of a level, for a density
    bits = -(found.mean / dims + width) / math.log(2)
    error = found.mean_stderr / dims / math.log(2)
    figures = {"bits_per_dim": bits, "stderr": error, "mc_stderr": found.mean_mc_stderr / dims / math.log(2)}
    return {**figures, "epochs": len(run.history), "patches": len(data.test), "cpu_s": round(time.process_time() - began, 1)}


def run(job: Job) -> None:
    """Every likelihood, each seed."""
    options = job.options
    for likelihood in LIKELIHOODS:
        for seed in options.seeds:
            settings = (options.size, options.epochs, options.samples, options.rows)
            key = {"method": likelihood, "seed": seed, "size": options.size, "most_epochs": options.epochs}
            job.records.cell(key, functools.partial(cell, likelihood, seed, *settings))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A row for each likelihood."""
    return {"photo-patches": classes.over_seeds(rows, ["bits_per_dim", "stderr", "mc_stderr", "epochs", "cpu_s"])}


ENTRY = Entry(
    name="photo-patches",
    shows="Mixtures of discretized logistics on colour patches of two photographs, beside plain likelihoods.",
    budgets={
        "smoke": Spend("5 seconds", {"epochs": 1, "samples": 5, "rows": 200, "size": 4}),
        "cpu": Spend("4 cells of at most 5 minutes"),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "size": Option("of a patch's sides", 8),
        "epochs": Option("of training, at most", 60),
        "samples": Option("of log p(x)", 200),
        "rows": Option("so many patches of each part; all by default", kind=int),
    },
)
