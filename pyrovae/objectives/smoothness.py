"""A bound less the total variation of the flow that moves an image: smoothness that is no part of a density."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pyrovae.core.program import describe, inputs
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError
from pyrovae.nets import folds, total_variation
from pyrovae.objectives.objective import Given, Update, Updates
from pyrovae.objectives.penalties import Penalized

__all__ = ["Smoothness"]


class Smoothness(Penalized):
    """The base minus weight TV(f) of each datum, f the flow of the model at the guide's draw, in pixels.

        TV(f) = sum |f[i + 1, j] - f[i, j]| + |f[i, j + 1] - f[i, j]|, over rows, columns and both displacements

    What is reported is the base's value alone, in nats per datum, (B,). Logged: ``variation``, the mean of TV, and ``folds``,
    the share of places at which the flow folds the image (a negative determinant of its Jacobian).

    Args:
        weight: of TV, nats per pixel of variation.
        base: the objective: "meanfield", "elbo" or "energy", with options as a mapping, as in {"name": "elbo", "beta": 2}.

    References: Yeh, Liu, Goldman and Agarwala, Semantic Facial Expression Editing using Autoencoded Flow, 2016;
    Rudin, Osher and Fatemi, Nonlinear Total Variation Based Noise Removal Algorithms, 1992.
    """

    def __init__(self, weight: float = 0.1, base: str | Mapping[str, Any] = "meanfield") -> None:
        super().__init__(weight, base)

    def flow(self, traced: PairTrace, given: Given) -> Tensor:
        """f at the guide's draws, (K, B, 2, H, W)."""
        field = getattr(given.model, "flow", None)
        if not callable(field) or "z" not in traced.latents or "source" not in inputs(given.model, given.batch):
            raise ContractError(
                f"{describe(given.model)} has no flow(z, source), which smoothness weighs; use its base objective alone, or "
                "pair flow-field-vae."
            )
        found: Tensor = field(traced.latents["z"], given.batch["source"])
        return found

    def penalty(self, traced: PairTrace, given: Given) -> Tensor:
        """What is subtracted, (B,)."""
        return total_variation(self.flow(traced, given)).mean(0)

    def updates(self, given: Given) -> Updates:
        """The one update."""
        traced = self.trace(given)
        bound, surrogate, state = self.inner.terms(traced, given.schedule)
        flow = self.flow(traced, given)
        variation = total_variation(flow).mean(0)
        figures = {"variation": variation.detach().mean(), "folds": folds(flow.detach()).mean()}
        loss = -(surrogate - given.schedule.get("weight", self.weight) * variation).mean()
        yield Update("pair", loss, bound, figures=figures)
        return {**state, **traced.next_state()}
