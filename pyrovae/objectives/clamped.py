"""DC-IGN's rule of gradients: codes that a group does not vary in learn nothing of the reconstruction but to be equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyrovae.core.program import describe, inputs
from pyrovae.core.sites import Site
from pyrovae.core.trace import PairTrace, trace_pair
from pyrovae.errors import ContractError
from pyrovae.objectives.elbo import MeanField
from pyrovae.objectives.objective import Given, Objective, Update, Updates

__all__ = ["Clamped"]


class Clamped(Objective):
    """The ELBO of a pair of clamped codes, whose slope at a clamped code is strength (z_ij - mean_i z_ij) instead.

        d loss / d z_ij = d(-log p(x | clamped z)) / d z_ij    where the group varies in code j
                        = strength (z_ij - (1/n) sum_i z_ij)   elsewhere

    z_ij is the guide's draw; the KL, in closed form, moves its means and scales as ever. What is reported is the ELBO of the
    clamped model, (B,), in nats per group: a lower bound on its log p(x | varied), whichever way it is trained. The published
    code clamps to the first datum and has strength 0 by default, where the paper has the mean and 1/100.

    Args:
        strength: of the pull of clamped codes to the mean of the group.
        num_particles: K.

    References: Kulkarni, Whitney, Kohli and Tenenbaum, Deep Convolutional Inverse Graphics Network, 2015, Section 3.2.
    """

    def __init__(self, strength: float = 0.01, num_particles: int = 1) -> None:
        super().__init__(num_particles)
        self.require_weight("strength", strength)
        self.strength = strength
        self.elbo = MeanField(num_particles)

    @property
    def weights(self) -> dict[str, float]:
        """The strength."""
        return {"strength": self.strength}

    def varies(self, given: Given, batch: Mapping[str, Tensor]) -> Tensor:
        """Which codes the groups vary in, (B, 1, d)."""
        rule: Callable[[Tensor], Tensor] | Any = getattr(given.model, "varies", None)
        if not callable(rule) or "varied" not in inputs(given.model, batch):
            raise ContractError(
                f"{describe(given.model)} has no varies(varied), the codes that a group varies in; train it with 'elbo', or "
                "take pair clamped-dc-ign."
            )
        found: Tensor = rule(batch["varied"])
        return found

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace, in which the model sees clamped codes without their slope."""
        varies = self.varies(given, given.batches[batch])

        def through(site: Site) -> Tensor:
            return torch.where(varies, site["value"], site["value"].detach())

        return self.admit(
            given, trace_pair(given.model, given.guide, given.batches[batch], self.num_particles, through=through)
        )

    def pull(self, traced: PairTrace, varies: Tensor) -> Tensor:
        """1/2 sum (z_ij - mean_i z_ij)^2 over clamped codes, the mean held, (B,)."""
        z = traced.latents["z"]
        apart = torch.where(varies, 0.0, z - z.mean(-2, keepdim=True).detach())
        return apart.square().sum((-2, -1)).mean(0) / 2

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced, varies = self.trace(given), self.varies(given, given.batch)
        bound = self.elbo.terms(traced).bound
        pull = self.pull(traced, varies)
        loss = (given.schedule.get("strength", self.strength) * pull - bound).mean()
        yield Update("pair", loss, bound, figures={"apart": pull.detach().mean()})
        return traced.next_state()
