"""log p(x) without error, where a pair has it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pyrovae.core.program import describe, inputs
from pyrovae.errors import ContractError
from pyrovae.evidence.method import Job, Method
from pyrovae.evidence.target import Target

__all__ = ["Exact"]


@dataclass(frozen=True)
class Exact(Method):
    """log p(x_b), (B,), in nats, from the model's own method ``log_evidence(x)``, else by the sum over its discrete sites.

        log p(x_b) = log sum_z p(x_b, z)

    >>> import pyrovae as pv
    >>> digits = pv.data.load("digits")
    >>> pair = pv.pairs.linear_gaussian(digits.spec, latent_dim=2)
    >>> pv.log_evidence(pair, digits, method="exact").bound
    'exact'
    """

    name: ClassVar[str] = "exact"

    @property
    def bound(self) -> str:
        """On which side of log p(x) the value lies in expectation."""
        return "exact"

    def estimate(self, job: Job) -> dict[str, Tensor]:
        """The columns of a batch, (B,) each, values in nats."""
        own = getattr(job.model, "log_evidence", None)
        if callable(own):
            value = own(**inputs(own, job.batch))
        else:
            target = Target(job.model, job.guide, job.batch)
            u = target.draw(1)
            if u.shape[-1]:
                raise ContractError(
                    f"{describe(job.model)} has no method log_evidence and a continuous latent site, so no exact log p(x); "
                    "use method 'ais' or 'importance'."
                )
            density = target.densities(u)
            value = (density.prior + density.likelihood)[0]
        value = value.double()
        job.tick(job.size)
        return {
            "value": value,
            "stderr": torch.zeros_like(value),
            "ess": torch.full_like(value, math.nan),
            "num_weights": torch.ones_like(value),
        }
