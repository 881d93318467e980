"""Training the guide ahead of the model while the guide still learns: against posterior collapse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pyrovae.core.aggregate import aggregate_scores, refuse_dependent
from pyrovae.core.program import modules
from pyrovae.core.trace import PairTrace
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives.elbo import ELBO, MeanField
from pyrovae.objectives.objective import Given, Objective, Update, Updates
from pyrovae.objectives.wrapper import Wrapper, base_objective

__all__ = ["Aggressive"]

NOT_YET = -1e9  # the best I before the first look: checkpoints hold finite numbers
BASES: dict[str, type[Objective]] = {"elbo": ELBO, "meanfield": MeanField}


class Aggressive(Wrapper):
    """The base, in which the model stands still for ``encoder_steps`` steps of the guide before each step of its own.

    So it goes until the mutual information of x and z under the guide has stopped rising; from then on both move in each step.
    It is looked at every ``every`` steps, in the mean over these of the batch's own estimate, at most log B:

        I = (1/B) sum_b [log q(z_b | x_b) - log (1/B) sum_b' q(z_b | x_b')]

    The steps of the guide are on batches of their own, so that an epoch has the fewer steps of the model. (He et al. repeat
    steps of the guide until its bound no longer rises, and look at I of validation data after each epoch.) What is reported is
    the base's value, in nats per datum, (B,). Logged: ``mutual_information`` of the batch, and ``aggressive``, 1 or 0.

    Args:
        encoder_steps: of the guide before each of the model.
        every: steps between two looks at I; None for an epoch.
        base: the objective: "meanfield" or "elbo", with options as a mapping, as in {"name": "elbo", "beta": 2}.

    Raises:
        ContractError: guide and model share a parameter, or the guide's sites have no scores under other data.

    References: He, Spokoyny, Neubig and Berg-Kirkpatrick, Lagging Inference Networks and Posterior Collapse in Variational
    Autoencoders, 2019, Algorithm 1.
    """

    separable = False
    networks: nn.Module | None = None
    moves = {"model": ("model", "objective"), "guide": ("guide",)}

    def __init__(self, encoder_steps: int = 5, every: int | None = None, base: str | Mapping[str, Any] = "meanfield") -> None:
        self.require("encoder_steps", encoder_steps, at_least=1)
        if every is not None:
            self.require("every", every, at_least=1)
        self.inner = base_objective(base, BASES, "aggressive")
        super().__init__(self.inner.num_particles)
        self.encoder_steps, self.every, self.base = encoder_steps, every, base
        self.bound, self.weights_kl = self.inner.bound, self.inner.weights_kl

    @property
    def lacks_networks(self) -> bool:
        """Whether nothing is remembered yet."""
        return self.networks is None

    def build(self, traced: PairTrace) -> None:
        """Begin with the guide ahead, once."""
        if self.networks is None:
            self.networks = Progress().to(traced.data.device)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The base's trace; refuses a pair whose programs share parameters, or whose sites depend on each other."""
        traced = self.inner.trace(given, batch)
        if not torch.is_grad_enabled():  # before training and at validation; a compiled step must not look at values
            refuse_dependent(traced)
            models = {id(p) for module in modules(given.model) for p in module.parameters()}
            named = (each for module in modules(given.guide) for each in module.named_parameters())
            if shared := [name for name, p in named if id(p) in models]:
                raise ContractError(
                    f"guide and model share the parameter {shared[0]!r}, which cannot stand still in the one and move in the "
                    "other; give each its own, or use the base objective."
                )
        return traced

    def updates(self, given: Given) -> Updates:
        """Both updates, at the same parameters; the model's is skipped while the guide is ahead."""
        traced = self.trace(given)
        self.build(traced)
        assert isinstance(self.networks, Progress)
        bound, surrogate, state = self.inner.terms(traced, given.schedule)
        loss, found = -surrogate.mean(), mutual_information(traced)
        ahead = self.networks.ahead
        moves = torch.where(ahead > 0, (self.networks.step >= self.encoder_steps).to(ahead.dtype), torch.ones_like(ahead))
        yield (
            Update("model", loss, bound, moves, {"mutual_information": found, "aggressive": ahead.clone()}),
            Update("guide", loss),
        )
        return {**state, **self.networks.after(found, self.encoder_steps, self._every(given, traced)), **traced.next_state()}

    def _every(self, given: Given, traced: PairTrace) -> int:
        """Steps between two looks at I."""
        if self.every is not None:
            return self.every
        if given.data_size is None:
            if torch.is_grad_enabled():
                raise OptionError(f"{self!r} needs N, the number of training data: train with fit, or give it every=.")
            return 1
        return max(1, math.ceil(given.data_size / traced.shape[-1]))


class Progress(nn.Module):
    """How far the guide is: whether it is ahead, its steps since the model's last, and I so far.

    Attributes:
        ahead: 1 while the guide is trained ahead.
        step: of the guide since the model's.
        total, count: sum of I and its number of steps since the last look.
        best: the largest mean of I at a look.
    """

    ahead: Tensor
    step: Tensor
    total: Tensor
    count: Tensor
    best: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, value in (("ahead", 1.0), ("step", 0.0), ("total", 0.0), ("count", 0.0), ("best", NOT_YET)):
            self.register_buffer(name, torch.tensor(value))

    def after(self, found: Tensor, encoder_steps: int, every: int) -> dict[Tensor, Tensor]:
        """The values after a step of this I."""
        total, count = self.total + found, self.count + 1
        look, mean = count >= every, total / count
        ahead = torch.where(look & (mean <= self.best), torch.zeros_like(self.ahead), self.ahead)
        return {
            self.ahead: ahead,
            self.step: torch.where(self.step >= encoder_steps, torch.zeros_like(self.step), self.step + 1),
            self.total: torch.where(look, torch.zeros_like(total), total),
            self.count: torch.where(look, torch.zeros_like(count), count),
            self.best: torch.where(look, torch.maximum(self.best, mean), self.best),
        }


@torch.no_grad()
def mutual_information(traced: PairTrace) -> Tensor:
    """I of the batch, 0-d, in nats: of its own rows as all data, at most log B."""
    rows = traced.shape[-1]
    weights = traced.total(traced.log_q).new_full((rows, rows), -math.log(rows))
    return (traced.total(traced.log_q) - aggregate_scores(traced, weights).joint).mean()
