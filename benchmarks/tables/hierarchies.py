"""Hierarchies, richer posteriors and priors on binary MNIST, one table: test log p(x) at equal seconds of the processor.

Images are binarized anew at each epoch (dynamic) or once (fixed), as each paper has it; every cell trains for the same seconds
with Adam and batches of 100, and its test log p(x) is by importance sampling. Published figures are of the papers' networks
after their whole schedules: hundreds to thousands of epochs.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.plots.figures import BLUE, GREY, ORANGE, new_figure

__all__ = ["ENTRY"]

WARMUP = 10  # epochs of the KL, of every system
TWO = {"hidden": [300, 300], "activation": "gated"}
LADDER = {"widths": [256, 128, 64, 32, 32], "hidden": [256]}
S_VAE = {"hidden": [256, 128], "activation": "relu"}
CONSTRAINED = {
    "name": "constrained",
    "base": {"name": "nested", "site": "z2", "num_nested": 16},
    "distortion": 70.0,
    "rate": 1e-3,
}
CELLS = {  # recipe, its options, objective, binarization, published -log p(x)
    "vae": ("vae", {"latent_dim": 40, **TWO}, "elbo", "fixed", "-"),
    "vamp-vae": ("vamp-vae", {"latent_dim": 40}, "elbo", "fixed", "85.57 (Tomczak 2018)"),
    "exemplar-vae": ("exemplar-vae", {"latent_dim": 40}, "elbo", "fixed", "-"),
    "vhp-vae": ("vhp-vae", {}, "nested:site=z2,num_nested=16", "fixed", "-"),
    "vhp-vae, constrained": ("vhp-vae", {}, CONSTRAINED, "fixed", "-"),
    "hvm": ("hvm", {"latent_dim": 40, "auxiliary_dim": 40, **TWO}, "elbo", "fixed", "-"),
    "hamiltonian-vae": ("hamiltonian-vae", {"latent_dim": 40, "num_steps": 3}, "elbo", "fixed", "-"),
    "dlgm, diagonal": (
        "dlgm",
        {"precision": "diagonal", "latent_dim": 10},
        "meanfield",
        "fixed",
        "89.9, -ELBO (Rezende 2015)",
    ),
    "dlgm, rank one": ("dlgm", {"precision": "rank-one", "latent_dim": 10}, "meanfield", "fixed", "-"),
    "two-layer-vae": ("two-layer-vae", {}, "elbo", "dynamic", "85.33 (Burda 2016)"),
    "two-layer-vae, no warmup": ("two-layer-vae", {}, "elbo", "dynamic", "-"),
    "two-layer-vae, free bits": ("two-layer-vae", {}, "meanfield:free_bits=5", "dynamic", "-"),
    "ladder-vae": ("ladder-vae", LADDER, "meanfield", "dynamic", "81.74 (Sonderby 2016)"),
    "s-vae, S^10": ("s-vae", {"latent_dim": 11, **S_VAE}, "meanfield", "dynamic", "93.16 (Davidson 2018)"),
    "vae, d = 10": ("vae", {"latent_dim": 10, **S_VAE}, "meanfield", "dynamic", "-"),
}
NO_WARMUP = ("vhp-vae, constrained", "two-layer-vae, no warmup", "two-layer-vae, free bits")
AIS = {"num_chains": 4, "num_distributions": 100}
NO_AIS = ("exemplar-vae", "s-vae, S^10")  # a second for each leapfrog step; unit vectors, which no leapfrog step keeps
TRANSFORMS = {"exemplar-vae": ["neighbours:num=5"]}
TINY = {
    "exemplar-vae": {"latent_dim": 2, "hidden": [4]},
    "vae": {"latent_dim": 2, "hidden": [4]},
    "vamp-vae": {"latent_dim": 2, "hidden": [4], "pseudo_inputs": 2},
    "two-layer-vae": {"latent_dim": 2, "lower_dim": 3, "hidden": [4], "upper_hidden": [4]},
    "dlgm": {"latent_dim": 2, "width": 3, "hidden": [4]},
    "s-vae": {"latent_dim": 3, "hidden": [4]},
}


def cell(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train, and evaluate on the whole test set."""
    recipe, sizes, objective, binarization, _ = CELLS[name]
    data = pv.data.load(options.data, binarization=binarization, transforms=TRANSFORMS.get(recipe, ()))
    torch.manual_seed(seed)
    pair = pv.pairs.get(recipe).build(data.spec, **{**sizes, **(TINY[recipe] if options.tiny else {})})
    settings = {"batch_size": 100, "lr": options.lr, "seed": seed, "device": options.device, "compile": not options.eager}
    if name not in NO_WARMUP:
        settings["kl_warmup"] = options.warmup
    deadline = Deadline(options.seconds, time.process_time if options.device == "cpu" else time.perf_counter)
    settings |= {"epochs": options.epochs, "callbacks": [deadline], "progress": False}
    run = finished(pv.fit(pair, data, objective, **settings))
    found = pv.evaluate(run, data.test, num_samples=options.samples, seed=0)
    assert found.evidence is not None
    more: Row = {}
    rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[: options.ais_images]
    if name not in NO_AIS and options.ais_images:
        annealed = pv.log_evidence(run, data.test.subset(rows), method="ais", seed=0, **AIS)
        more |= {"ais": annealed.mean, "ais_stderr": annealed.mean_stderr}
    if recipe == "two-layer-vae" and options.ais_images:
        parts = {"test": data.test.subset(rows), "train": data.train.subset(rows)}
        gaps = {part: pv.gaps(run, split, options.samples, ais=AIS).rows() for part, split in parts.items()}
        more["gaps"] = {part: {gap: list(figures) for gap, figures in found.items()} for part, found in gaps.items()}
    return {
        **more,
        "epochs": len(run.records),
        "log_p": found.evidence.mean,
        "log_p_stderr": found.evidence.mean_stderr,
        "elbo": found.evidence.elbo.mean().item(),
        "active": {site: f"{int(active.sum())} of {active.numel()}" for site, active in found.active_units.items()},
    }


def run(job: Job) -> None:
    """Each system and seed."""
    options = job.options
    names = ("data", "seconds", "epochs", "lr", "samples", "tiny", "warmup", "ais_images", "device")
    shared = {name: getattr(options, name) for name in names}
    for name in options.systems:
        for seed in options.seeds:
            job.records.cell(
                {"system": name, "seed": seed, **shared},
                functools.partial(cell, name, seed, options),
            )


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A cell a line, in the order of the systems."""
    lines = []
    for row in sorted(rows, key=lambda row: (list(CELLS).index(row["system"]), row["seed"])):
        figures = [f"{-row['log_p']:.2f}", f"{row['log_p_stderr']:.2f}", f"{-row['elbo']:.2f}"]
        figures.insert(2, f"{-row['ais']:.2f}" if "ais" in row else "-")
        active = ", ".join(f"{site} {units}" for site, units in row["active"].items())
        of = CELLS[row["system"]]
        lines.append([row["system"], of[3], row["seed"], f"{row['seconds']:g}", row["epochs"], *figures, active, of[4]])
    heads = ["system", "MNIST", "seed", "CPU s", "epochs", "-log p(x)", "+-", "AIS", "-ELBO", "active units", "published"]
    return {"hierarchies": markdown.table(heads, lines), "two-layer-gaps": two_layers(rows)}


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """-log p(x) of the sphere and of R^10 by epochs of training, where cells of several lengths are recorded."""
    figure, axes = new_figure(5, 3)
    for system, colour in {"s-vae, S^10": BLUE, "vae, d = 10": ORANGE}.items():
        found = sorted((row["epochs"], -row["log_p"]) for row in rows if row["system"] == system)
        if found:
            axes.plot(*zip(*found, strict=True), "o-", color=colour, label=system)
    if len({row["seconds"] for row in rows if row["system"] == "s-vae, S^10"}) < 2:
        return {}
    axes.axhline(93.16, color=GREY, label="published, 500 draws")
    axes.set(xlabel="epochs", ylabel="-log p(x), nats", xscale="log")
    axes.legend(fontsize=7, frameon=False)
    return {"hierarchies-curves": figure}


def two_layers(rows: Sequence[Row]) -> str:
    """Where the pair of two layers loses its nats, on training and test images."""
    names = ["log p(x)", "L[q]", "approximation gap", "amortization gap"]
    lines = []
    for row in (row for row in rows if "gaps" in row):
        for part, gaps in row["gaps"].items():
            figures = [f"{gaps[name][0]:.2f} +- {gaps[name][1]:.2f}" for name in names]
            lines.append([row["system"], row["seed"], part, *figures])
    return markdown.table(["system", "seed", "images", *names], sorted(lines))


SMOKE = {"data": "digits", "seconds": 0.0, "epochs": 1, "samples": 3, "ais_images": 2, "eager": True, "tiny": True}
GPU = {"device": "cuda", "seconds": 7200.0, "lr": 5e-4, "warmup": 100, "samples": 5000}

ENTRY = Entry(
    name="hierarchies",
    shows="Hierarchies, richer posteriors and priors by test log p(x) at equal seconds.",
    budgets={
        "smoke": Spend("5 seconds", {**SMOKE, "systems": ["dlgm, rank one", "s-vae, S^10"]}),
        "cpu": Spend("15 cells of 5 minutes of one core", {}),
        "gpu": Spend("15 cells of two hours of a GPU", {**GPU}),
    },
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "systems": Option("which", list(CELLS), str, tuple(CELLS)),
        "data": Option("a named data set of images", "mnist"),
        "seconds": Option(
            "for training (of the processor, on a GPU by the clock), after which the epoch at hand is the last", 240.0
        ),
        "epochs": Option("at most", 10_000),
        "warmup": Option("epochs over which the weight of the KL rises to 1, but for the constrained objective", WARMUP),
        "lr": Option("learning rate of Adam", 1e-3),
        "ais_images": Option("random test images whose log p(x) is by AIS from the guide too", 200),
        "samples": Option("of importance sampling", 100),
        "device": Option("cpu or cuda", "cpu"),
        "tiny": Option("small networks", False),
        "eager": Option("compile nothing", False),
    },
)
