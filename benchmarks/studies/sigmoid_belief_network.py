"""Do VIMCO and reweighted wake-sleep train a deep discrete model? A 200-200-200 sigmoid belief network on binary MNIST.

z3 ~ Bernoulli(200), z2 | z3, z1 | z2, x | z1, each layer a logistic regression on the one above, the guide its mirror; K = 10.
Trains with VIMCO, RWS and NVIL from one initialization, shows that Pyro's RenyiELBO gives the same pair no gradient in the
guide, and records the validation bounds of each epoch and log p(x) of the test set.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import pyro.infer
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished

__all__ = ["ENTRY"]

SIZES = [200, 200, 200]


class Model(nn.Module):
    """p(z3) p(z2 | z3) p(z1 | z2) p(x | z1)."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.shape = mean.shape
        self.prior = nn.Parameter(torch.zeros(SIZES[-1]))
        sizes = [*reversed(SIZES), mean.numel()]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.layers[-1].bias.data = torch.logit(mean.flatten().clamp(0.001, 0.999))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z3", dist.Bernoulli(logits=self.prior).to_event(1))
            for name, layer in zip(("z2", "z1"), self.layers, strict=False):
                z = pyro.sample(name, dist.Bernoulli(logits=layer(2 * z - 1)).to_event(1))
            logits = self.layers[-1](2 * z - 1).unflatten(-1, self.shape)
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(len(self.shape)), obs=x)


class Guide(nn.Module):
    """q(z1 | x) q(z2 | z1) q(z3 | z2)."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.flatten())
        sizes = [mean.numel(), *SIZES]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> None:
        h = x.flatten(1) - self.mean
        with pyro.plate("data", x.shape[0], dim=-1):
            for name, layer in zip(("z1", "z2", "z3"), self.layers, strict=True):
                h = 2 * pyro.sample(name, dist.Bernoulli(logits=layer(h)).to_event(1)) - 1


def stock_gradient(pair: tuple[Model, Guide], x: Tensor) -> float:
    """The largest gradient that Pyro's RenyiELBO gives a parameter of the guide."""

    def registered(name: str, program: nn.Module) -> object:
        def run(x: Tensor) -> None:
            pyro.module(name, program)
            program(x)

        return run

    loss = pyro.infer.RenyiELBO(0.0, num_particles=10, vectorize_particles=True, max_plate_nesting=1)
    with pyro.get_param_store().scope():
        loss.loss_and_grads(registered("model", pair[0]), registered("guide", pair[1]), x=x)
    return max(0.0 if p.grad is None else float(p.grad.abs().max()) for p in pair[1].parameters())


def fresh(data: pv.data.Data, seed: int) -> tuple[Model, Guide]:
    """The pair with its first parameters."""
    torch.manual_seed(seed)
    return Model(data.spec.mean), Guide(data.spec.mean)


def stock(data: pv.data.Data, seed: int, x: Tensor) -> Row:
    """Of Pyro's RenyiELBO."""
    return {"gradient": stock_gradient(fresh(data, seed), x)}


def cell(name: str, seed: int, options: argparse.Namespace, data: pv.data.Data) -> Row:
    """Train and evaluate."""
    pair = fresh(data, seed)
    objective = {"name": name, "num_particles": options.particles}
    run = finished(pv.fit(pair, data, objective, epochs=options.epochs, seed=seed, progress=False))
    evidence = pv.log_evidence(pair, data.test, num_samples=options.samples)
    seconds = sum(row["seconds"] for row in run.records) / len(run.history)
    bounds = [round(row["valid"], 2) for row in run.records]
    figures = {"log_p": evidence.mean, "log_p_stderr": evidence.mean_stderr, "samples": options.samples}
    return {"valid": bounds, "seconds_an_epoch": round(seconds, 2), **figures}


def run(job: Job) -> None:
    """Pyro's gradient, then each seed and objective."""
    options = job.options
    data = pv.data.load(options.data)
    x = next(iter(data.train.batches(100)))["x"]
    for seed in options.seeds:
        shared = {"data": options.data, "particles": options.particles, "seed": seed}
        job.records.cell({"objective": "RenyiELBO", **shared}, functools.partial(stock, data, seed, x))
        for name in options.objectives:
            key = {"objective": name, **shared, "epochs": options.epochs}
            job.records.cell(key, functools.partial(cell, name, seed, options, data))


def _trained(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "valid" in row]


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Validation bounds after 1, 2, 4, ... epochs and log p(x)."""
    epochs = [2**i for i in range(20) if any(2**i <= len(row["valid"]) for row in _trained(rows))]
    heads = ["objective", f"validation bound, epochs {', '.join(map(str, epochs))}", "test log p(x)", "samples"]
    lines = [
        [
            f"`{row['objective']}`",
            ", ".join(f"{row['valid'][epoch - 1]:.1f}" for epoch in epochs if epoch <= len(row["valid"])),
            f"{row['log_p']:.2f} +- {row['log_p_stderr']:.2f}",
            row["samples"],
        ]
        for row in _trained(rows)
    ]
    stock = [f"{row['gradient']}" for row in rows if "gradient" in row]
    told = f"The largest gradient that Pyro's RenyiELBO gives a parameter of the guide: {', '.join(stock)}."
    return {"sbn": markdown.table(heads, lines) + f"\n\n{told}"}


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """Validation bounds of each epoch."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for row in _trained(rows):
        name = f"{row['objective']}, K = {row['particles']}"
        axes.plot(range(1, len(row["valid"]) + 1), row["valid"], label=name)
    axes.set(xlabel="epoch", ylabel="validation bound (nats per datum)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return {"sbn": figure}


ENTRY = Entry(
    name="sbn",
    shows="A sigmoid belief network by VIMCO, RWS and NVIL, and that Pyro's RenyiELBO leaves its guide without gradient.",
    budgets={
        "smoke": Spend("5 seconds", {"data": "digits", "epochs": 1, "samples": 3, "particles": 3}),
        "cpu": Spend("10 minutes", {"epochs": 8, "samples": 200, "threads": 2}),
    },
    run=run,
    tables=tables,
    figures=draw,
    options={
        "seeds": SEEDS,
        "epochs": Option("of training", 20),
        "particles": Option("K", 10),
        "samples": Option("of log p(x) a test image", 1000),
        "data": Option("a data set of binary images", "binary-mnist"),
        "objectives": Option("which", ["vimco", "rws", "nvil"]),
    },
)
