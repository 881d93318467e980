"""From f_0 to f_1 in T steps: temperatures and step sizes tuned on a pilot run and frozen, weights, resampling.

The path is log f_beta = (1 - beta) log f_0 + beta log f_1, with f_0 the prior p(z) or the guide q(z | x) and f_1 = p(x, z), in
the unconstrained u of :mod:`pyrovae.evidence.target`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pyrovae.errors import ContractError
from pyrovae.evidence.hmc import Move, Path, Point, at
from pyrovae.evidence.keeper import Keeper
from pyrovae.evidence.target import Target

__all__ = ["PATHS", "Annealed", "Schedule", "anneal", "path_from", "plan", "temperatures"]

PATHS = ("adaptive", "sigmoidal", "linear")
SCALE_DRAWS = 64  # of prior and guide, for the scale of each dimension
WARMUP_TRANSITIONS = 15  # transitions at f_0, which they leave as it is, for a first step size
LOG_STEP_GAIN = 1.0  # of the log step size for each unit of acceptance above the target
MIN_PILOT_TEMPERATURES, MAX_PILOT_TEMPERATURES = 40, 200  # temperatures of the pilot run


class Schedule(NamedTuple):
    """What a pilot run settles, and no later run changes, for each datum.

    Attributes:
        beta: (T + 1, B), from 0 to 1.
        log_step: (T + 1, B), HMC's step in units of the scale.
        precision: (2, B, D), 1 / spread^2 of f_0 and about that of f_1.
    """

    beta: Tensor
    log_step: Tensor
    precision: Tensor

    def scale(self, t: int) -> Tensor:
        """Spread of each dimension of f_beta if f_0 and f_1 were Gaussian, (B, D)."""
        beta = self.beta[t].unsqueeze(-1).to(self.precision.dtype)
        return ((1 - beta) * self.precision[0] + beta * self.precision[1]).rsqrt()


class Annealed(NamedTuple):
    """K runs a datum: log weights, (K, B), their first ancestors, (K, B), and the mean acceptance, (B,)."""

    log_weight: Tensor
    ancestor: Tensor
    acceptance: Tensor


def path_from(target: Target, start: str) -> Path:
    """u -> log f_0(u) and log (f_1 / f_0)(u), for f_0 the "prior" or the "guide"."""

    def path(u: Tensor) -> tuple[Tensor, Tensor]:
        density = target.densities(u, guide=start == "guide")
        if density.guide is None:
            return density.prior, density.likelihood
        return density.guide, density.prior + density.likelihood - density.guide

    return path


def temperatures(kind: str, num: int) -> Tensor:
    """beta_0 = 0 to beta_T = 1, (T + 1,): equal steps, or those of a logistic function between -4 and 4.

    References: Wu, Burda, Salakhutdinov and Grosse, On the Quantitative Analysis of Decoder-Based Generative Models, 2017.

    >>> temperatures("linear", 4)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000], dtype=torch.float64)
    """
    t = torch.linspace(0, 1, num + 1, dtype=torch.float64)
    if kind == "linear":
        return t
    s = (4 * (2 * t - 1)).sigmoid()
    return (s - s[0]) / (s[-1] - s[0])


def plan(target: Target, path: Path, move: Move, start: str, kind: str, num: int, chains: int, goal: float) -> Schedule:
    """Temperatures and step sizes from a pilot run of a few chains over at most 200 temperatures.

    HMC's scale of each dimension goes from that of f_0 to the guide's, which is about the posterior's; only its efficiency
    depends on that. Each datum's step follows its mean acceptance over the chains towards ``goal``. With ``kind="adaptive"``
    each of the T steps has the same sd_beta(log f_1 / f_0) d beta, to second order the same loss of conditional effective
    sample size.

    References: Grosse, Maddison and Salakhutdinov, Annealing between Distributions by Averaging Moments, 2013 (the cost of a
    path); Zhou, Johansen and Aston, Toward Automatic Model Comparison, 2016 (conditional ESS).
    """
    precision = _precisions(target, start)
    pilot = min(max(num // 5, MIN_PILOT_TEMPERATURES), MAX_PILOT_TEMPERATURES)
    beta = temperatures("sigmoidal" if kind == "adaptive" else kind, pilot).to(precision.device)
    beta = beta.unsqueeze(1).repeat(1, target.size)
    rough = Schedule(beta, torch.zeros_like(beta), precision)
    point = at(path, target.draw(chains, start))
    log_step = torch.full_like(beta[0], math.log(0.5))
    spreads = []
    for t in [0] * WARMUP_TRANSITIONS + list(range(pilot + 1)):
        weight_at = beta[t].to(point.base.dtype)
        point, acceptance = move(point, weight_at, log_step.exp().to(point.u.dtype), rough.scale(t))
        rough.log_step[t] = log_step
        log_step = log_step + LOG_STEP_GAIN * (acceptance.mean(0).double() - goal)
        spreads.append(point.ratio.double().std(0))
    log_step = _smooth(rough.log_step)
    chosen = temperatures(kind, num).to(beta.device).unsqueeze(1).repeat(1, target.size)
    if kind == "adaptive":
        spread = _smooth(torch.stack(spreads[WARMUP_TRANSITIONS:]).nan_to_num(0.0, posinf=0.0))
        length = 0.5 * (spread[1:] + spread[:-1]) * beta.diff(dim=0)
        length = length / length.sum(0).clamp_min(1e-30) + 0.1 * beta.diff(dim=0)  # nowhere sparser than a tenth of linear
        walked = torch.cat([torch.zeros_like(length[:1]), length.cumsum(0)])
        marks = torch.linspace(0, 1, num + 1, dtype=walked.dtype, device=walked.device).unsqueeze(1) * walked[-1]
        chosen = _interpolate(marks, walked, beta)
        chosen[0], chosen[-1] = 0, 1
    return Schedule(chosen, _interpolate(chosen, beta, log_step), precision)


def _precisions(target: Target, start: str) -> Tensor:
    """1 / variance of each dimension under f_0, and under the guide, which is about the posterior's, (2, B, D)."""
    base = 1 / target.draw(SCALE_DRAWS, start).var(0).clamp(1e-8, 1e8)
    if start == "guide":
        return torch.stack([base, base])
    try:
        variance = target.draw(SCALE_DRAWS, "guide").var(0)
        # a point has no scale: chains keep the prior's
        return torch.stack([base, (1 / variance.clamp(1e-8, 1e8)).where(variance > 0, base)])
    except ContractError:  # the guide leaves the model's support: a chain from the prior does without it
        return torch.stack([base, base])


def _smooth(values: Tensor) -> Tensor:
    """Centred mean of five along dim 0, the ends repeated."""
    padded = torch.cat([values[:1].expand(2, -1), values, values[-1:].expand(2, -1)])
    return padded.unfold(0, 5, 1).mean(-1)


def _interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Piecewise linear y(x) for each column, of (T, B) x along increasing (P, B) xs."""
    right = torch.searchsorted(xs.T.contiguous(), x.T.contiguous()).T.clamp(1, len(xs) - 1)
    x0, x1, y0, y1 = xs.gather(0, right - 1), xs.gather(0, right), ys.gather(0, right - 1), ys.gather(0, right)
    share = ((x - x0) / (x1 - x0).clamp_min(1e-30)).clamp(0, 1)
    return y0 + share * (y1 - y0)


def anneal(
    path: Path,
    u: Tensor,
    schedule: Schedule,
    move: Move,
    *,
    reverse: bool = False,
    resample_below: float = 0.0,
    tick: Callable[[], object] = lambda: None,
    keeper: Keeper | None = None,
) -> Annealed:
    """log w = sum_t (beta_t - beta_t-1) log (f_1 / f_0)(u_t-1), u_t by HMC from u_t-1 at beta_t: E[w] = Z_1 / Z_0.

    With ``reverse``, from u ~ f_1 down to f_0: E[w] = Z_0 / Z_1. Where the effective sample size of a datum's K chains falls
    under ``resample_below`` K, they are resampled (systematically), and their weights set to the mean. A ``keeper`` writes
    the chains down now and then, and has those of an interrupted run continue.

    References: Neal, Annealed Importance Sampling, 2001; Del Moral, Doucet and Jasra, Sequential Monte Carlo Samplers, 2006.
    """
    log_weight = torch.zeros(u.shape[:2], dtype=torch.float64, device=u.device)
    ancestor = torch.arange(len(u), device=u.device).unsqueeze(1).repeat(1, u.shape[1])
    acceptances, first = torch.zeros_like(log_weight[0]), 0
    if keeper is not None and (kept := keeper.begin(u.device)) is not None:
        first, log_weight, ancestor, acceptances, *held = kept
        point = Point(*held)
    else:
        point = at(path, u)
    order = list(range(len(schedule.beta)))[:: -1 if reverse else 1]
    for i, (before, t) in enumerate(itertools.pairwise(order)):
        if i < first:
            continue
        if keeper is not None:
            keeper.keep(i, log_weight, ancestor, acceptances, *point)
        difference = schedule.beta[t] - schedule.beta[before]
        log_weight = log_weight + torch.where(difference == 0, 0.0, difference * point.ratio.double())
        tick()
        if t == order[-1]:
            break
        if resample_below > 0:
            log_weight, index = _resample(log_weight, resample_below)
            point = Point(*(_take(value, index) for value in point))
            ancestor = ancestor.gather(0, index)
        beta, step = schedule.beta[t].to(point.base.dtype), schedule.log_step[t].exp().to(u.dtype)
        point, acceptance = move(point, beta, step, schedule.scale(t))
        acceptances = acceptances + acceptance.mean(0)
    if keeper is not None:
        keeper.end(len(order), log_weight, ancestor, acceptances, *point)
    return Annealed(log_weight, ancestor, acceptances / max(len(order) - 2, 1))


def _take(value: Tensor, index: Tensor) -> Tensor:
    index = index if value.dim() == 2 else index.unsqueeze(-1).expand_as(value)
    return value.gather(0, index)


def _resample(log_weight: Tensor, below: float) -> tuple[Tensor, Tensor]:
    """New log weights and the chosen chains, (K, B), for the data whose effective sample size is under ``below`` K.

    References: Kitagawa, Monte Carlo Filter and Smoother, 1996 (systematic resampling).
    """
    k, size = log_weight.shape
    share = log_weight.softmax(0)
    poor = (1 / share.square().sum(0) < below * k).unsqueeze(0)  # false where no weight is finite
    places = (torch.arange(k, device=share.device).unsqueeze(1) + torch.rand(size, device=share.device)) / k
    drawn = torch.searchsorted(share.cumsum(0).T.contiguous(), places.T.contiguous().to(share.dtype)).T.clamp(max=k - 1)
    same = torch.arange(k, device=share.device).unsqueeze(1).expand(k, size)
    mean = log_weight.logsumexp(0, keepdim=True) - math.log(k)
    return torch.where(poor, mean, log_weight), torch.where(poor, drawn, same)
