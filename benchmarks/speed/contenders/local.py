"""The contenders of ``speed`` that live in one process: by hand, by hand compiled, pyrovae eager and compiled, stock Pyro.

Each is made of a :class:`Setup` with a pair of its own (it trains it) and gives a :class:`Contender`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import pyro
import pyro.infer
import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.speed.contenders.hand import hand_written
from benchmarks.speed.pairs import in_steps
from benchmarks.speed.rows import Row
from pyrovae.compile.optimizers import build_optimizer
from pyrovae.core.parameters import adopt, parameter_scope, parameters
from pyrovae.objectives import Given, get

__all__ = ["CONTENDERS", "Contender", "Missing", "Setup", "backend", "registered", "stock_elbos"]

Step = Callable[[Tensor], Tensor | float]


class Missing(RuntimeError):
    """A contender that cannot run here, and why."""


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Matrix products by "mkl", torch's default, or "onednn" (float32 on the processors measured), as before afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if name == "onednn" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass
class Contender:
    """``step(x)`` does one whole step, forward, backward and Adam; ``around`` is what its turns run in."""

    step: Step
    around: Callable[[], AbstractContextManager] = nullcontext
    compile_s: float | None = None  # of making it and its first step
    notes: dict[str, str] = field(default_factory=dict)
    position: int = 0

    def run(self, batches: list[Tensor], steps: int) -> float:
        """Seconds for this many steps, each on the next batch, its value read at the end."""
        with self.around():
            began = time.perf_counter()
            for i in range(self.position, self.position + steps):
                value = self.step(batches[i % len(batches)])
            float(value)
            seconds = time.perf_counter() - began
        self.position += steps
        return seconds


@dataclass
class Setup:
    """What a contender is made of: a row, a pair of its own, batches; ``backend`` "graph" compiles nothing."""

    row: Row
    pair: pv.Pair
    batches: list[Tensor]
    matmul: str = "onednn"
    lr: float = 1e-3
    backend: str = "inductor"

    @property
    def own(self) -> pv.Pair:
        """The pair as one writes it for pyrovae: a sequence in steps."""
        return in_steps(self.pair) if self.row.kind == "sequence" else self.pair


# ------------------------------------------------------------------------------------------------- by hand
def hand(setup: Setup) -> Contender:
    """Eager PyTorch with fused Adam."""
    bound = hand_written(setup.row, setup.pair)
    return Contender(_trained(bound, torch.optim.Adam(bound.parameters(), setup.lr, fused=True)))


def _trained(bound: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, update: Callable | None = None) -> Step:
    update = update or optimizer.step

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        value = bound(x)
        (-value).backward()
        update()
        return value.detach()

    return step


def hand_compile(setup: Setup) -> Contender:
    """The same under torch.compile, with the faster of two optimizers: fused and eager, or compiled as well."""
    if setup.backend == "graph":
        raise Missing("nothing is compiled here")
    bound, batches, matmul = hand_written(setup.row, setup.pair), setup.batches, setup.matmul
    graphs = {"mode": "reduce-overhead"} if batches[0].device.type == "cuda" else {}  # by CUDA graphs
    compiled = torch.compile(bound, dynamic=False, **graphs)
    fused = torch.optim.Adam(bound.parameters(), setup.lr, fused=True)
    plain = torch.optim.Adam(bound.parameters(), setup.lr, foreach=True)
    ways = {"fused Adam": _trained(compiled, fused), "compiled Adam": _trained(compiled, plain, torch.compile(plain.step))}
    contenders = {}
    for name, step in ways.items():
        contenders[name] = Contender(step, lambda: backend(matmul), notes={"optimizer": name, "matmul": matmul})
        contenders[name].compile_s = contenders[name].run(batches, 1)
        contenders[name].run(batches, 5)
    contenders["compiled Adam"].compile_s += contenders["fused Adam"].compile_s  # which compiled the network for both
    turns = [{name: c.run(batches, max(5, setup.row.steps // 10)) for name, c in contenders.items()} for _ in range(3)]
    return contenders[min(contenders, key=lambda name: min(turn[name] for turn in turns))]


# ------------------------------------------------------------------------------------------------- pyrovae
def fit_eager(setup: Setup) -> Contender:
    """What ``fit`` does at each step without a compiler."""
    pair, objective = setup.own, get(setup.row.objective)
    model, guide = pair.model, pair.guide
    optimizer = build_optimizer("Adam", list(parameters(model, guide).values()), setup.lr, {})

    def step(x: Tensor) -> float:
        optimizer.zero_grad(set_to_none=True)
        update = next(objective.updates(Given(model, guide, [{"x": x}])))
        update.loss.backward()
        optimizer.step()
        return float(update.bound.detach().sum()) / len(x)

    return Contender(step, lambda: _in_store(pair, validation=False))


@contextmanager
def _in_store(pair: pv.Pair, validation: bool) -> Iterator[None]:
    with parameter_scope(pair.model, pair.guide), pyro.validation_enabled(validation):
        yield


def compiled(setup: Setup) -> Contender:
    """``pyrovae.compile_step``."""
    batch = {"x": setup.batches[0]}
    how = {"optimizer": "Adam", "lr": setup.lr, "backend": None if setup.backend == "inductor" else setup.backend}
    began = time.perf_counter()
    step = pv.compile_step(setup.own, batch, get(setup.row.objective), **how)
    made = time.perf_counter() - began
    contender = Contender(lambda x: step({"x": x}), notes={"matmul": step.matmul})
    contender.compile_s = made + contender.run(setup.batches, 1)
    return contender


# ---------------------------------------------------------------------------------------------- stock Pyro
def stock_elbos(row: Row) -> dict[str, pyro.infer.ELBO]:
    """Pyro's own objectives for a row, its usual one first."""
    if row.kind == "enumerated":
        return {"pyro": pyro.infer.TraceEnum_ELBO(max_plate_nesting=1)}
    if row.particles > 1:
        options = {"num_particles": row.particles, "vectorize_particles": True, "max_plate_nesting": 1}
        return {"pyro": pyro.infer.RenyiELBO(0.0, **options)}
    elbos = {"pyro": pyro.infer.Trace_ELBO()}
    return {**elbos, "pyro-meanfield": pyro.infer.TraceMeanField_ELBO()} if row.kind == "vae" else elbos


def registered(pair: pv.Pair) -> tuple[Callable[[Tensor], None], Callable[[Tensor], None]]:
    """The pair's programs as a user of Pyro writes them, their modules registered."""

    def model(x: Tensor) -> None:
        pyro.module("model", pair.model)
        pair.model(x)

    def guide(x: Tensor) -> None:
        pyro.module("guide", pair.guide)
        pair.guide(x)

    return model, guide


def stock(name: str, validation: bool = True) -> Callable[..., Contender]:
    """``SVI.step`` with registered modules and Pyro's Adam, validating as Pyro does unless told not to."""

    def make(setup: Setup) -> Contender:
        elbos, pair = stock_elbos(setup.row), setup.pair
        if name not in elbos:
            raise Missing(f"{name} is for the rows of a plain VAE")
        adopt(pair.model, pair.guide)  # a parameter store of its own
        svi = pyro.infer.SVI(*registered(pair), pyro.optim.Adam({"lr": setup.lr}), elbos[name])
        return Contender(lambda x: -svi.step(x) / len(x), lambda: _in_store(pair, validation))

    return make


CONTENDERS = {
    "hand": hand,
    "fit-eager": fit_eager,
    "pyro": stock("pyro"),
    "pyro-unvalidated": stock("pyro", validation=False),
    "pyro-meanfield": stock("pyro-meanfield"),
    "compiled": compiled,
    "hand-compile": hand_compile,
}
