"""One latent, one observed site, two distributions and a guide: log p(x), every bound and its gradient by a sum over a grid.

The sums are independent of the engine: they use the three distributions alone, in float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from torch import Tensor, nn

import pyrovae as pv
from pyrovae.evidence import bdmc

__all__ = ["Grid", "Structure", "combinations", "interval", "plane", "positive", "reals", "square", "tails"]

POINTS = 401
Distribution = Any


@dataclass(frozen=True)
class Grid:
    """Values of the latent, (G, *event), and the logs of their weights, (G,): a rule for integrals or sums over it."""

    values: Tensor
    log_weights: Tensor


def reals(width: float = 10.0, points: int = POINTS) -> Grid:
    """The trapezoidal rule on [-width, width]."""
    u = torch.linspace(-width, width, points, dtype=torch.float64)
    return Grid(u, torch.full_like(u, math.log(2 * width / (points - 1))))


def positive(low: float = 0.0, sign: float = 1.0, width: float = 12.0) -> Grid:
    """low + e^u, or low - e^u."""
    line = reals(width)
    return Grid(low + sign * line.values.exp(), line.log_weights + line.values)


def interval(low: float, high: float, width: float = 25.0) -> Grid:
    """low + (high - low) sigmoid(u)."""
    line = reals(width)
    share = line.values.sigmoid()
    slope = nn.functional.logsigmoid(line.values) + nn.functional.logsigmoid(-line.values)
    return Grid(low + (high - low) * share, line.log_weights + slope + math.log(high - low))


def tails(width: float = 5.0, points: int = POINTS) -> Grid:
    """sinh(u)."""
    line = reals(width, points)
    return Grid(line.values.sinh(), line.log_weights + line.values.cosh().log())


def plane(width: float = 7.0, points: int = 29) -> Grid:
    """Vectors of two reals."""
    return square(reals(width, points))


def square(one: Grid) -> Grid:
    """Vectors of two values."""
    pairs = torch.cartesian_prod(one.log_weights, one.log_weights).sum(-1)
    return Grid(torch.cartesian_prod(one.values, one.values), pairs)


def combinations(*values: float, length: int = 0) -> Grid:
    """Each of these values, or each vector of so many of them, once."""
    found = [*itertools.product(values, repeat=length)] if length else [*values]
    every = torch.tensor(found, dtype=torch.float64)
    return Grid(every, torch.zeros(len(every), dtype=torch.float64))


@dataclass(frozen=True)
class Structure:
    """A pair of one latent site z.

    Attributes:
        name: of it.
        prior: theta -> p(z).
        likelihood: z, theta -> p(x | z).
        guide: x, phi -> q(z | x).
        grid: over all z.
        x: data, (B, D).
        theta, phi: parameters of model and guide, (n,) and (m,).
        discrete: whether z is.
    """

    name: str
    prior: Callable[[Tensor], Distribution]
    likelihood: Callable[[Tensor, Tensor], Distribution]
    guide: Callable[[Tensor, Tensor], Distribution]
    grid: Grid
    x: Tensor
    theta: Tensor
    phi: Tensor
    discrete: bool = False

    def pair(self, rows: int = 1) -> tuple[nn.Module, nn.Module]:
        """Model and guide, whose parameters stand in so many rows, one for each datum or one for all."""
        return _Model(self, rows), _Guide(self, rows)

    def scores(self, x: Tensor, theta: Tensor, phi: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """log p(x_b, z_g) and log q(z_g | x_b), (G, B) each, with z_g's log weight added to both."""
        z = self.grid.values.unsqueeze(1)
        weights = self.grid.log_weights.unsqueeze(1)
        joint = _at(self.prior(theta), z) + _at(self.likelihood(z, theta), x)
        return joint + weights, (torch.zeros(()) if phi is None else _at(self.guide(x, phi), z)) + weights

    def log_p(self, x: Tensor | None = None) -> Tensor:
        """log p(x_b), (B,)."""
        x = self.x if x is None else x
        return self.scores(x.double(), self.theta.double().expand(len(x), -1))[0].logsumexp(0)

    def bound(self, num_particles: int) -> tuple[Tensor, Tensor, Tensor]:
        """The ELBO, or the bound of two particles: its value, (B,), and its gradients for theta and phi, (B, n) and (B, m)."""
        rows = len(self.x)
        theta, phi = (p.double().repeat(rows, 1).requires_grad_() for p in (self.theta, self.phi))
        joint, log_q = self.scores(self.x.double(), theta, phi)
        mass, log_weight = log_q.exp(), (joint - log_q).nan_to_num(neginf=-1e30)
        if num_particles == 1:
            value = torch.where(mass > 0, mass * log_weight, 0.0).sum(0)
        else:
            both = torch.logaddexp(log_weight.unsqueeze(0), log_weight.unsqueeze(1)) - math.log(2)
            value = torch.where(mass > 0, mass * torch.where(mass.unsqueeze(1) > 0, mass.unsqueeze(1) * both, 0.0), 0.0).sum(
                (0, 1)
            )
        return value.detach(), *torch.autograd.grad(value.sum(), (theta, phi))

    # ------------------------------------------------------------------------------------------ what is held against it
    def objective(self, name: str, num_particles: int, repeats: int) -> tuple[Tensor, Tensor]:
        """How many standard errors value and gradients of an objective are off, the worst of each, over so many repeats."""
        torch.manual_seed(0)
        rows = len(self.x)
        model, guide = self.pair(repeats * rows)
        loss = pv.objectives.OBJECTIVES.build(name, num_particles=num_particles)
        x = self.x.repeat(repeats, 1)
        value, *gradients = self.bound(num_particles)
        found = [loss.evaluate(model, guide, {"x": x}).detach()]
        loss.loss_and_grads(model, guide, x=x)
        found += [-model.theta.grad, -guide.phi.grad]
        z = [
            _z(one.reshape(repeats, rows, -1), truth.reshape(rows, -1))
            for one, truth in zip(found, (value, *gradients), strict=True)
        ]
        return z[0], torch.stack(z[1:]).max()

    def method(self, method: str, **options: Any) -> tuple[Tensor, pv.Evidence]:
        """How many standard errors a method's estimates are off, (B,)."""
        evidence = pv.log_evidence(self.pair(), self.x, method=method, **options)
        return (evidence.value - self.log_p()) / evidence.stderr.clamp_min(1e-6), evidence

    def sides(self, num_data: int, **options: Any) -> tuple[float, float, float]:
        """By how many standard errors bdmc's lower bound lies above log p(x), and its upper one below it; the gap."""
        both = bdmc(self.pair(), num_data, like={"x": self.x[:1]}, **options)
        truth = self.log_p(both.data["x"])
        errors = (both.lower.value - truth, truth - both.upper)
        lower, upper = (float(e.mean() / (e.std() / num_data**0.5 + 1e-9)) for e in errors)
        return lower, upper, both.gap[0]


def _at(fn: Distribution, value: Tensor) -> Tensor:
    fn._validate_args = False
    return fn.log_prob(value)


def _z(found: Tensor, truth: Tensor) -> Tensor:
    """The worst distance from the truth in standard errors over repeats, which come first."""
    found = found.double()
    error = found.std(0) / len(found) ** 0.5
    return ((found.mean(0) - truth).abs() / (error + 1e-5 * (1 + truth.abs()))).max()


class _Model(nn.Module):
    def __init__(self, structure: Structure, rows: int) -> None:
        super().__init__()
        self.structure, self.theta = structure, nn.Parameter(structure.theta.repeat(rows, 1))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", self.structure.prior(self.theta))
            pyro.sample("x", self.structure.likelihood(z, self.theta), obs=x)


class _Guide(nn.Module):
    def __init__(self, structure: Structure, rows: int) -> None:
        super().__init__()
        self.structure, self.phi = structure, nn.Parameter(structure.phi.repeat(rows, 1))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", self.structure.guide(x, self.phi))
