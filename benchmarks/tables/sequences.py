"""Models of sequences on polyphonic music, in nats a step by the ELBO, importance and particle filters; and a bouncing ball.

Each cell is a system on a set of music, trained for the same seconds of one core and evaluated on whole test sequences: the
ELBO, the bound of N samples of the guide, and that of a particle filter of N particles, as totals over all data divided by the
total of their steps. Longer sequences than the chorales are trained in windows. Of the films of a ball, frames 7 to 14 of each
are missing, and the Kalman VAE's pixels there are compared with linear interpolation between the frames beside the gap.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline

__all__ = ["ENTRY", "interpolated"]

ROWS_EVALUATED = 50  # sequences of like length at a time
GAP = slice(6, 14)  # frames that are missing of the films


@dataclass(frozen=True)
class System:
    """A recipe as it is trained: options by the sizes at hand, objective, epochs of warmup."""

    recipe: str
    objective: str = "elbo"
    flows: int = 0
    warms: bool = False

    def build(self, spec: Any, size: int) -> pv.Pair:
        """The pair, of networks about as large as the others'."""
        if self.recipe == "vrae":
            options: dict[str, Any] = {"latent_dim": size, "recurrent_dim": 4 * size}
        elif self.recipe == "kalman-vae":
            options = {"recurrent_dim": size, "hidden": [2 * size, size]}
        else:
            options = {"latent_dim": size, "recurrent_dim": size, "hidden": [size]}
        if self.recipe in ("dmm", "srnn"):
            options |= {"transition_dim": 2 * size}
        if self.recipe == "dmm":
            options |= {"recurrent_dim": 4 * size}
            options |= {"num_flows": self.flows, "flow_hidden": [size]} if self.flows else {}
        if self.recipe == "srnn":
            options |= {"recurrent_dim": 2 * size, "smoother_dim": 2 * size}
        return pv.pairs.get(self.recipe).build(spec, **options)


SYSTEMS = {
    "vrae": System("vrae"),
    "vrnn": System("vrnn"),
    "vrnn iwae": System("vrnn", "iwae"),
    "vrnn fivo": System("vrnn", "fivo"),
    "dmm": System("dmm", warms=True),
    "dmm 1 iaf": System("dmm", flows=1, warms=True),
    "dmm 2 iaf": System("dmm", flows=2, warms=True),
    "srnn": System("srnn", warms=True),
    "kalman-vae": System("kalman-vae"),
}
MUSIC = [*(f"{name} jsb" for name in list(SYSTEMS)[:-1])]
MUSIC += [f"{name} nottingham" for name in ("vrnn", "vrnn iwae", "vrnn fivo", "dmm", "srnn")]
CELLS = [*MUSIC, "vrnn fivo piano-midi", "vrnn fivo muse-data", "kalman-vae bouncing-ball"]
PUBLISHED = {
    "vrnn jsb": "8.60",
    "vrnn iwae jsb": "7.86",
    "vrnn fivo jsb": "6.90",
    "vrnn nottingham": "3.00",
    "vrnn iwae nottingham": "2.75",
    "vrnn fivo nottingham": "2.68",
    "vrnn fivo piano-midi": "7.76",
    "vrnn fivo muse-data": "6.20",
    "dmm jsb": "6.93 (6.87)",
    "dmm 1 iaf jsb": "(6.82)",
    "dmm 2 iaf jsb": "(6.80)",
}


def music_cell(name: str, data_name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train on music, evaluate on whole sequences."""
    system = SYSTEMS[name]
    whole = pv.data.load(data_name)
    long = whole.spec.shape[0] > options.window
    data = pv.data.load(data_name, transforms=[f"windows:size={options.window}"]) if long else whole
    run = trained(system, data, seed, options)
    return {**trained_facts(run), **nats_a_step(run.pair, whole.test, options.samples, system.recipe != "vrae")}


def trained(system: System, data: pv.data.Data, seed: int, options: argparse.Namespace) -> pv.Run:
    """A run of so many seconds of the processor."""
    torch.manual_seed(seed)
    pair = system.build(data.spec, options.size)
    how: dict[str, Any] = {"name": system.objective} | ({} if system.objective == "elbo" else {"num_particles": 4})
    warmup = {"kl_warmup": options.warmup} if system.warms and options.warmup else {}
    settings = {"batch_size": options.batch, "lr": options.lr, "seed": seed, "clip_norm": 10.0, "progress": False}
    compile = not options.eager and system.recipe != "vrae"  # whose loop lies within one site
    run = pv.fit(
        pair,
        data,
        how,
        epochs=options.epochs,
        patience=options.epochs,
        callbacks=[Deadline(options.seconds)],
        compile=compile,
        **warmup,
        **settings,
    )
    return finished(run)


def trained_facts(run: pv.Run) -> Row:
    """How far it came."""
    return {"epochs": len(run.records), "best_epoch": run.best_epoch}


def nats_a_step(pair: pv.Pair, test: Any, samples: int, in_steps: bool) -> Row:
    """-ELBO, -bound of N samples and of a filter of N particles, per step, with the error of the last mean over data."""
    rows = {key: value for key, value in test[:].items() if key != "index"}
    steps = rows.setdefault("lengths", torch.full((len(rows["x"]),), rows["x"].shape[1])).long()
    order = steps.argsort()
    totals: dict[str, list[Tensor]] = {"elbo": [], "iwae": [], "fivo": []}
    for start in range(0, len(order), ROWS_EVALUATED):
        some = order[start : start + ROWS_EVALUATED]
        longest = int(steps[some].max()) if in_steps else rows["x"].shape[1]
        batch = {"x": rows["x"][some, :longest], "lengths": rows["lengths"][some]}
        bound = pv.log_evidence(pair, batch, num_samples=samples, compile=False)
        totals["elbo"].append(bound.elbo)
        totals["iwae"].append(bound.value)
        if in_steps:
            found = pv.log_evidence(pair, batch, "fivo", num_samples=samples, num_filters=1, compile=False)
            totals["fivo"].append(found.value)
    values = {name: torch.cat(parts) for name, parts in totals.items() if parts}
    best = values["fivo" if in_steps else "iwae"]
    mean = float(best.sum() / steps.sum())
    error = float((best - mean * steps[order]).std() * len(best) ** 0.5 / steps.sum())
    return {**{f"{name}_nats": -float(value.sum() / steps.sum()) for name, value in values.items()}, "stderr": error}


def ball_cell(name: str, data_name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train on films, fill what is missing of the test films."""
    data = pv.data.load(data_name)
    run = trained(SYSTEMS[name], data, seed, options)
    x = data.test[: options.films]["x"]
    mask = torch.ones_like(x)
    mask[:, GAP] = 0
    found = pv.impute(run.pair, {"x": x, "mask": mask}, num_samples=options.samples)
    errors = {"error": found, "interpolated": interpolated(x, GAP)}
    squared = {key: float((value[:, GAP] - x[:, GAP]).square().mean()) for key, value in errors.items()}
    bound = pv.log_evidence(run.pair, data.test[: options.films], num_samples=options.samples, compile=False)
    return {**trained_facts(run), **squared, "elbo_nats": -float(bound.elbo.mean()) / x.shape[1]}


def interpolated(x: Tensor, gap: slice) -> Tensor:
    """Films, (B, T, ...), whose frames of a gap lie on the line between the frames beside it."""
    before, after = gap.start - 1, gap.stop
    filled = x.clone()
    for t in range(gap.start, gap.stop):
        share = (t - before) / (after - before)
        filled[:, t] = (1 - share) * x[:, before] + share * x[:, after]
    return filled


SHARED = ("seconds", "epochs", "size", "lr", "batch", "samples", "window", "warmup", "films")


def run(job: Job) -> None:
    """Each cell and seed."""
    given = job.options
    shared = {name: getattr(given, name) for name in SHARED}
    for cell in given.cells:
        name, data = cell.rsplit(" ", 1)
        measure = ball_cell if name == "kalman-vae" else music_cell
        for seed in given.seeds:
            key = {"system": name, "data": given.data or data, "seed": seed, **shared}
            if given.data and measure is ball_cell:
                key["data"] = data
            job.records.cell(key, functools.partial(measure, name, key["data"], seed, given))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Music beside what was published; films beside interpolation."""
    heads = ["system", "data", "CPU s", "epochs", "best", "ELBO", "IWAE", "FIVO", "+-", "published (Pyro's example)"]
    music, films = [], []
    for row in rows:
        facts = [row["system"], row["data"], f"{row['seconds']:g}", row["epochs"], row["best_epoch"]]
        if "error" in row:
            films.append([*facts, f"{row['elbo_nats']:.2f}", f"{row['error']:.4f}", f"{row['interpolated']:.4f}"])
            continue
        figures = [f"{row[f'{name}_nats']:.3f}" if f"{name}_nats" in row else "-" for name in ("elbo", "iwae", "fivo")]
        known = PUBLISHED.get(f"{row['system']} {row['data']}", "-")
        music.append([*facts, *figures, f"{row['stderr']:.3f}", known])
    found = {"sequences": markdown.table(heads, music)} if music else {}
    heads = [*heads[:5], "ELBO, nats a frame", "squared error, missing frames", "of interpolation"]
    return found | ({"sequences films": markdown.table(heads, films)} if films else {})


TINY = {"data": "digits", "seconds": 0.0, "epochs": 1, "size": 4, "batch": 400, "samples": 3, "eager": True, "films": 10}
TINY |= {"cells": ["vrae jsb", "dmm 1 iaf jsb"], "warmup": 1}

ENTRY = Entry(
    name="sequences",
    shows="VRAE, VRNN, DMM with flows, SRNN on music, in nats a step; missing frames of a ball by the Kalman VAE.",
    budgets={
        "smoke": Spend("10 seconds", TINY),
        "cpu": Spend(f"{len(CELLS)} cells of 10 minutes of one core", {}),
        "gpu": Spend(
            "100 units and multiples of them, two hours a cell", {"size": 100, "seconds": 7200.0, "warmup": 1000, "lr": 3e-4}
        ),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "cells": Option("a system and its data", CELLS, str, CELLS),
        "data": Option("another named set of sequences in place of the music", None, str),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 520.0),
        "epochs": Option("at most", 100_000),
        "size": Option("of latents, from which the others follow", 48),
        "lr": Option("learning rate of Adam", 1e-3),
        "batch": Option("sequences a step", 20),
        "samples": Option("samples of the bound, particles of the filter", 100),
        "window": Option("steps of a window, in training on longer sequences than these", 160),
        "warmup": Option("epochs in which the weight of the KL grows, for systems of the deep Markov kind", 100),
        "films": Option("test films of the ball", 100),
        "eager": Option("compile nothing", False),
    },
)
