"""Discrete latents on binary MNIST: every gradient estimator on one network, by the log p(x) of the discrete model.

The linear network of the papers, 784-200-784: 200 bits, logistic regressions both ways. Published, for Larochelle's fixed
binarization and far longer training: Concrete 107.3 (Maddison et al. 2017, Table 1), ARM 107.2, REBAR 107.7, RELAX up to
113.6, NVIL 113.1 (Yin and Zhou 2019, Table 2). Here x is binarized once by draws, every cell has the same seconds of the
processor, and log p(x) is by importance sampling of the hard pair, whatever trained it.

Boltzmann machines as priors stand beside it. Where the bits are smoothed the model is another one, in which x sees
zeta ~ r(zeta | z), and log p(x) is of that model. Published for the discrete VAE, with deep networks: 81.01 (Rolfe 2017).

Two further networks, 784-200-200-200-784 of one layer of bits and two layers of 200 bits, by five estimators each; published
beside VIMCO is Maddison et al., K = 5. "Structured output" is the lower half of an image given the upper one by two layers of
bits, drawn from the prior in training too (Jang et al. 2017, Table 1). ARM has 57.9 there, and moves one layer after the
other, which ours does not.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.plots.figures import BLUE, GREY, new_figure

__all__ = ["ENTRY"]

LINEAR = ("sbn", {"num_layers": 1, "latent_dim": 200, "hidden": []})
NONLINEAR = ("sbn", {"num_layers": 1, "latent_dim": 200, "hidden": [200, 200]})
TWO_LAYERS = ("sbn", {"num_layers": 2, "latent_dim": 200, "hidden": []})
STRUCTURED = ("conditional-sbn", {"num_layers": 2, "latent_dim": 200, "hidden": []})
CATEGORICAL = ("categorical-vae", {"num_variables": 20, "num_classes": 10, "hidden": []})
MACHINE = ("rbm-vae", {"num_bits": 200, "hidden": []})
NETWORKS = {
    "linear": LINEAR,
    "linear, RBM prior": MACHINE,
    "nonlinear": NONLINEAR,
    "two layers": TWO_LAYERS,
    "structured output": STRUCTURED,
    "20 of 10, linear": CATEGORICAL,
}
SIZES = {
    "sbn": "latent_dim",
    "conditional-sbn": "latent_dim",
    "rbm-vae": "num_bits",
    "categorical-vae": "num_variables",
    "discrete-vae": "num_bits",
}
SMOOTHED = {  # networks that see smoothed bits -> the objectives that train them
    "linear, RBM prior, exponential": (("rbm-vae", {**MACHINE[1], "smoothing": "exponential"}), ["smoothed"]),
    "linear, RBM prior, exponential, 2 groups": (
        ("rbm-vae", {**MACHINE[1], "smoothing": "exponential", "num_groups": 2}),
        ["smoothed"],
    ),
    "linear, RBM prior, uniform-exponential": (("rbm-vae", {**MACHINE[1], "smoothing": "uniform-exponential"}), ["smoothed"]),
    "linear, RBM prior, power": (("rbm-vae", {**MACHINE[1], "smoothing": "power"}), ["smoothed"]),
    "linear, RBM prior, spike-exponential": (("rbm-vae", {**MACHINE[1], "smoothing": "spike-exponential"}), ["smoothed"]),
    "linear, RBM prior, Gaussian integral": (
        ("rbm-vae", {**MACHINE[1], "smoothing": "gaussian-integral"}),
        ["iwae, K = 1", "iwae, K = 5"],
    ),
    "discrete VAE, linear": (("discrete-vae", {"num_bits": 128, "latent_dim": 64, "hidden": []}), ["smoothed"]),
}
NETWORKS |= {name: network for name, (network, _) in SMOOTHED.items()}
OBJECTIVES = {
    "score": "nvil:baseline=none",
    "nvil": "nvil",
    "vimco, K = 5": "vimco:num_particles=5",
    "rws, K = 5": "rws:num_particles=5",
    "wake-sleep": "wake-sleep",
    "rebar": "rebar",
    "relax": "relax",
    "arm": "arm",
    "concrete": "elbo:estimator=concrete,temperature=0.67",
    "concrete, K = 5": "iwae:estimator=concrete,temperature=0.67,num_particles=5",
    "straight-through": "elbo:estimator=straight-through",
    "gumbel-straight-through": "elbo:estimator=gumbel-straight-through,temperature=0.67",
    "gumbel-straight-through, annealed": "elbo:estimator=gumbel-straight-through,temperature=1",
    "gumbel-kl": "gumbel-kl:temperature=0.67",
    "gumbel-kl, annealed": "gumbel-kl:temperature=1",
    "smoothed": "smoothed",
    "iwae, K = 1": "iwae:num_particles=1",
    "iwae, K = 5": "iwae:num_particles=5",
}
ANNEALED = {"temperature": "exponential:start=1,end=0.5,epochs=20"}
AT_ONCE = (
    "rebar",
    "relax",
    "arm",
    "gumbel-kl",
    "gumbel-kl, annealed",
)  # which move all bits at once, and do not serve two layers
PUBLISHED = {
    ("linear", "concrete"): 107.3,
    ("linear", "concrete, K = 5"): 104.9,
    ("linear", "arm"): 107.2,
    ("linear", "rebar"): 107.7,
    ("linear", "relax"): 113.6,
    ("linear", "nvil"): 113.1,
    ("20 of 10, linear", "gumbel-kl, annealed"): 101.5,
    ("nonlinear", "concrete"): 99.6,
    ("nonlinear", "arm"): 98.4,
    ("nonlinear", "rebar"): 101.4,
    ("nonlinear", "relax"): 119.2,
    ("nonlinear", "nvil"): 102.2,
    ("nonlinear", "vimco, K = 5"): 91.4,
    ("two layers", "nvil"): 99.8,
    ("two layers", "vimco, K = 5"): 91.7,
    ("two layers", "concrete"): 95.6,
    ("structured output", "score"): 72.0,
    ("structured output", "straight-through"): 58.9,
    ("structured output", "concrete"): 58.5,
    ("structured output", "gumbel-straight-through"): 59.3,
}


def cell(network: str, name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train, and evaluate the discrete pair."""
    transforms = ["halves:given=upper"] if NETWORKS[network] is STRUCTURED else []
    data = pv.data.load(options.data, binarization="fixed", transforms=transforms)
    torch.manual_seed(seed)
    recipe, sizes = NETWORKS[network]
    if options.bits:
        sizes = {**sizes, SIZES[recipe]: options.bits}
    pair = pv.pairs.get(recipe).build(data.spec, **sizes)
    settings = {"batch_size": 100, "lr": options.lr, "seed": seed, "progress": False, "compile": not options.eager}
    if name.endswith(", annealed"):
        settings["schedule"] = ANNEALED
    deadline = Deadline(options.seconds)
    run = finished(pv.fit(pair, data, OBJECTIVES[name], epochs=options.epochs, callbacks=[deadline], **settings))
    found = pv.log_evidence(run, data.test, num_samples=options.samples, seed=0)
    return {
        "epochs": len(run.records),
        "log_p": found.mean,
        "log_p_stderr": found.mean_stderr,
        "elbo": found.elbo.mean().item(),
    }


def serves(network: str, name: str) -> bool:
    """Whether an objective trains a network: those of smoothed bits alone are for these, others for what they can move."""
    if network in SMOOTHED:
        return name in SMOOTHED[network][1]
    recipe, sizes = NETWORKS[network]
    if recipe == "rbm-vae" and name.startswith("concrete"):
        return False  # a Boltzmann machine has no Concrete density
    if sizes.get("num_layers", 1) > 1 and name in AT_ONCE:
        return False
    return name not in ("smoothed", "iwae, K = 1", "iwae, K = 5") and (name != "arm" or recipe == "sbn")


def run(job: Job) -> None:
    """Each network, objective and seed."""
    options = job.options
    shared = {name: getattr(options, name) for name in ("data", "seconds", "epochs", "lr", "samples", "bits")}
    for network in options.networks:
        for name in options.objectives:
            for seed in options.seeds:
                if not serves(network, name):
                    continue
                key = {"network": network, "objective": name, "seed": seed, **shared}
                job.records.cell(key, functools.partial(cell, network, name, seed, options))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A cell a line."""
    lines = []
    for row in sorted(rows, key=lambda row: (list(NETWORKS).index(row["network"]), -row["log_p"])):
        published = PUBLISHED.get((row["network"], row["objective"]), "") if row["data"] == "mnist" else ""
        figures = [f"{-row['log_p']:.2f}", f"{row['log_p_stderr']:.2f}", f"{-row['elbo']:.2f}"]
        lines.append(
            [
                row["network"],
                row["objective"],
                row["seed"],
                f"{row['seconds']:g}",
                row["epochs"],
                row["samples"],
                *figures,
                published,
            ]
        )
    heads = ["network", "trained by", "seed", "CPU s", "epochs", "draws"]
    heads += ["-log p(x)", "+-", "-ELBO", "published (fixed, to the end)"]
    return {"discrete": markdown.table(heads, lines)}


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """-log p(x) of the linear network by the Concrete relaxation, where cells of several lengths are recorded."""
    chosen = [row for row in rows if (row["network"], row["objective"], row["samples"]) == ("linear", "concrete", 1000)]
    if len({row["seconds"] for row in chosen}) < 2:
        return {}
    figure, axes = new_figure(5, 3)
    axes.plot(*zip(*sorted((row["epochs"], -row["log_p"]) for row in chosen), strict=True), "o-", color=BLUE, label="concrete")
    axes.axhline(PUBLISHED["linear", "concrete"], color=GREY, label="published (Maddison et al. 2017)")
    axes.set(xlabel="epochs", ylabel="-log p(x), nats", xscale="log")
    axes.legend(fontsize=7, frameon=False)
    return {"discrete-concrete": figure}


SMOKE = {"data": "digits", "seconds": 0.0, "epochs": 1, "samples": 3, "bits": 4, "eager": True}
SMOKE_NETWORKS = ["linear", "linear, RBM prior, exponential", "linear, RBM prior, Gaussian integral", "discrete VAE, linear"]
SMOKE_OBJECTIVES = ["nvil", "relax", "arm", "concrete", "smoothed", "iwae, K = 5"]

ENTRY = Entry(
    name="discrete",
    shows="Gradient estimators of discrete latents on one network, by the log p(x) of the discrete model.",
    budgets={
        "smoke": Spend("10 seconds", {**SMOKE, "networks": SMOKE_NETWORKS, "objectives": SMOKE_OBJECTIVES}),
        "cpu": Spend("12 cells of 3 minutes of one core", {"networks": ["linear"]}),
        "paper": Spend("52 cells of an hour of a GPU", {"seconds": 3600.0, "lr": 3e-4, "samples": 1000}),
    },
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "networks": Option("which", list(NETWORKS), str, tuple(NETWORKS)),
        "objectives": Option("which", list(OBJECTIVES), str, tuple(OBJECTIVES)),
        "data": Option("a named data set of binary images", "mnist"),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 120.0),
        "epochs": Option("at most", 10_000),
        "lr": Option("learning rate of Adam", 1e-3),
        "samples": Option("of importance sampling", 100),
        "bits": Option("latent variables in place of the network's own; 0 for these", 0),
        "eager": Option("compile nothing", False),
    },
)
