"""Which parameters an objective's updates move, and what its updates are, found out before training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyro
import torch
from torch import Tensor

from pyrovae.core.parameters import note_askers, owned_parameters, parameter_scope, parameters
from pyrovae.core.program import Program
from pyrovae.errors import ContractError, nearest
from pyrovae.objectives.objective import Given, Objective, as_updates

__all__ = ["Survey", "moved_parameters", "prepare_objective", "survey"]


def moved_parameters(objective: Objective, model: Program, guide: Program) -> dict[str, list[Tensor]]:
    """Update -> the parameters whose names begin with one of its prefixes, each once; a parameter may be in several.

    Raises:
        ContractError: an update moves nothing.
    """
    networks = objective.networks
    own = [] if networks is None else [(f"objective.{n}", p) for n, p in networks.named_parameters(remove_duplicate=False)]
    held_by_objective = {id(p) for _, p in own}  # a discriminator that the model brings is the objective's
    names = [*((n, p) for n, p in owned_parameters(model, guide) if id(p) not in held_by_objective), *own]
    ordered = {id(p): p for p in [*parameters(model, guide).values(), *(p for _, p in own)] if p.requires_grad}
    moved = {}
    for update, prefixes in objective.moves.items():
        held = {id(p) for name, p in names if any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)}
        moved[update] = [p for key, p in ordered.items() if key in held]
        if not moved[update]:
            raise ContractError(
                f"update {update!r} of {objective!r} moves the parameters of {', '.join(prefixes)}, and none of them can be "
                "trained; give them some, or let those that stand still be trained (requires_grad)."
            )
    return moved


@dataclass(frozen=True)
class Survey:
    """What the updates of an objective are, as one step on a few rows told.

    Attributes:
        groups: names of the updates, yielded together or one after another.
        figures: names of what they log, in order; the losses of several updates are among them.
        has_state: whether they return new values of buffers.
        skips: the update that may be skipped (``when``), if any.
    """

    groups: tuple[tuple[str, ...], ...]
    figures: tuple[str, ...]
    has_state: bool
    skips: str | None


def survey(objective: Objective, given: Given) -> Survey:
    """Run the updates once, moving nothing, and look at what they yield.

    Raises:
        ContractError: an update has a name that ``moves`` lacks, a loss or figure is no number, not exactly one update bears
            the bound, or two figures share a name.
    """
    groups: list[tuple[str, ...]] = []
    figures: dict[str, str] = {}
    bearers, skips, updates = 0, None, objective.updates(given)
    try:
        while True:
            together = as_updates(next(updates))
            groups.append(tuple(update.name for update in together))
            for update in together:
                if update.name not in objective.moves:
                    raise ContractError(str(nearest(f"update of {objective!r}", update.name, objective.moves)))
                several = {update.name: update.loss} if len(objective.moves) > 1 else {}
                for name, value in {**several, **update.figures}.items():
                    if not isinstance(value, Tensor) or value.dim():
                        raise ContractError(f"{name!r} of update {update.name!r} is {value!r}; expected a 0-d tensor.")
                    if figures.setdefault(name, update.name) != update.name:
                        raise ContractError(f"updates {figures[name]!r} and {update.name!r} both log {name!r}; rename one.")
                bearers += update.bound is not None
                skips = update.name if update.when is not None else skips
    except StopIteration as end:
        state = end.value or {}
    if bearers != 1:
        raise ContractError(f"{bearers} updates of {objective!r} bear a bound; expected one, whose value is reported.")
    return Survey(tuple(groups), tuple(figures), bool(state), skips)


def prepare_objective(objective: Objective, model: Program, guide: Program, batch: Mapping[str, Tensor]) -> None:
    """Make the objective's networks and ask whether it can serve the pair; random states are left as they were."""
    devices = sorted({value.device.index or 0 for value in batch.values() if value.device.type == "cuda"})
    given = Given(model, guide, [batch] * objective.num_batches)
    with parameter_scope(model, guide), torch.no_grad():
        if objective.lacks_networks:
            with torch.random.fork_rng(devices=devices):
                traced = objective.trace(given)
            with torch.random.fork_rng(devices=devices):  # networks begin at the caller's random state
                objective.build(traced)
        with torch.random.fork_rng(devices=devices):
            objective.value(given)
        if objective.relaxes:
            with torch.random.fork_rng(devices=devices):
                try_soft_values(objective, given)
        if pyro.get_param_store().keys() and len(objective.moves) > 1:
            with torch.random.fork_rng(devices=devices):
                note_askers(guide, batch)
                note_askers(model, batch)


def try_soft_values(objective: Objective, given: Given) -> None:
    """Run the pair once on soft values of its discrete sites; ContractError where a program does not take them."""
    try:
        with torch.enable_grad():
            objective.trace(given)
    except Exception as error:
        if "knows no soft value" in str(error):
            raise
        raise ContractError(
            f"{objective!r} gives the programs soft values of their discrete sites, which they do not take "
            f"({type(error).__name__}: {str(error).splitlines()[0][:100]}); let the networks take any real vector there, or "
            "use estimator 'score' or 'vimco'."
        ) from error
