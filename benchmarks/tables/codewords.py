"""A VQ-VAE of MNIST in nats: codewords used, what a learned prior of them saves, and the bound beside a VAE's.

49 places of 128 codewords. With the uniform prior they cost 49 log 128 = 237.75 nats whatever x is; stage two learns
p(i_1) p(i_2 | i_1) ... by masked convolutions, the codewords standing still. log p(x) >= log p(x | z(x)) + log p(z(x)), z(x)
the codewords nearest to the encoding: a lower bound, since the guide is a point among finitely many. MNIST has no agreed
figure. The VQ-VAE-2 has 16 places of 128 more codewords in a grid above; its bound is log p(x | z1, z2) + log p(z2) +
log p(z1 | z2).
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


RECIPES = ("conv-vq-vae", "vq-vae-2")


def cell(recipe: str, seed: int, options: argparse.Namespace) -> Row:
    """Train the codewords and networks, then the prior; the bound by its two parts on the test images."""
    data = pv.data.load(options.data, binarization="fixed")
    sizes = TINY if options.tiny else SIZES
    hidden = {"prior_hidden": 6} if options.tiny else {}
    torch.manual_seed(seed)
    pair = pv.pairs.get(recipe).build(data.spec, **sizes, prior="convolution", **hidden)
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
    shown = data.train.subset(torch.arange(min(10_000, len(data.train))))
    counts = code_use(run, shown)
    found = pv.evaluate(run, data.test, num_samples=1)
    assert found.evidence is not None
    bound = found.evidence.elbo.mean().item()
    used = {name: float((each > 0).float().mean()) for name, each in counts.items()}
    return {
        "bound": bound,
        "rate": sum(found.kl[name].total for name in counts),
        "uniform": sum(int(each.sum()) / len(shown) * math.log(len(each)) for each in counts.values()),
        "used": used["z"] if list(used) == ["z"] else used,
        "epochs": len(run.records),
    }


def run(job: Job) -> None:
    """Each recipe and seed."""
    options = job.options
    names = ("data", "seconds", "prior_seconds", "lr", "epochs")
    for recipe in options.recipes:
        for seed in options.seeds:
            key = {"seed": seed, **{name: getattr(options, name) for name in names}}
            if recipe != RECIPES[0]:
                key["recipe"] = recipe
            job.records.cell(key, functools.partial(cell, recipe, seed, options))


def _used(row: Row) -> str:
    """Shares of codewords used, in percent, of each site."""
    used = row["used"].values() if isinstance(row["used"], dict) else [row["used"]]
    return ", ".join(f"{100 * share:.0f}" for share in used)


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A recipe and seed a line."""
    lines = [
        [
            row.get("recipe", RECIPES[0]),
            row["seed"],
            f"{row['seconds']:g} + {row['prior_seconds']:g}",
            _used(row),
            f"{row['uniform']:.2f}",
            f"{row['rate']:.2f}",
            f"{row['uniform'] - row['rate']:.2f}",
            f"{-row['bound'] - row['rate']:.2f}",
            f"{-row['bound']:.2f}",
        ]
        for row in rows
    ]
    heads = [
        "recipe",
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
    budgets={"smoke": Spend("8 seconds", SMOKE), "cpu": Spend("2 cells of 8 minutes of one core", {})},
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "recipes": Option("which", list(RECIPES), str, RECIPES),
        "data": Option("a named data set of images", "mnist"),
        "seconds": Option("of the processor for the codewords and networks, after which the epoch at hand is the last", 220.0),
        "prior_seconds": Option("likewise for the prior", 160.0),
        "epochs": Option("of each at most", 10_000),
        "lr": Option("learning rate of Adam", 1e-3),
        "eager": Option("compile nothing", False),
        "tiny": Option("small networks", False),
    },
)
