"""Posterior collapse: a recurrent VAE of captions with each of the remedies, two epochs a row.

ELBO and log p(x) (K draws) in nats a test sentence, KL and mutual information of x and z under the guide over all test
sentences; at collapse both are 0 and every sentence is written alike whatever z is. All rows but two have the same LSTM.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.tables.sentences import Cell, has_latent, latents, loaded, scores, train

__all__ = ["ENTRY"]

SMALL = {"embedding_dim": 64, "recurrent_dim": 96}
SIZES = {**SMALL, "latent_dim": 32}
ROWS: dict[str, tuple[Cell, str]] = {  # and what is done
    "no latent": (Cell("multi30k", "sentence-vae", {**SMALL, "latent": False}), "the LSTM alone"),
    "plain": (Cell("multi30k", "sentence-vae", SIZES), "nothing"),
    "warmup": (Cell("multi30k", "sentence-vae", SIZES, warmup=1), "the KL's weight grows from 0 over the first epoch"),
    "free bits": (
        Cell("multi30k", "sentence-vae", SIZES, {"name": "meanfield", "free_bits": 6.0}),
        "a KL below 6 nats costs as much as 6",
    ),
    "word dropout": (
        Cell("multi30k", "sentence-vae", {**SIZES, "word_dropout": 0.4}),
        "40% of the words before are hidden in training",
    ),
    "warmup and word dropout": (
        Cell("multi30k", "sentence-vae", {**SIZES, "word_dropout": 0.4}, warmup=1),
        "both, as Bowman et al. 2016",
    ),
    "aggressive encoder": (
        Cell("multi30k", "sentence-vae", SIZES, {"name": "aggressive", "encoder_steps": 4, "every": 300}),
        "4 steps of the guide before each of the model, until I(x; z) stops rising (He et al. 2019)",
    ),
    "small receptive field": (
        Cell("multi30k", "dilated-text-vae", {**SMALL, "latent_dim": 32, "dilations": [1]}),
        "a convolution sees z and 3 words before (Yang et al. 2017)",
    ),
    "auxiliary likelihood": (
        Cell("multi30k", "hybrid-text-vae", {**SIZES, "channels": 64}, {"name": "auxiliary", "weight": 0.2}),
        "deconvolutions of z say the words too, weighed .2 (Semeniuta et al. 2017)",
    ),
}


def measured(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train a row and score the test sentences."""
    cell, _ = ROWS[name]
    data = loaded("multi30k", options.rows)
    began = time.process_time()
    run = train(data, cell, seed, options.seconds, options.epochs)
    spent = time.process_time() - began
    test = data.test
    assert isinstance(test, pv.data.Split)
    chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))[: options.sentences]
    ahead: dict[str, Any] = {}
    if "aggressive" in run.history:
        ahead = {"ahead": [round(float(value), 2) for value in run.history["aggressive"]]}
    found = {"epochs": len(run.records), "cpu_seconds": round(spent), **ahead, **latents(run, test, seed)}
    return {**found, **scores(run, test.subset(chosen), options.samples if has_latent(run) else 1, seed)}


def run(job: Job) -> None:
    """Each row and seed."""
    options = job.options
    shared = {name: value for name in ("seconds", "epochs", "samples", "sentences") if (value := getattr(options, name))}
    shared |= {} if options.rows is None else {"rows": options.rows}
    for name in options.remedies:
        for seed in options.seeds:
            job.records.cell({"remedy": name, "seed": seed, **shared}, functools.partial(measured, name, seed, options))


HEADS = {"elbo": "ELBO", "log_p": "log p(x)", "kl": "KL", "mutual_information": "I(x; z)", "perplexity": "perplexity"}


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A row a remedy."""
    lines = [
        [row["remedy"], ROWS[row["remedy"]][1], row["epochs"], row["cpu_seconds"]]
        + [f"{row[name]:.2f}" if name in row else "" for name in HEADS]
        for row in rows
        if row["remedy"] in ROWS
    ]
    return {"collapse": markdown.table(["remedy", "what is done", "epochs", "CPU s", *HEADS.values()], lines)}


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """What a nat of KL costs in ELBO."""
    points = [row for row in rows if "kl" in row]
    figure = Figure(figsize=(6, 3.6))
    axes = figure.add_subplot()
    for row in points:
        axes.plot(row["kl"], row["elbo"], "o")
        axes.annotate(row["remedy"], (row["kl"], row["elbo"]), (4, 4), textcoords="offset points", fontsize=7)
    for row in rows:
        if "kl" not in row:
            axes.axhline(row["elbo"], color="grey", linewidth=0.8, linestyle="--", label="the LSTM without a latent")
    axes.set(xlabel="KL, nats a sentence", ylabel="ELBO, nats a sentence")
    axes.margins(x=0.25)
    axes.legend(frameon=False, fontsize=7)
    figure.tight_layout()
    return {"collapse": figure}


SMOKE = {
    "seconds": 0.0,
    "epochs": 1,
    "samples": 2,
    "sentences": 10,
    "rows": 60,
    "remedies": ["no latent", "aggressive encoder"],
}

ENTRY = Entry(
    name="collapse",
    shows="Remedies against posterior collapse on captions: KL, mutual information, ELBO and perplexity of each.",
    budgets={
        "smoke": Spend("5 seconds", SMOKE),
        "cpu": Spend(f"{len(ROWS)} cells of two epochs, two to four minutes of one core each", {}),
    },
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "remedies": Option("which", list(ROWS), str, tuple(ROWS)),
        "epochs": Option("of each row", 2),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 600.0),
        "samples": Option("K of log p(x)", 50),
        "sentences": Option("of the test part, at random, for ELBO and log p(x)", 500),
        "rows": Option("so many sentences by rule, in place of the captions", None, int),
    },
)
