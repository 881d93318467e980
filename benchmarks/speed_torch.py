"""The contenders of ``speed.py`` that live in one process: by hand, by hand compiled, pyrovae eager and compiled, stock Pyro.

Each is made of a row and a pair of its own (it trains it) and gives a :class:`Contender`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import pyro
import pyro.infer
import torch
from speed_hand import hand_written
from speed_pairs import enumerated, sequence, two_layers
from speed_rows import Row
from torch import Tensor

import pyrovae as pv
from pyrovae.compile.optimizers import build_optimizer
from pyrovae.core.pair import adopt, parameter_scope, parameters
from pyrovae.objectives import get

__all__ = ["CONTENDERS", "Contender", "Missing", "backend", "make_pair", "registered", "stock_elbos"]

Step = Callable[[Tensor], Tensor | float]
LR = 1e-3


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


def make_pair(row: Row) -> pv.Pair:
    """The pair of a row, for x (B, 28, 28) of zeros and ones."""
    spec = pv.data.DataSpec("images", (28, 28), "binary")
    if row.kind == "vae":
        return pv.pairs.vae(spec, latent_dim=row.latent_dim, hidden=row.hidden)
    if row.kind == "conv":
        return pv.pairs.conv_vae(spec, latent_dim=row.latent_dim)
    return {"two-layers": two_layers, "enumerated": enumerated, "sequence": sequence}[row.kind]()


# ------------------------------------------------------------------------------------------------- by hand
def hand(row: Row, pair: pv.Pair, batches: list[Tensor], matmul: str = "onednn", lr: float = LR) -> Contender:
    """Eager PyTorch with fused Adam."""
    bound = hand_written(row, pair)
    return Contender(_trained(bound, torch.optim.Adam(bound.parameters(), lr, fused=True)))


def _trained(bound: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, update: Callable | None = None) -> Step:
    update = update or optimizer.step

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        value = bound(x)
        (-value).backward()
        update()
        return value.detach()

    return step


def hand_compile(row: Row, pair: pv.Pair, batches: list[Tensor], matmul: str = "onednn", lr: float = LR) -> Contender:
    """The same under torch.compile, with the faster of two optimizers: fused and eager, or compiled as well."""
    bound = hand_written(row, pair)
    compiled = torch.compile(bound, dynamic=False)
    fused = torch.optim.Adam(bound.parameters(), lr, fused=True)
    plain = torch.optim.Adam(bound.parameters(), lr, foreach=True)
    ways = {"fused Adam": _trained(compiled, fused), "compiled Adam": _trained(compiled, plain, torch.compile(plain.step))}
    contenders = {}
    for name, step in ways.items():
        contenders[name] = Contender(step, lambda: backend(matmul), notes={"optimizer": name, "matmul": matmul})
        contenders[name].compile_s = contenders[name].run(batches, 1)
        contenders[name].run(batches, 5)
    contenders["compiled Adam"].compile_s += contenders["fused Adam"].compile_s  # which compiled the network for both
    turns = [{name: c.run(batches, max(5, row.steps // 10)) for name, c in contenders.items()} for _ in range(3)]
    return contenders[min(contenders, key=lambda name: min(turn[name] for turn in turns))]


# ------------------------------------------------------------------------------------------------- pyrovae
def fit_eager(row: Row, pair: pv.Pair, batches: list[Tensor], matmul: str = "onednn", lr: float = LR) -> Contender:
    """What ``fit`` does at each step without a compiler."""
    model, guide, objective = pair.model, pair.guide, get(row.objective)
    optimizer = build_optimizer("Adam", list(parameters(model, guide).values()), lr, {})

    def step(x: Tensor) -> float:
        optimizer.zero_grad(set_to_none=True)
        terms = objective.terms(objective.trace(pv.objectives.Given(model, guide, [{"x": x}])))
        (-terms.surrogate.mean()).backward()
        optimizer.step()
        return float(terms.bound.detach().sum()) / len(x)

    return Contender(step, lambda: _in_store(pair, validation=False))


@contextmanager
def _in_store(pair: pv.Pair, validation: bool) -> Iterator[None]:
    with parameter_scope(pair.model, pair.guide), pyro.validation_enabled(validation):
        yield


def compiled(row: Row, pair: pv.Pair, batches: list[Tensor], matmul: str = "onednn", lr: float = LR) -> Contender:
    """``pyrovae.compile_step``."""
    if not hasattr(pv, "compile_step"):
        raise Missing("this pyrovae has no compile_step")
    began = time.perf_counter()
    step = pv.compile_step(get(row.objective), pair.model, pair.guide, {"x": batches[0]}, optimizer="Adam", lr=lr)
    made = time.perf_counter() - began
    contender = Contender(lambda x: step({"x": x}), notes={"matmul": getattr(step, "matmul", "onednn")})
    contender.compile_s = made + contender.run(batches, 1)
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

    def make(row: Row, pair: pv.Pair, batches: list[Tensor], matmul: str = "onednn", lr: float = LR) -> Contender:
        elbos = stock_elbos(row)
        if name not in elbos:
            raise Missing(f"{name} is for the rows of a plain VAE")
        adopt(pair.model, pair.guide)  # a parameter store of its own
        svi = pyro.infer.SVI(*registered(pair), pyro.optim.Adam({"lr": lr}), elbos[name])
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
