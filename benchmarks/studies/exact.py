"""Is every estimate of log p(x), every bound and every gradient right, over pairs of many structures?

Each structure's log p(x), bounds and gradients are sums over a grid, independent of the engine
(:mod:`benchmarks.studies.structures`). A cell is one structure: how many standard errors each method, side and objective is
off. Where a method refuses, the refusal is recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.studies.structures import Structure, combinations, interval, plane, positive, reals, tails
from pyrovae.errors import PyrovaeError

__all__ = ["ENTRY", "STRUCTURES"]

T = dist.transforms
LIMIT = 4.0  # standard errors, beyond which something is wrong


def column(*values: float) -> Tensor:
    return torch.tensor(values).unsqueeze(-1)


def normal_x(z: Tensor, t: Tensor) -> Any:
    return dist.Normal((t[..., 0] * z).unsqueeze(-1), 0.7).to_event(1)


def normal_guide(x: Tensor, p: Tensor) -> Any:
    return dist.Normal(p[..., 0] * x[..., 0], p[..., 1].exp())


def log_normal_guide(x: Tensor, p: Tensor) -> Any:
    return dist.LogNormal(p[..., 0] + 0.2 * x[..., 0], p[..., 1].exp())


def moved(base: Any, loc: float, scale: float) -> Any:
    return dist.TransformedDistribution(base, [T.AffineTransform(loc, scale)])


def two(t: Tensor) -> Any:
    return dist.Categorical(torch.ones_like(t[..., :2]))


def either(t: Tensor) -> Tensor:
    return torch.stack([t[..., 1], -t[..., 1]], -1)


Given = tuple[
    str, Callable[..., Any], Callable[..., Any], Callable[..., Any], Any, Sequence[float], Sequence[float], Sequence[float]
]
_HALF = (0.8, 2.0, 3.5)
_REAL = (0.3, -1.2, 2.0)
GIVEN: list[Given] = [
    ("Normal", lambda t: dist.Normal(t[..., 1], 1.0), normal_x, normal_guide, reals(), _REAL, (0.9, 0.2), (0.5, -0.4)),
    (
        "SkewLogistic",
        lambda t: dist.SkewLogistic(t[..., 1], 1.0, 2.0),
        normal_x,
        normal_guide,
        tails(4.0),
        _REAL,
        (0.9, 0.2),
        (0.6, -0.3),
    ),
    (
        "Cauchy",
        lambda t: dist.Cauchy(t[..., 1], 1.0),
        normal_x,
        lambda x, p: dist.StudentT(7.0, p[..., 0] * x[..., 0], p[..., 1].exp()),
        tails(9.0, 1001),
        _REAL,
        (0.9, 0.2),
        (0.6, -0.3),
    ),
    ("Logistic", lambda t: dist.Logistic(t[..., 1], 1.0), normal_x, normal_guide, tails(4.0), _REAL, (0.9, 0.2), (0.6, -0.3)),
    (
        "mixture of angles",
        lambda t: dist.MixtureSameFamily(two(t), dist.VonMises(either(t), 3.0)),
        normal_x,
        lambda x, p: dist.VonMises(p[..., 0] * x[..., 0], p[..., 1].exp()),
        interval(-torch.pi, torch.pi),
        _REAL,
        (0.9, 1.2),
        (0.6, 0.1),
    ),
    (
        "moved angle",
        lambda t: moved(dist.VonMises(t[..., 1], 1.0), 1.0, 0.5),
        normal_x,
        lambda x, p: moved(dist.VonMises(p[..., 0] * x[..., 0], p[..., 1].exp()), 1.0, 0.5),
        interval(1 - torch.pi / 2, 1 + torch.pi / 2),
        _REAL,
        (0.9, 0.3),
        (0.6, 0.1),
    ),
    (
        "Weibull",
        lambda t: dist.Weibull(t[..., 1].exp(), 1.5),
        normal_x,
        log_normal_guide,
        positive(),
        _HALF,
        (0.9, 0.5),
        (0.1, -0.5),
    ),
    (
        "InverseGamma",
        lambda t: dist.InverseGamma(3.0, t[..., 1].exp()),
        normal_x,
        log_normal_guide,
        positive(),
        _HALF,
        (0.9, 1.0),
        (0.1, -0.3),
    ),
    (
        "Pareto",
        lambda t: dist.Pareto(torch.ones_like(t[..., 1]), 2 + t[..., 1].exp()),
        normal_x,
        lambda x, p: moved(dist.LogNormal(p[..., 0] + 0.2 * x[..., 0], p[..., 1].exp()), 1.0, 1.0),
        positive(1.0),
        _HALF,
        (0.9, 0.1),
        (-1.2, 0.2),
    ),
    (
        "FoldedDistribution",
        lambda t: dist.FoldedDistribution(dist.Normal(t[..., 1], 1.0)),
        normal_x,
        lambda x, p: dist.FoldedDistribution(dist.Normal(p[..., 0] * x[..., 0], p[..., 1].exp())),
        positive(),
        _HALF,
        (0.9, 0.4),
        (0.7, -0.3),
    ),
    (
        "moved beta",
        lambda t: moved(dist.Beta(2 + t[..., 1] ** 2, torch.full_like(t[..., 1], 2.0)), 2.0, -3.0),
        normal_x,
        lambda x, p: moved(dist.Beta(2 + p[..., 0] ** 2, 2 + p[..., 1] ** 2), 2.0, -3.0),
        interval(-1.0, 2.0),
        (-0.5, 0.4, 1.5),
        (1.1, 0.5),
        (0.3, 0.4),
    ),
    (
        "Uniform",
        lambda t: dist.Uniform(-1.0 + 0 * t[..., 1], 2.0),
        lambda z, t: dist.NegativeBinomial(3.0, logits=(t[..., 0] * z + t[..., 1]).unsqueeze(-1)).to_event(1),
        lambda x, p: dist.AffineBeta(1 + p[..., 0] ** 2, 1 + p[..., 1] ** 2, -1.0, 3.0),
        interval(-1.0, 2.0),
        (0.0, 3.0, 8.0),
        (0.8, -0.3),
        (0.3, 0.4),
    ),
    (
        "mean of a wide and a narrow one",
        lambda t: dist.MixtureSameFamily(two(t), dist.Normal(t[..., 1:], torch.tensor([0.3, 3.0]).to(t))),
        lambda z, t: dist.Bernoulli(logits=(t[..., 0] * z).unsqueeze(-1)).to_event(1),
        normal_guide,
        reals(15.0, 801),
        (0.0, 1.0),
        (1.4, 0.2),
        (0.6, 0.3),
    ),
    (
        "two in an ellipse",
        lambda t: dist.MultivariateNormal(t[..., 1:].expand(*t.shape[:-1], 2), torch.tensor([[1.0, 0.6], [0.6, 1.0]]).to(t)),
        lambda z, t: dist.Normal(z.prod(-1, keepdim=True) * t[..., :1], 0.8).to_event(1),
        lambda x, p: dist.Normal(p[..., :1] + 0 * x, p[..., 1:].exp().expand(*x.shape[:-1], 2)).to_event(1),
        plane(6.0, 41),
        (0.2, -0.6, 1.0),
        (0.9, 0.2),
        (0.1, -0.2),
    ),
]
SUMS: list[Given] = [
    (
        "Categorical",
        lambda t: dist.Categorical(logits=t[..., 1:] * torch.tensor([0.0, 1.0, -1.0]).to(t)),
        normal_x,
        lambda x, p: dist.Categorical(logits=p[..., :3] + 0.3 * x),
        combinations(0.0, 1.0, 2.0),
        _HALF,
        (0.9, 0.3),
        (0.1, -0.2, 0.3),
    ),
    (
        "two binomials",
        lambda t: dist.Binomial(2, logits=t.flip(-1)).to_event(1),
        lambda z, t: dist.Poisson((0.3 + z.sum(-1, keepdim=True)) * t[..., :1].exp()).to_event(1),
        lambda x, p: dist.Binomial(2, logits=p + 0.2 * x).to_event(1),
        combinations(0.0, 1.0, 2.0, length=2),
        (0.0, 2.0, 5.0),
        (0.2, -0.3),
        (0.1, -0.2),
    ),
]


def _structure(given: Given, discrete: bool) -> Structure:
    name, prior, likelihood, guide, grid, x, theta, phi = given
    return Structure(name, prior, likelihood, guide, grid, column(*x), torch.tensor(theta), torch.tensor(phi), discrete)


STRUCTURES = {g[0]: _structure(g, discrete) for many, discrete in ((GIVEN, False), (SUMS, True)) for g in many}


def _tried(check: Callable[[], float]) -> float | str:
    """A figure, or the sentence of the refusal."""
    try:
        return round(float(check()), 2)
    except PyrovaeError as error:
        return str(error)


def cell(structure: Structure, scale: int) -> Row:
    """Standard errors off, by method, side and objective."""
    chains = {"num_chains": 50 * scale, "num_distributions": 10 + 10 * scale}
    methods: dict[str, dict[str, Any]] = {
        "importance": {"method": "importance", "num_samples": 2000 * scale},
        "defensive": {"method": "importance", "num_samples": 2000 * scale, "defensive": 0.2},
    }
    if structure.discrete:
        methods["exact"] = {"method": "exact"}
    else:
        methods |= {name: {"method": name, **chains} for name in ("ais", "smc")}
        methods["ais from the prior"] = {"method": "ais", "start": "prior", **chains}
        methods["bridge"] = {"method": "bridge", "num_draws": 20 + 40 * scale, "num_warmup": 50, "num_steps": 50 * scale}
    found: Row = {name: _tried(lambda o=o: structure.method(**o)[0].abs().max()) for name, o in methods.items()}
    if not structure.discrete:
        sides = structure.sides(50 * scale, num_chains=4, num_distributions=10 + 5 * scale)
        found |= {"lower side": round(sides[0], 2), "upper side": round(sides[1], 2)}
    has_paths = structure.guide(structure.x, structure.phi).has_rsample
    names = {"elbo": 1, "vimco": 2} if not has_paths else {"elbo": 1, "meanfield": 1, "stl": 1, "iwae": 2, "dreg": 2}
    for objective, particles in {**names, **({"enum": 1} if structure.discrete else {})}.items():
        both = functools.cache(functools.partial(structure.objective, objective, particles, 500 * scale))
        found[objective] = _tried(lambda both=both: both()[0])
        found[f"{objective}, gradient"] = _tried(lambda both=both: both()[1])
    return found


def run(job: Job) -> None:
    """Each structure."""
    for name in job.options.structures:
        key = {"structure": name, "scale": job.options.scale}
        job.records.cell(key, functools.partial(cell, STRUCTURES[name], job.options.scale))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """The worst figure of each kind, and what is beyond the limit or refused."""
    lines = []
    for row in rows:
        figures = {name: value for name, value in row.items() if isinstance(value, float)}
        wrong = [f"**{name} {value}**" for name, value in figures.items() if value > LIMIT]
        refused = [f"{name}: {value}" for name, value in row.items() if isinstance(value, str) and name != "structure"]
        worst = max(figures, key=lambda name: figures[name])
        lines.append([row["structure"], len(figures), f"{figures[worst]} ({worst})", "; ".join([*wrong, *refused]) or "none"])
    heads = ["structure", "checks", "most standard errors off", f"beyond {LIMIT:g}, or refused"]
    return {"exact": markdown.table(heads, lines)}


ENTRY = Entry(
    name="exact",
    shows="Estimates, sides, bounds and gradients of pairs of many structures against sums over a grid.",
    budgets={
        "smoke": Spend("3 seconds", {"structures": ["Uniform", "two binomials"], "scale": 1}),
        "cpu": Spend("5 minutes of one core", {}),
    },
    run=run,
    tables=tables,
    options={
        "structures": Option("which", list(STRUCTURES), str, list(STRUCTURES)),
        "scale": Option("of draws, chains and repeats", 4),
    },
)
