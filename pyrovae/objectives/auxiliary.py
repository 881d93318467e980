"""A bound, and a weighted likelihood of auxiliary sites that is no part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError
from pyrovae.objectives.objective import Given, Update, Updates
from pyrovae.objectives.penalties import Penalized

__all__ = ["Auxiliary"]


class Auxiliary(Penalized):
    """The base plus the weighted log likelihood of each datum at the model's auxiliary sites.

        maximized = base + weight sum_sites E_q[log p_aux(x | z)]

    An auxiliary site is observed and marked ``infer={"auxiliary": True}``: it enters no density, no draw and no evidence, and
    other objectives leave it alone. What is reported is the base's value alone, in nats per datum, (B,). Logged:
    ``auxiliary``, the mean of E_q[log p_aux(x | z)], in nats per datum, before it is weighed.

    Args:
        weight: of the auxiliary likelihood; may be scheduled.
        base: the objective: "meanfield", "elbo" or "energy", with options as a mapping, as in {"name": "elbo", "beta": 2}.

    Raises:
        ContractError: the model has no auxiliary site.

    References: Semeniuta, Severyn and Barth, A Hybrid Convolutional Variational Autoencoder for Text Generation, 2017.
    """

    def __init__(self, weight: float = 0.2, base: str | Mapping[str, Any] = "meanfield") -> None:
        super().__init__(weight, base)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one without an auxiliary site."""
        traced = super().trace(given, batch)
        if not traced.auxiliary:
            raise ContractError(
                'the model has no auxiliary site, an observed one with infer={"auxiliary": True}; use its base alone.'
            )
        return traced

    def penalty(self, traced: PairTrace, given: Given) -> Tensor:
        """Minus E_q[log p_aux(x | z)], (B,)."""
        return -traced.total(traced.auxiliary).mean(0)

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        bound, surrogate, state = self.inner.terms(traced, given.schedule)
        beside = -self.penalty(traced, given)
        loss = -(surrogate + given.schedule.get("weight", self.weight) * beside).mean()
        yield Update("pair", loss, bound, figures={"auxiliary": beside.detach().mean()})
        return {**state, **traced.next_state()}
