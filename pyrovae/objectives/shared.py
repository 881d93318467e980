"""A bound with the prior of parameters that all data share: maximum a posteriori of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyrovae.core.program import describe, innermost
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives.objective import Given
from pyrovae.objectives.penalties import Penalized

__all__ = ["MAP"]


class MAP(Penalized):
    """The base, given parameters t that all data share, and the logarithm of their prior once for all N data.

        (1/B) sum_b base_b + weight log p(t) / N,   N times which, at weight 1, is at most log p(x_1, ..., x_N, t)

    so that each of a batch of B has its N/B. What is reported is the base's value alone, log p(x_b | t) from below in nats per
    datum, (B,). The model says log p(t) by a method ``log_prior()``, 0-d.

    Args:
        weight: of log p(t); at 0 the parameters are free, as under the base objective.
        base: the objective: "meanfield" or "elbo", with options as a mapping, as in {"name": "elbo", "num_particles": 5}.
        data_size: N, by default that of the data that ``fit`` trains on.

    References: Salakhutdinov and Mnih, Probabilistic Matrix Factorization, 2007, Eq. (4), whose squared norms these are.
    """

    def __init__(self, weight: float = 1.0, base: str | Mapping[str, Any] = "meanfield", data_size: int | None = None) -> None:
        super().__init__(weight, base)
        if data_size is not None:
            self.require("data_size", data_size, at_least=1)
        self.data_size = data_size

    def penalty(self, traced: PairTrace, given: Given) -> Tensor:
        """-log p(t) / N, the same for each of the batch, (B,)."""
        model = innermost(given.model)
        if not callable(log_prior := getattr(model, "log_prior", None)):
            raise ContractError(
                f"{describe(model)} has no log_prior() of parameters that all data share, which map adds; use its base "
                "objective alone, or pair fvae."
            )
        if not torch.is_grad_enabled():  # validation, which reports the base alone and knows no N
            return traced.total({}).mean(0)
        if (data_size := self.data_size or given.data_size) is None:
            raise OptionError(f"{self!r} needs N, the number of training data: train with fit, or give it data_size.")
        found: Tensor = -log_prior() / data_size
        return found.expand(traced.shape[1])
