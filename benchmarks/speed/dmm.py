"""Milliseconds a step of the deep Markov model of chorales: compiled, eager, and as plain Pyro in the style of its example.

Pyro's example is no part of its package; the programs here are written anew from its equations: one plate of data, a loop over
steps with a mask for the lengths, Trace_ELBO of one particle. They run on the pair's own networks, so that all contenders have
one bound (checked before they are timed), one optimizer (Adam) and one batch, of 20 chorales of 160 steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from pyrovae.nets import loc_and_scale

__all__ = ["ENTRY"]

Batch = dict[str, Tensor]


class PlainModel(nn.Module):
    """The model as a Pyro program of its own, on given networks."""

    def __init__(self, own: Any) -> None:
        super().__init__()
        self.transition, self.decoder, self.z_0 = own.transition, own.decoder, own.z_0

    def forward(self, x: Tensor, lengths: Tensor) -> None:
        """Run the model on a batch."""
        pyro.module("model", self)
        with pyro.plate("data", len(x)):
            z = self.z_0.expand(len(x), -1)
            for t in range(x.shape[1]):
                with poutine.mask(mask=t < lengths):  # type: ignore[arg-type]
                    z = pyro.sample(f"z_{t + 1}", dist.Normal(*self.transition(z)).to_event(1))
                    logits = self.decoder(z).squeeze(-2)
                    pyro.sample(f"x_{t + 1}", dist.Bernoulli(logits=logits).to_event(1), obs=x[:, t])


class PlainGuide(nn.Module):
    """The guide as a Pyro program of its own, on given networks."""

    def __init__(self, own: Any, z_0: nn.Parameter) -> None:
        super().__init__()
        self.recurrent, self.combine, self.out, self.z_0 = own.recurrent, own.combine, own.out, z_0

    def forward(self, x: Tensor, lengths: Tensor) -> None:
        """Run the guide on a batch."""
        pyro.module("guide", self)
        rest = self.recurrent(x, lengths)
        with pyro.plate("data", len(x)):
            z = self.z_0.expand(len(x), -1)
            for t in range(x.shape[1]):
                with poutine.mask(mask=t < lengths):  # type: ignore[arg-type]
                    combined = (self.combine(z).tanh() + rest[:, t]) / 2
                    z = pyro.sample(f"z_{t + 1}", dist.Normal(*loc_and_scale(self.out(combined))).to_event(1))


def make(batch: Batch, sizes: dict[str, Any]) -> pv.Pair:
    """The pair, of the same parameters each time."""
    torch.manual_seed(0)
    spec = pv.data.DataSpec("x", tuple(batch["x"].shape[1:]), "binary", keys={"lengths": pv.data.KeySpec((), "count")})
    return pv.pairs.dmm(spec, **sizes)


def contenders(batch: Batch, sizes: dict[str, Any], lr: float, backend: str) -> dict[str, Callable[[], Any]]:
    """A step of each, all from the same parameters."""
    pyro.clear_param_store()
    plain, eager, fast = (make(batch, sizes) for _ in range(3))
    model, guide = PlainModel(plain.model.own), PlainGuide(plain.guide.own, plain.model.own.z_0)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": lr}), Trace_ELBO())
    parameters = [*eager.model.parameters(), *eager.guide.parameters()]
    optimizer, objective = torch.optim.Adam(parameters, lr=lr), pv.objectives.get("elbo")
    compiled = pv.compile_step(fast, batch, "elbo", lr=lr, backend=backend)

    def eager_step() -> None:
        optimizer.zero_grad()
        (-objective.evaluate(eager.model, eager.guide, batch).mean()).backward()
        optimizer.step()

    return {
        "compiled": lambda: compiled(batch),
        "eager": eager_step,
        "stock Pyro": lambda: svi.step(**batch),
    }


def bounds(batch: Batch, sizes: dict[str, Any]) -> tuple[float, float]:
    """The ELBO of one draw by Pyro's own loss and by ours, per datum, of the same noise."""
    pair = make(batch, sizes)
    model, guide = PlainModel(pair.model.own), PlainGuide(pair.guide.own, pair.model.own.z_0)
    torch.manual_seed(1)
    theirs = -Trace_ELBO().loss(model, guide, **batch) / len(batch["x"])
    torch.manual_seed(1)
    with torch.no_grad():
        ours = float(pv.objectives.get("elbo").evaluate(pair.model, pair.guide, batch).mean())
    return theirs, ours


def measured(job: Job) -> dict[str, list[float]]:
    """Milliseconds a step of each contender, in turns."""
    given = job.options
    data = pv.data.load(given.data)
    batch = {key: value for key, value in data.train[torch.arange(given.batch)].items() if key not in ("index", "y")}
    batch.setdefault("lengths", torch.full((given.batch,), batch["x"].shape[1]))
    sizes = {"latent_dim": given.size, "transition_dim": 2 * given.size, "recurrent_dim": 6 * given.size}
    sizes |= {"hidden": [given.size, given.size]}
    theirs, ours = bounds(batch, sizes)
    if abs(theirs - ours) > 1e-4 * abs(theirs):
        raise AssertionError(f"Pyro's bound is {theirs}, and ours {ours}, of the same noise.")
    steps = contenders(batch, sizes, 3e-4, given.backend)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(given.rounds + 1):  # the first warms up
        for name, step in steps.items():
            began = time.process_time()
            for _ in range(given.steps):
                step()
            if number:
                times[name].append(1000 * (time.process_time() - began) / given.steps)
    return times


def run(job: Job) -> None:
    """Each contender."""
    given = job.options
    times = measured(job)
    shared = {"data": given.data, "size": given.size, "batch": given.batch, "threads": torch.get_num_threads()}
    for name, each in times.items():
        ratio = statistics.median(a / b for a, b in zip(each, times["compiled"], strict=True))
        found = {"ms": statistics.median(each), "times_compiled": ratio, "steps": given.steps}
        job.records.add({"method": name, **shared}, found)


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Milliseconds of the processor, and ratios."""
    heads = ["step of", "data", "batch", "d", "threads", "CPU ms a step", "times the compiled step"]
    facts = ("method", "data", "batch", "size", "threads")
    lines = [[*(row[fact] for fact in facts), f"{row['ms']:.1f}", f"{row['times_compiled']:.2f}"] for row in rows]
    return {"dmm-speed": markdown.table(heads, lines)}


ENTRY = Entry(
    name="dmm-speed",
    shows="A step of the deep Markov model, compiled and eager, beside plain Pyro in the style of its own example.",
    budgets={
        "smoke": Spend("5 seconds", {"data": "digits", "size": 4, "batch": 10, "steps": 1, "rounds": 1, "backend": "graph"}),
        "cpu": Spend("5 minutes of one core", {}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "data": Option("a named set of binary sequences", "jsb"),
        "size": Option("d, from which the other sizes follow as in Pyro's example", 100),
        "batch": Option("sequences a step", 20),
        "steps": Option("in a turn", 5),
        "rounds": Option("in which the contenders take turns", 5),
        "backend": Option("graph: trace the step, and compile nothing", "inductor", str),
    },
)
