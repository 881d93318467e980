"""What each family of guides loses on one decoder, and what its encoder loses: bounds on log p(x) of the same images.

A VAE is trained, and its decoder then stands still. For each family an encoder is trained on the training data, which gives
L[q]; trained on from there on the images in question alone it gives L[q*], the best of the family that this encoder can
express for them. log p(x) is annealed importance sampling's, the same for all.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from typing import Any

import torch

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.evidence.evidence import mean_and_error

__all__ = ["ENTRY"]

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "diagonal": ("vae", {}),
    "rank-one": ("vae", {"posterior": "rank-one"}),
    "full-rank": ("vae", {"posterior": "full-rank"}),
    "mixture of 5": ("vae", {"posterior": "mixture"}),
    "auxiliary": ("vae", {"posterior": "auxiliary", "auxiliary_dim": 10}),
    "planar flow, 4": ("flow-vae", {"flow": "planar"}),
    "IAF, 2": ("flow-vae", {"flow": "iaf", "num_flows": 2}),
    "Hamiltonian, 3": ("hamiltonian-vae", {"num_steps": 3}),
}


def build(spec: pv.data.DataSpec, name: str, options: argparse.Namespace) -> pv.Pair:
    """The pair of a family."""
    recipe, own = FAMILIES[name]
    torch.manual_seed(options.seed)
    sizes = {"latent_dim": options.latent_dim, "hidden": [options.hidden] * 2, "activation": "tanh"}
    return pv.pairs.get(recipe).build(spec, **sizes, **own)


def train(pair: pv.Pair, data: pv.data.Data, seconds: float, options: argparse.Namespace) -> pv.Run:
    """By the ELBO, for so long."""
    settings = {"batch_size": 100, "lr": 1e-3, "seed": options.seed, "progress": False, "compile": not options.eager}
    return finished(pv.fit(pair, data, "elbo", epochs=options.epochs, callbacks=[Deadline(seconds)], **settings))


@functools.cache
def trained(options: tuple[tuple[str, Any], ...]) -> tuple[pv.Pair, pv.data.Data, Any]:
    """The VAE whose decoder all share, the data, and log p(x) of the images by AIS."""
    chosen = argparse.Namespace(**dict(options))
    data = pv.data.load(chosen.data, binarization="fixed")
    pair = build(data.spec, "diagonal", chosen)
    train(pair, data, chosen.seconds, chosen)
    ais = {"num_distributions": chosen.distributions, "num_chains": 8}
    return pair, data, pv.log_evidence(pair, data.test["x"][: chosen.images], method="ais", seed=0, **ais)


def alone(pair: pv.Pair, x: torch.Tensor, options: argparse.Namespace) -> None:
    """Train the guide on these images alone, by 8 draws, the rate falling to 0."""
    moving = [p for p in [*pair.guide.parameters(), *pair.model.parameters()] if p.requires_grad]
    objective, optimizer = pv.objectives.get("elbo:num_particles=8"), torch.optim.Adam(dict.fromkeys(moving), lr=1e-3)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    torch.manual_seed(options.seed)
    for _ in range(options.steps):
        optimizer.zero_grad()
        (-objective.evaluate(pair.model, pair.guide, {"x": x}).mean()).backward()
        optimizer.step()
        rates.step()


def cell(name: str, options: argparse.Namespace) -> Row:
    """One family on the decoder of all."""
    shared, data, ais = trained(tuple(vars(options).items()))
    pair, x = build(data.spec, name, options), data.test["x"][: options.images]
    pair.model.decoder = shared.model.decoder.requires_grad_(False)
    if hasattr(pair.guide, "decoder"):
        pair.guide.decoder = pair.model.decoder
    run = train(pair, data, options.seconds, options)
    elbo = pv.log_evidence(run, x, num_samples=options.samples, seed=0).elbo
    alone(pair, x, options)
    best = pv.log_evidence(pair, x, num_samples=options.samples, seed=0).elbo
    figures = {
        "log_p": ais.value,
        "approximation": ais.value - best,
        "amortization": best - elbo,
        "inference": ais.value - elbo,
    }
    return {"epochs": len(run.records), **{key: list(mean_and_error(value)) for key, value in figures.items()}}


def run(job: Job) -> None:
    """Each family."""
    names = (
        "data",
        "images",
        "seconds",
        "epochs",
        "latent_dim",
        "hidden",
        "steps",
        "samples",
        "distributions",
        "seed",
        "eager",
    )
    options = argparse.Namespace(**{name: getattr(job.options, name) for name in names})
    for name in job.options.families:
        job.records.cell({"family": name, **vars(options)}, functools.partial(cell, name, options))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A family a line."""
    heads = ["family", "epochs", "family loses, log p(x) - L[q*]", "encoder loses, L[q*] - L[q]", "together"]
    lines = []
    for row in sorted(rows, key=lambda row: list(FAMILIES).index(row["family"])):
        figures = [f"{row[name][0]:.2f} +- {row[name][1]:.2f}" for name in ("approximation", "amortization", "inference")]
        lines.append([row["family"], row["epochs"], *figures])
    return {"gaps": markdown.table(heads, lines)}


ENTRY = Entry(
    name="gaps",
    shows="What each family of guides loses on one decoder, and what its encoder loses.",
    budgets={
        "smoke": Spend(
            "10 seconds",
            {
                "families": ["diagonal", "auxiliary"],
                "data": "digits",
                "images": 5,
                "seconds": 0.0,
                "epochs": 1,
                "latent_dim": 2,
                "hidden": 4,
                "steps": 2,
                "samples": 5,
                "distributions": 5,
                "eager": True,
            },
        ),
        "cpu": Spend("20 minutes of one core", {}),
        "paper": Spend("two hours of a GPU", {"seconds": 1800.0, "images": 1000, "steps": 10_000}),
    },
    run=run,
    tables=tables,
    options={
        "families": Option("which", list(FAMILIES), str, tuple(FAMILIES)),
        "data": Option("a named data set of images", "mnist"),
        "images": Option("of the test set", 100),
        "seconds": Option("of the processor for the decoder, and again for each family", 60.0),
        "epochs": Option("at most", 10_000),
        "latent_dim": Option("d", 10),
        "hidden": Option("width of the two hidden layers of every network", 200),
        "steps": Option("of an encoder on the images alone", 1000),
        "samples": Option("of each ELBO", 500),
        "distributions": Option("of AIS", 500),
        "seed": Option("of the training", 0),
        "eager": Option("compile nothing", False),
    },
)
