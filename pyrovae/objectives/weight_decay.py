"""A base less the squared norm of the decoder's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pyrovae.core.program import describe
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError
from pyrovae.objectives.objective import Given
from pyrovae.objectives.penalties import Penalized

__all__ = ["WeightDecay"]


class WeightDecay(Penalized):
    """The base minus a weight on the squared norm of all parameters theta of the model's decoder, biases too.

        maximized = base - weight ||theta||^2,   theta those of ``model.decoder``

    What is reported is the base's value alone, in nats per datum, (B,). It is a loss, and so part of the gradient that Adam
    divides by its size; decay that is no part of it is ``fit(optimizer="AdamW")``, of all parameters alike.

    Args:
        weight: of the squared norm.
        base: the objective: "energy", "elbo" or "meanfield", with options as a mapping, as in {"name": "energy", "beta": 2}.

    References: Ghosh, Sajjadi, Vergari, Black and Schoelkopf, From Variational to Deterministic Autoencoders, 2020, Section 3
    (RAE-L2).
    """

    def __init__(self, weight: float = 0.01, base: str | Mapping[str, Any] = "energy") -> None:
        super().__init__(weight, base)

    def penalty(self, traced: PairTrace, given: Given) -> Tensor:
        """||theta||^2, (B,), of each datum alike."""
        decoder = getattr(given.model, "decoder", None)
        if not isinstance(decoder, nn.Module):
            raise ContractError(
                f"{describe(given.model)} has no decoder (model.decoder), whose weights weight-decay takes; use its base "
                "objective, and the optimizer's weight_decay."
            )
        squares = torch.stack([parameter.square().sum() for parameter in decoder.parameters()])
        return squares.sum().expand(traced.shape[1])
