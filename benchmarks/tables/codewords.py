"""A VQ-VAE of MNIST in nats: codewords used, what a learned prior of them saves, and the bound beside a VAE's.

49 places of 128 codewords. With the uniform prior they cost 49 log 128 = 237.75 nats whatever x is; stage two learns
p(i_1) p(i_2 | i_1) ... by masked convolutions, the codewords standing still. log p(x) >= log p(x | z(x)) + log p(z(x)), z(x)
the codewords nearest to the encoding: a lower bound, since the guide is a point among finitely many. MNIST has no agreed
figure.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Sequence
from typing import Any

import torch

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.evaluation.codes import code_use

__all__ = ["ENTRY"]

SIZES: dict[str, Any] = {"num_codes": 128, "code_dim": 64, "channels": [32, 64]}
TINY: dict[str, Any] = {"num_codes": 4, "code_dim": 3, "channels": [4, 4]}


def cell(seed: int, options: argparse.Namespace) -> Row:
    """Train the codewords and networks, then the prior; the bound by its two parts on the test images."""
    data = pv.data.load(options.data, binarization="fixed")
    sizes = TINY if options.tiny else SIZES
    hidden = {"prior_hidden": 6} if options.tiny else {}
    torch.manual_seed(seed)
    pair = pv.pairs.conv_vq_vae(data.spec, **sizes, prior="convolution", **hidden)
    how = {
        "batch_size": 128,
        "lr": options.lr,
        "seed": seed,
        "progress": False,
        "validate": False,
        "compile": not options.eager,
    }
    how |= {"epochs": options.epochs}
    stages = {"callbacks": [Deadline(options.seconds)]}
    run = finished(pv.fit_stages(pair, data, stage_options=stages, callbacks=[Deadline(options.prior_seconds)], **how))
    counts = code_use(run, data.train.subset(torch.arange(min(10_000, len(data.train)))))["z"]
    found = pv.evaluate(run, data.test, num_samples=1)
    assert found.evidence is not None
    bound = found.evidence.elbo.mean().item()
    rate = found.kl["z"].total
    places = math.prod(pair.guide.encoder.grid)
    return {
        "bound": bound,
        "rate": rate,
        "uniform": places * math.log(len(counts)),
        "used": float((counts > 0).float().mean()),
        "epochs": len(run.records),
    }


def run(job: Job) -> None:
    """Each seed."""
    options = job.options
    names = ("data", "seconds", "prior_seconds", "lr", "epochs")
    for seed in options.seeds:
        key = {"seed": seed, **{name: getattr(options, name) for name in names}}
        job.records.cell(key, functools.partial(cell, seed, options))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A seed a line."""
    lines = [
        [
            row["seed"],
            f"{row['seconds']:g} + {row['prior_seconds']:g}",
            f"{100 * row['used']:.0f}",
            f"{row['uniform']:.2f}",
            f"{row['rate']:.2f}",
            f"{row['uniform'] - row['rate']:.2f}",
            f"{-row['bound'] - row['rate']:.2f}",
            f"{-row['bound']:.2f}",
        ]
        for row in rows
    ]
    heads = [
        "seed",
        "CPU s",
        "codewords used, %",
        "places x log K",
        "-log p(z), learned",
        "saved",
        "-log p(x given z)",
        "-bound",
    ]
    return {"codewords": markdown.table(heads, lines)}


SMOKE = {"data": "digits", "seconds": 0.0, "prior_seconds": 0.0, "epochs": 1, "eager": True, "tiny": True}

ENTRY = Entry(
    name="codewords",
    shows="A VQ-VAE of MNIST in nats: codewords used, what a learned prior of them saves, its bound.",
    budgets={"smoke": Spend("4 seconds", SMOKE), "cpu": Spend("8 minutes of one core", {})},
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "data": Option("a named data set of images", "mnist"),
        "seconds": Option("of the processor for the codewords and networks, after which the epoch at hand is the last", 220.0),
        "prior_seconds": Option("likewise for the prior", 160.0),
        "epochs": Option("of each at most", 10_000),
        "lr": Option("learning rate of Adam", 1e-3),
        "eager": Option("compile nothing", False),
        "tiny": Option("small networks", False),
    },
)
