"""log p(x) of sequences by particle filters over the steps of a pair."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pyrovae.core.particles import ParticleFilter, check_threshold
from pyrovae.core.step_run import compiled_steps, trace_steps
from pyrovae.errors import NonFiniteError
from pyrovae.evidence.importance import is_broken
from pyrovae.evidence.method import Job, Method, refuse_worthless, require
from pyrovae.evidence.weights import Weights

__all__ = ["FIVO"]


@dataclass(frozen=True)
class FIVO(Method):
    """Particle filters over the steps of a pair: a lower bound on log p(x_b) in expectation, in nats, (B,).

        log (1/R) sum_r p-hat_r(x_b),   p-hat_r of a filter of K particles, unbiased for p(x_b)

    With R = 1 the value is that of the objective ``fivo`` with K particles, and has no standard error.

    Args:
        num_samples: K, the particles of a filter.
        num_filters: R, independent filters, of whose spread the standard error is made.
        threshold: share of effective particles under which a datum's particles are resampled.

    References: Maddison et al., Filtering Variational Objectives, 2017, Algorithm 1.
    """

    name: ClassVar[str] = "fivo"
    num_samples: int = 128
    num_filters: int = 8
    threshold: float = 0.5

    def __post_init__(self) -> None:
        require("num_samples", self.num_samples, 1)
        require("num_filters", self.num_filters, 1)
        check_threshold(self.threshold)

    @property
    def covers(self) -> str | None:
        """What to use in place of it where the guide is zero at draws of the prior."""
        return "method='ais' with start='prior'"

    @property
    def work(self) -> int:
        """Units of progress for each datum."""
        return self.num_samples * self.num_filters

    def batch_size(self, asked: int, max_rows: int) -> int:
        """Data in one batch: fewer than asked where one filter of so many does not fit into one pass."""
        return max(1, min(asked, max_rows // self.num_samples))

    def estimate(self, job: Job) -> dict[str, Tensor]:
        """The columns of a batch, (B,) each, values in nats."""
        weights = Weights(job.size, job.device, self.num_filters)
        code = None if job.code is None else job.code.steps
        with nullcontext() if code is None else compiled_steps(code):
            for _ in range(self.num_filters):
                between = ParticleFilter(self.threshold)
                trace_steps(job.model, job.guide, job.batch, self.num_samples, between)
                value = between.log_evidence
                if is_broken(value):
                    raise NonFiniteError(f"a weight of the particles is no number, in the data from {job.first} on.")
                weights.add(value.unsqueeze(0))
                job.tick(self.num_samples * job.size)
        columns = weights.columns()
        refuse_worthless(columns["value"], job, f"{self.num_samples} weights")
        del columns["elbo"], columns["elbo_stderr"]  # the mean is a filter's bound, not the guide's
        if self.num_filters == 1:
            columns["stderr"] = torch.full_like(columns["stderr"], torch.nan)
        return {**columns, "passes": weights.count * self.num_samples}
