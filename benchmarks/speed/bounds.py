"""Do all contenders of a row of the entry ``speed`` compute the same bound on the same weights?

Those that share torch's random numbers, by the value and the gradient under one seed; the others by the mean over draws of the
noise, within five standard errors.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from typing import Any

import pyro
import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.speed.contenders.hand import hand_written
from benchmarks.speed.contenders.local import CONTENDERS, Missing, Setup, registered, stock_elbos
from benchmarks.speed.pairs import make_pair
from benchmarks.speed.row import connected
from benchmarks.speed.rows import Row
from pyrovae.core.parameters import parameters
from pyrovae.objectives import Given, get

__all__ = ["check_means", "check_seeded", "seeded"]

Gradients = dict[str, Tensor]


def seeded(row: Row, pair: pv.Pair, x: Tensor) -> dict[str, tuple[float, Gradients]]:
    """Mean bound and its gradient by parameter, under seed 0: by hand, of pyrovae's objective, of Pyro's."""
    hand = hand_written(row, pair)
    ways: dict[str, Callable[[], float]] = {
        "hand": lambda: _backward(hand(x)),
        "fit-eager": lambda: _ours(row.objective, pair, x),
    }
    for name, elbo in stock_elbos(row).items():
        ways[name] = lambda elbo=elbo: _stock(elbo, pair, x)
    if "pyro-meanfield" in ways:  # an analytic KL has another value than a drawn one
        ways["meanfield"] = lambda: _ours("meanfield", pair, x)
    found = {}
    for name, bound in ways.items():
        for p in parameters(pair.model, pair.guide).values():
            p.grad = None
        torch.manual_seed(0)
        found[name] = bound(), {n: p.grad.clone() for n, p in parameters(pair.model, pair.guide).items()}
    return found


def _backward(bound: Tensor) -> float:
    bound.backward()
    return float(bound.detach())


def _ours(objective: str, pair: pv.Pair, x: Tensor) -> float:
    objective = get(objective)
    terms = objective.terms(objective.trace(Given(pair.model, pair.guide, [{"x": x}])))
    terms.surrogate.mean().backward()
    return float(terms.bound.detach().mean())


def _stock(elbo: pyro.infer.ELBO, pair: pv.Pair, x: Tensor) -> float:
    with pyro.get_param_store().scope():
        value = -elbo.loss_and_grads(*registered(pair), x) / len(x)
    for p in parameters(pair.model, pair.guide).values():
        p.grad /= -len(x)  # of minus the sum over the batch
    return value


def check_seeded(row: Row, pair: pv.Pair, x: Tensor) -> dict[str, tuple[float, float]]:
    """Relative differences to the hand-written bound and gradient, by contender; AssertionError above 1e-4."""
    found = seeded(row, pair, x)
    differences = {}
    for name, (value, gradients) in found.items():
        other, its_gradients = found["meanfield" if name.endswith("meanfield") else "hand"]
        bound = abs(value - other) / abs(other)
        gradient = _norm({n: g - its_gradients[n] for n, g in gradients.items()}) / _norm(its_gradients)
        assert bound < 1e-4 and gradient < 1e-4, (
            f"{name} has the bound {value}, expected {other}; its gradient differs by {gradient:.1e} of its norm."
        )
        differences[name] = bound, gradient
    return differences


def _norm(gradients: Gradients) -> float:
    return float(torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt())


def check_means(
    row: Row, batches: list[Tensor], pythons: dict[str, str], repeats: int, backend: str
) -> dict[str, tuple[float, float]]:
    """Mean and standard error over draws of each contender's bound of one batch; AssertionError when one differs."""
    pair = make_pair(row)
    hand, x = hand_written(row, pair), batches[0]
    draws: dict[str, list[float]] = {}
    with torch.no_grad():
        draws["hand"] = [float(hand(x)) for _ in range(repeats)]
        if row.kind == "vae" and row.particles > 1:  # what Pythae's IWAE reports
            weights = [hand.log_weight(x) for _ in range(repeats)]
            draws["hand, weighted"] = [float((w.softmax(0) * w).sum(0).mean()) for w in weights]
    for name in ("compiled", "hand-compile"):
        try:
            contender = CONTENDERS[name](Setup(row, copy.deepcopy(pair), batches, lr=0.0, backend=backend))
        except Missing:
            continue
        with contender.around():
            draws[name] = [float(contender.step(x)) for _ in range(repeats)]
    with connected(row, pair, batches, pythons) as peers:
        for worker in {id(worker): worker for worker, _ in peers.values()}.values():
            draws |= worker.ask("bound", repeats=repeats)
    found: dict[str, Any] = {name: (statistics.mean(v), statistics.stdev(v) / len(v) ** 0.5) for name, v in draws.items()}
    for name, (mean, error) in found.items():
        other, its_error = found["hand, weighted" if name.endswith("weighted") else "hand"]
        limit = 5 * (error**2 + its_error**2) ** 0.5 + 1e-5 * abs(other)
        assert abs(mean - other) <= limit, f"{name} has the bound {mean} +- {error}, by hand it is {other} +- {its_error}."
    return found
