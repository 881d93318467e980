"""Disentanglement of sprites with known factors: seven methods, medians and quartiles over seeds.

S32 (3 shapes, 6 scales, 20 angles, 16 x 16 places) by dense networks 1024-400-400 and ten codes; XYS-uneven (one ellipse of 6
scales at 16 x 16 places, 16 columns by 6 rows wide) by 1024-256-256 and six; dSprites by convolutions and ten. Published
protocol: convolutions, batches of 64, Adam 1e-4, 300,000 steps, medians over 50 seeds (Locatello et al., 2019).
"""

from __future__ import annotations

import argparse
import base64
import functools
import statistics
import time
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.evaluation.latents import kl_per_dim
from pyrovae.plots.figures import new_figure

__all__ = ["ENTRY"]

DENSE = {"latent_dim": 10, "hidden": [400, 400], "activation": "relu"}
SMALL = {"latent_dim": 6, "hidden": [256, 256], "activation": "relu"}
CONVOLUTIONS = {"latent_dim": 10, "channels": [32, 32, 64, 64], "hidden": 256}
FACTOR = {"name": "factor", "gamma": 35.0, "hidden": 1000, "depth": 6}
Cell = tuple[str, dict[str, Any], Any, int]  # recipe, its options, objective (None: the recipe's), epochs of growing capacity
CELLS: dict[str, dict[str, Cell]] = {
    "s32": {
        "vae": ("vae", DENSE, "meanfield", 0),
        "beta-vae": ("beta-vae", {**DENSE, "beta": 4.0}, None, 0),
        "annealed-vae": ("annealed-vae", {**DENSE, "capacity": 13.0, "gamma": 100.0}, None, 20),
        "factor-vae": ("factor-vae", {**DENSE, "gamma": 10.0, "discriminator_hidden": 256, "discriminator_depth": 3}, None, 0),
        "beta-tcvae": ("beta-tcvae", {**DENSE, "beta": 6.0}, None, 0),
        "dip-vae I": ("dip-vae", {**DENSE, "form": "I"}, None, 0),
        "dip-vae II": ("dip-vae", {**DENSE, "form": "II"}, None, 0),
    },
    "xys-uneven": {
        "vae": ("vae", SMALL, "meanfield", 0),
        "annealed-vae": ("annealed-vae", {**SMALL, "capacity": 8.0, "gamma": 30.0}, None, 290),
    },
    "dsprites-packed": {
        "factor-vae": ("conv-vae", CONVOLUTIONS, FACTOR, 0),
        "beta-tcvae": ("conv-vae", CONVOLUTIONS, {"name": "tc", "beta": 6.0}, 0),
    },
}
WALK = (6, 7)  # codes, and places of each
SYSTEMS = list(dict.fromkeys(name for cells in CELLS.values() for name in cells))
SHOWN = {
    "MIG, binned": "MIG, 20 bins",
    "MIG": "MIG",
    "FactorVAE score": "FactorVAE score",
    "SAP": "SAP, R^2",
    "modularity": "modularity",
    "Gaussian TC": "Gaussian TC, nats",
}


@functools.lru_cache(maxsize=1)
def load(name: str) -> pv.data.Data:
    """The data set, once for all cells."""
    return pv.data.load(name)


def cell(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train, and evaluate on rows of all parts."""
    recipe, sizes, objective, warmup = CELLS[options.data][name]
    data = load(options.data)
    torch.manual_seed(seed)
    pair = pv.pairs.get(recipe).build(data.spec, **sizes)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    how = {"batch_size": options.batch, "lr": options.lr, "seed": seed, "device": options.device, "progress": False}
    ends = {"epochs": 10**6, "steps": options.steps} if options.steps else {"epochs": 10**6}
    how |= {"validate": False, "compile": not options.eager, "callbacks": [Deadline(options.seconds, clock)]}
    if warmup:
        how["kl_warmup"] = warmup
    run = finished(pv.fit(pair, data, objective, **ends, **how))
    how = {"num_data": options.codes, "num_votes": options.votes, "num_draws": 500, "importance": None, "seed": 0}
    scores = pv.disentanglement_scores(run, data, **how)
    found = {score.name: score.value for score in scores.scores}
    shown = pv.evaluate(run, data.test, num_samples=10, max_rows=500, seed=0)
    assert shown.evidence is not None
    elbo, rate = shown.evidence.elbo.mean().item(), sum(kl.total for kl in shown.kl.values())
    return {
        "scores": found,
        "active_units": int(scores.active.sum()),
        "elbo": elbo,
        "rate": rate,
        "distortion": -elbo - rate,
        "steps": run.step,
        **({"walk": walk(run, data)} if options.data == "s32" else {}),
    }


def walk(run: pv.Run, data: pv.data.Data) -> str:
    """One sprite with each code moved from -2 to 2, (6, 7, 32, 32) of bytes as text: the codes of the largest KL first."""
    assert data.test is not None
    one = {"x": data.test[:1]["x"]}
    kl = kl_per_dim(run, data.test.subset(torch.arange(500)))["z"].per_dim
    pictures = pv.traverse(run, one, site="z", values=torch.linspace(-2, 2, WALK[1]).tolist())
    chosen = pictures[kl.argsort(descending=True)[: WALK[0]]]
    return base64.b64encode(zlib.compress((chosen * 255).round().to(torch.uint8).numpy().tobytes(), 9)).decode()


def run(job: Job) -> None:
    """Each system and seed."""
    options = job.options
    names = ("data", "seconds", "steps", "batch", "lr", "codes", "votes")
    shared = {name: getattr(options, name) for name in names}
    for seed in options.seeds:
        for name in options.systems:
            if name in CELLS[options.data]:
                key = {"system": name, "seed": seed, **shared, "device": options.device}
                job.records.cell(key, functools.partial(cell, name, seed, options))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A system a line: medians, and quartiles where there are several seeds."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((list(CELLS).index(row["data"]), SYSTEMS.index(row["system"]), row["device"]), []).append(row)
    lines = []
    for _, same in sorted(groups.items()):
        figures = [quartiles([row["scores"][name] for row in same]) for name in SHOWN]
        more = [quartiles([float(row[name]) for row in same], 1) for name in ("active_units", "elbo")]
        steps = f"{statistics.median(row['steps'] for row in same):.0f}"
        lines.append([same[0]["data"], same[0]["system"], same[0]["device"], len(same), steps, *figures, *more])
    heads = ["data", "system", "device", "seeds", "steps", *SHOWN.values(), "active codes", "ELBO"]
    return {"disentanglement": markdown.table(heads, lines)}


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Distortion over rate of the runs on S32, coloured by MIG."""
    shown = [row for row in rows if row["data"] == "s32"]
    if not shown:
        return {}
    figure, axes = new_figure(5.5, 3.6)
    for marker, name in zip("osv^D<>", CELLS["s32"], strict=True):
        of = [row for row in shown if row["system"] == name]
        places = [[row[key] for row in of] for key in ("rate", "distortion")]
        colours = [row["scores"]["MIG"] for row in of]
        dots = axes.scatter(*places, c=colours, vmin=0, vmax=0.4, s=24, marker=marker, cmap="viridis", label=name)
    figure.colorbar(dots, label="MIG")
    axes.set(xlabel="rate KL(q || p), nats", ylabel="distortion -E log p(x | z), nats")
    axes.legend(frameon=False, fontsize=7)
    walks = {row["system"]: row for row in shown if "walk" in row}
    sheets = {"disentanglement": sheet(list(walks.values()))} if walks else {}
    return {**sheets, "disentanglement-curves": figure}


def sheet(rows: Sequence[Row]) -> Figure:
    """The same sprite under each method."""
    figure, axes = new_figure(2.2 * len(rows), 2.4, len(rows))
    for one, row in zip([axes] if len(rows) == 1 else axes, rows, strict=True):
        values = np.frombuffer(zlib.decompress(base64.b64decode(row["walk"])), np.uint8).reshape(*WALK, 32, 32)
        one.imshow(values.transpose(0, 2, 1, 3).reshape(WALK[0] * 32, WALK[1] * 32), cmap="gray", vmin=0, vmax=255)
        one.set(xticks=[], yticks=[])
        one.set_title(f"{row['system']}, MIG {row['scores']['MIG']:.2f}", fontsize=8)
    return figure


def quartiles(values: list[float], digits: int = 2) -> str:
    """Median (quartiles)."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


SMOKE = {"data": "xys-uneven", "seconds": 0.0, "steps": 2, "eager": True, "codes": 300, "votes": 50}
GPU = {"data": "dsprites-packed", "device": "cuda", "seconds": 1200.0, "steps": 300_000, "batch": 64, "lr": 1e-4}

ENTRY = Entry(
    name="disentanglement",
    shows="Seven methods on sprites of known factors by the field's metrics, medians over seeds.",
    budgets={
        "smoke": Spend("5 seconds", {**SMOKE, "systems": ["vae"]}),
        "cpu": Spend("35 cells of 3 minutes of one core", {"seeds": [0, 1, 2, 3, 4]}),
        "gpu": Spend("10 cells of 20 minutes of a GPU", {**GPU, "seeds": [0, 1, 2, 3, 4]}),
    },
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "systems": Option("which", SYSTEMS, str, tuple(SYSTEMS)),
        "data": Option("the sprites", "s32", str, tuple(CELLS)),
        "seconds": Option(
            "for training (of the processor, on a GPU by the clock), after which the epoch at hand is the last", 160.0
        ),
        "steps": Option("at most", None, int),
        "batch": Option("rows a step", 128),
        "lr": Option("learning rate of Adam", 5e-4),
        "codes": Option("data whose codes are scored", 10_000),
        "votes": Option("of the beta-VAE and the FactorVAE score", 5_000),
        "device": Option("cpu or cuda", "cpu"),
        "eager": Option("compile nothing", False),
    },
)
