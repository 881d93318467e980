"""log p(x) by importance sampling from the guide, streamed over samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pyrovae.core.contract import find_non_finite
from pyrovae.core.program import Program
from pyrovae.core.step_run import compiled_steps, in_steps, trace_steps
from pyrovae.core.trace import trace_pair
from pyrovae.errors import NonFiniteError, OptionError
from pyrovae.evidence.method import Job, Method, refuse_worthless, require
from pyrovae.evidence.target import Target
from pyrovae.evidence.weights import Weights

__all__ = ["Importance", "log_weights"]


def log_weights(model: Program, guide: Program, batch: Mapping[str, Tensor], num_samples: int) -> Tensor:
    """log w_kb = log p(x_b, z_kb) - log q(z_kb | x_b), z_kb ~ q, (K, B); NonFiniteError names the site of a NaN."""
    traced = (trace_steps if in_steps(model, guide, batch) else trace_pair)(model, guide, batch, num_samples)
    if is_broken(traced.log_weight):
        raise NonFiniteError(str(find_non_finite(traced)))
    return traced.log_weight


def is_broken(log_weight: Tensor) -> bool:
    """Whether a weight is no number, or infinite."""
    return bool((log_weight.isnan() | (log_weight == math.inf)).any())


def job_weights(job: Job, batch: Mapping[str, Tensor], num_samples: int) -> Tensor:
    """:func:`log_weights` for a job, by compiled code for draws and data of the first pass's numbers."""
    if job.code is None or in_steps(job.model, job.guide, batch):
        with nullcontext() if job.code is None else compiled_steps(job.code.steps):
            return log_weights(job.model, job.guide, batch, num_samples)

    def weigh(batch: Mapping[str, Tensor]) -> Tensor:
        return trace_pair(job.model, job.guide, batch, num_samples).log_weight

    log_weight: Tensor = job.code.get(weigh, batch, draws=num_samples)(batch)
    if is_broken(log_weight):  # which the eager pass explains
        log_weight = log_weights(job.model, job.guide, batch, num_samples)
    return log_weight


@dataclass(frozen=True)
class Importance(Method):
    """Importance sampling: a lower bound on log p(x_b) in expectation, that rises to it with K, in nats, (B,).

        L_K = log (1/K) sum_k p(x_b, z_kb) / r(z_kb),   z_kb ~ r

    r is the guide q(z | x), or with ``defensive=a`` the mixture (1 - a) q(z | x) + a p(z), from which exactly round(a K) draws
    are the prior's: its weights never exceed p(x | z) / a, so that their variance is finite.

    Args:
        num_samples: K.
        psis: smooth the largest weights by a generalized Pareto distribution: less variance, no bound.
        defensive: a, the prior's share, in [0, 1).
        target_error: draw K more, again and again, for the data whose standard error is above it. Stopping at a small
            estimated error favours runs that have missed a large weight: believe k-hat, not this, where it is above 0.7.
        max_samples: the most a datum gets with ``target_error``; by default 100 K.

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016, Eq. (8); Vehtari et al., Pareto
    Smoothed Importance Sampling, 2024; Hesterberg, Weighted Average Importance Sampling and Defensive Mixture
    Distributions, 1995.
    """

    name: ClassVar[str] = "importance"
    num_samples: int = 1000
    psis: bool = False
    defensive: float = 0.0
    target_error: float | None = None
    max_samples: int | None = None

    def __post_init__(self) -> None:
        require("num_samples", self.num_samples, 1)
        if not 0 <= self.defensive < 1:
            raise OptionError(f"defensive is {self.defensive!r}; expected the prior's share of the draws, in [0, 1).")
        if self.target_error is not None and not 0 < self.target_error < math.inf:
            raise OptionError(f"target_error is {self.target_error!r}; expected a number of nats above 0.")
        if self.max_samples is not None:
            require("max_samples", self.max_samples, self.num_samples)
            if self.target_error is None:
                raise OptionError("max_samples is given without target_error; num_samples alone says how many to draw.")

    @property
    def bound(self) -> str:
        """On which side of log p(x) the value lies in expectation."""
        return "estimate" if self.psis else "lower"

    @property
    def covers(self) -> str | None:
        """What to use in place of it where the guide is zero at draws of the prior."""
        return None if self.defensive else "defensive=0.1, or method='ais' with start='prior'"

    @property
    def work(self) -> int:
        """Units of progress for each datum."""
        return self.num_samples

    @property
    def most(self) -> int:
        """The most weights a datum gets."""
        if self.target_error is None:
            return self.num_samples
        return self.max_samples or 100 * self.num_samples

    def estimate(self, job: Job) -> dict[str, Tensor]:
        """The columns of a batch, (B,) each, values in nats."""
        weights = Weights(job.size, job.device, self.most)
        rows = torch.arange(job.size, device=job.device)
        while len(rows):
            batch = job.batch if len(rows) == job.size else {key: value[rows] for key, value in job.batch.items()}
            more = min(self.num_samples, self.most - int(weights.count[rows[0]]))
            self._add(job, batch, weights, rows, more)
            if self.target_error is None:
                break
            wanting = ~(weights.stderr <= self.target_error) & (weights.count < self.most) & weights.top.isfinite()
            rows = wanting.nonzero()[:, 0]
        columns = weights.columns(self.psis)
        refuse_worthless(columns["value"], job, f"{self.num_samples} weights")
        if self.defensive:  # the mean log weight is the mixture's bound, not the guide's
            del columns["elbo"], columns["elbo_stderr"]
        return {**columns, "passes": weights.count}

    def _add(self, job: Job, batch: Mapping[str, Tensor], weights: Weights, rows: Tensor, num: int) -> None:
        """Exactly ``num`` weights for each of the rows."""
        chunk = max(1, job.max_rows // len(rows))
        target = Target(job.model, job.guide, batch, job.max_rows) if self.defensive else None
        for done in range(0, num, chunk):
            k = min(chunk, num - done)
            if target is None:
                log_weight = job_weights(job, batch, k)
            else:  # the prior's share of the first done + k draws, less that of the first done
                from_prior = round(self.defensive * (done + k)) - round(self.defensive * done)
                log_weight = self._defensive(target, k - from_prior, from_prior, round(self.defensive * num) / num)
            weights.add(log_weight, rows)
            job.tick(k * len(rows))

    def _defensive(self, target: Target, from_guide: int, from_prior: int, share: float) -> Tensor:
        draws = [target.draw(k, start) for k, start in ((from_guide, "guide"), (from_prior, "prior")) if k]
        u = torch.cat(draws)
        density = target.densities(u, guide=True)
        assert density.guide is not None
        from_q = density.guide + math.log1p(-share)
        proposal = torch.logaddexp(from_q, density.prior + math.log(share)) if share else from_q
        log_weight = density.prior + density.likelihood - proposal
        if bool(log_weight.isnan().any()):
            target.refuse_non_finite(u)
        return log_weight
