"""How long is a training step of a sequence, in steps beside the same pair as a loop?

The pair of the row ``sequence-100`` of ``speed`` (28 steps of 28 bits, 8 latents and 64 units each), with the same parameters:

    eager     the pair in steps, not compiled
    rolled    the pair as a loop, whose traced graph is compiled block by block (``backend="rolled"``)
    steps     the pair in steps, of which one is compiled, and Python loops over it

They take turns in rounds, each a step of Adam on the next batch; ``compile_s`` is what making the step took.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyro
import torch
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.speed.pairs import Recurrent, RecurrentGuide, bernoulli, gaussian, sequence
from benchmarks.speed.row import alternate, summary
from pyrovae.core.steps import unroll

__all__ = ["ENTRY", "in_steps"]


class ModelSteps(nn.Module):
    """:class:`~benchmarks.speed.pairs.Recurrent` in steps."""

    def __init__(self, whole: Recurrent) -> None:
        super().__init__()
        self.whole = whole

    def init(self, x: Tensor) -> dict[str, Any]:
        """h, (B, H), and W x + b of all steps."""
        return {"h": x.new_zeros(len(x), self.whole.hidden), "each": {"u": self.whole.cell.inputs(x)}}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """z_t, x_t, and the next h."""
        net, h = self.whole, state["h"]
        z = pyro.sample("z", gaussian(net.z(h)))
        pyro.sample("x", bernoulli(net.x(torch.tanh(net.from_z(z) + net.from_h(h))), x.shape[-1:]), obs=x)
        return {"h": net.cell(state["u"], z, h)}


class GuideSteps(nn.Module):
    """:class:`~benchmarks.speed.pairs.RecurrentGuide` in steps."""

    def __init__(self, whole: RecurrentGuide) -> None:
        super().__init__()
        self.whole = whole

    def init(self, x: Tensor) -> dict[str, Any]:
        """g, (B, H), and what x gives each step."""
        each = {"v": self.whole.cell.inputs(x), "f": self.whole.encoder(x)}
        return {"g": x.new_zeros(len(x), self.whole.hidden), "each": each}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """z_t, and the next g."""
        net, g = self.whole, state["g"]
        z = pyro.sample("z", gaussian(net.z(torch.tanh(state["f"] + net.from_h(g)))))
        return {"g": net.cell(state["v"], z, g)}


def in_steps(pair: pv.Pair) -> pv.Pair:
    """The pair of a loop, its networks used in steps."""
    return unroll(ModelSteps(pair.model), GuideSteps(pair.guide))


def contenders(options: argparse.Namespace, batches: list[Tensor]) -> dict[str, Any]:
    """A step of each, with parameters of its own that are alike."""
    torch.manual_seed(0)
    pair = sequence(latent_dim=options.latent_dim, hidden=options.hidden)
    graph = options.backend == "graph"
    ways = {"rolled": (pair, "rolled"), "steps": (in_steps(pair), None), "eager": (in_steps(pair), "graph")}
    made = {}
    for name, (given, backend) in ways.items():
        backend = "graph" if graph else backend
        made[name] = pv.compile_step(copy.deepcopy(given), {"x": batches[0]}, "elbo", backend=backend, matmul="mkl")
    made["eager"].backend = "eager"
    return made


def measure(options: argparse.Namespace) -> Row:
    """Milliseconds a step: median and quartiles of the rounds."""
    torch.manual_seed(1)
    batches = list(torch.bernoulli(torch.full((10, options.batch, options.length, 28), 0.3)))
    steps = contenders(options, batches)
    turns = {name: turn(step, batches) for name, step in steps.items()}
    times = alternate(turns, options.steps, options.rounds)
    found = {name: summary([1000 * seconds / options.steps for seconds in each]) for name, each in times.items()}
    return {"ms": found, "compile_s": {name: round(step.seconds, 2) for name, step in steps.items()}}


def turn(step: Any, batches: list[Tensor]) -> Callable[[int], float]:
    """Seconds for so many steps."""

    def seconds(count: int) -> float:
        began = time.perf_counter()
        for i in range(count):
            value = step({"x": batches[i % len(batches)]})
        float(value)
        return time.perf_counter() - began

    return seconds


def run(job: Job) -> None:
    """One cell."""
    given = job.options
    key = {name: getattr(given, name) for name in ("length", "batch", "hidden", "latent_dim", "backend")}
    job.records.cell(key, lambda: measure(given))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Times, and their ratio to the loop's."""
    lines = []
    for row in rows:
        for name, times in row["ms"].items():
            ratio = times["median"] / row["ms"]["rolled"]["median"]
            low, high = times["quartiles"]
            shown = [f"{times['median']:.2f}", f"{low:.2f} to {high:.2f}", f"{ratio:.2f}", row["compile_s"][name]]
            lines.append([name, row["length"], row["batch"], *shown])
    return {"steps-speed": markdown.table(["step", "T", "B", "ms", "quartiles", "of rolled", "compile s"], lines)}


ENTRY = Entry(
    name="steps-speed",
    shows="A training step of a sequence: one step compiled and looped over, beside the loop compiled block by block.",
    budgets={
        "smoke": Spend(
            "3 seconds",
            {"backend": "graph", "length": 2, "batch": 3, "hidden": 5, "latent_dim": 2, "steps": 1, "rounds": 1},
        ),
        "cpu": Spend("2 minutes", {}),
    },
    run=run,
    tables=tables,
    options={
        "length": Option("T", 28),
        "batch": Option("B", 100),
        "hidden": Option("units", 64),
        "latent_dim": Option("of each step", 8),
        "steps": Option("in a turn", 20),
        "rounds": Option("in which all take a turn", 7),
        "backend": Option("inductor, or graph: trace, and compile nothing", "inductor", str, ("inductor", "graph")),
    },
)
