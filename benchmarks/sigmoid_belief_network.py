"""Do VIMCO and reweighted wake-sleep train a deep discrete model? A 200-200-200 sigmoid belief network on binary MNIST.

    python benchmarks/sigmoid_belief_network.py --epochs 20 --out benchmarks/figures/sbn.png

z3 ~ Bernoulli(200), z2 | z3, z1 | z2, x | z1, each layer a logistic regression on the one above, the guide its mirror; K = 10.
Trains with VIMCO, RWS and NVIL from one initialization, shows that Pyro's RenyiELBO gives the same pair no gradient in the
guide, and prints the validation bounds of each epoch and log p(x) of the test set.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json

import pyro
import pyro.distributions as dist
import pyro.infer
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import pyrovae as pv
from pyrovae.plots import save

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


def main() -> None:
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--particles", type=int, default=10)
    parser.add_argument("--samples", type=int, default=1000, help="of log p(x) a test image")
    parser.add_argument("--data", default="binary-mnist")
    parser.add_argument("--objectives", nargs="+", default=["vimco", "rws", "nvil"])
    parser.add_argument("--out", default="sbn.png")
    options = parser.parse_args()
    torch.set_num_threads(2)
    data = pv.data.load(options.data)
    torch.manual_seed(0)
    first = Model(data.spec.mean), Guide(data.spec.mean)
    stock = stock_gradient(copy.deepcopy(first), next(iter(data.train.batches(100)))["x"])
    print(json.dumps({"RenyiELBO": "largest gradient of the guide", "value": stock}), flush=True)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in options.objectives:
        pair = copy.deepcopy(first)
        run = pv.fit(pair, data, {"name": name, "num_particles": options.particles}, epochs=options.epochs, progress=False)
        evidence = pv.log_evidence(*pair, data.test, num_samples=options.samples)
        bounds = [round(row["valid"], 2) for row in run.records]
        seconds = sum(row["seconds"] for row in run.records) / len(run.records)
        print(
            json.dumps(
                {"objective": name, "valid": bounds, "seconds_an_epoch": round(seconds, 2), "log_p": evidence.to_json()}
            ),
            flush=True,
        )
        axes.plot([row["epoch"] for row in run.records], bounds, label=f"{name}, K = {options.particles}")
    axes.set(xlabel="epoch", ylabel="validation bound (nats per datum)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save(figure, options.out)


if __name__ == "__main__":
    main()
