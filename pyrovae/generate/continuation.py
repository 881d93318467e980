"""What comes next: sequences of a pair in steps from nothing, or from a beginning, one step after another, without end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.keys import drawn_keys
from pyrovae.core.pair import Pair, PairLike, as_pair
from pyrovae.core.program import Batch, known_shapes, template
from pyrovae.core.step_plan import LENGTHS, Plan, State
from pyrovae.errors import ContractError
from pyrovae.generate.filtering import draw_step, filter_steps, parts, require_steps, steps_of, take

__all__ = ["continuations", "stream"]


@public()
def stream(
    pair: PairLike, data: Any = None, num_samples: int = 1, num_steps: int | None = None, num_particles: int = 200
) -> Iterator[dict[str, Tensor]]:
    """x_t, z_t ~ p(the next step | all before): what follows sequences of a pair in steps, a step at a time, (S, B, *event).

    The states after a beginning x_1:s are those of a particle filter of K particles, of which S are drawn for each datum;
    exact as K grows, whatever the guide. Without a beginning the steps are draws of the model from its first one on. No step
    waits for later ones, and there may be more of them than the pair has seen.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), in steps, that draws all that its steps take.
        data: B beginnings, in any form that :func:`pyrovae.data.load` takes, each up to its own ``lengths`` where there
            are any; tensors of fewer steps than the pair was made for are beginnings of that length. None for none, B = 1.
        num_samples: S continuations of each.
        num_steps: how many steps; None for no end.
        num_particles: K.

    Raises:
        ContractError: the pair is not in steps, or its steps take what nobody draws.

    >>> from itertools import islice
    >>> from pyrovae import data, pairs
    >>> pair = pairs.vrnn(data.DataSpec("toy", (5, 3), "binary"), latent_dim=2)
    >>> [step["x"].shape for step in islice(stream(pair, torch.zeros(4, 2, 3), num_samples=2), 2)]
    [torch.Size([2, 4, 3]), torch.Size([2, 4, 3])]
    """
    pair = as_pair(pair)
    batch = template(pair.model, 1) if data is None else as_batch(pair, _whole(pair, data))
    with inference(pair):
        require_steps(pair, batch, "stream")
        plan = Plan(steps_of(pair.model), None, batch)
        first, _ = plan.start()
        _refuse_inputs(pair, plan, batch)
        inputs = {name: torch.zeros_like(value) for name, value in plan.inputs(plan.model, 0).items()}
        if data is None:
            states = {name: value.expand(num_samples, *value.shape) for name, value in first.items()}
        else:
            found = [_states(pair, some, num_samples, num_particles) for some in parts(batch, num_particles)]
            states = {name: torch.cat([each[name] for each in found], 1) for name in first}
        shape = (num_samples, plan.size)
        _refuse_argument(plan, states, inputs, shape)
    return _steps(pair, plan, states, inputs, shape, num_steps)


@public()
def continuations(
    pair: PairLike, data: Any = None, num_samples: int = 1, num_steps: int = 100, num_particles: int = 200
) -> dict[str, Tensor]:
    """The next steps of sequences, as :func:`stream` gives them, all together: of each site (S, B, steps, *event).

    >>> from pyrovae import data, pairs
    >>> pair = pairs.vrnn(data.DataSpec("toy", (5, 3), "binary"), latent_dim=2)
    >>> continuations(pair, torch.zeros(4, 2, 3), num_samples=2, num_steps=7)["x"].shape
    torch.Size([2, 4, 7, 3])
    """
    steps = list(stream(pair, data, num_samples, num_steps, num_particles))
    return {name: torch.stack([step[name] for step in steps], 2) for name in steps[0]}


def _steps(
    pair: Pair, plan: Plan, states: State, inputs: Batch, shape: tuple[int, int], num_steps: int | None
) -> Iterator[dict[str, Tensor]]:
    done = 0
    while num_steps is None or done < num_steps:
        with inference(pair):  # between steps the caller's modes are its own
            sites, states = draw_step(plan, states, inputs, shape)
            drawn = {}
            for name, site in sites.items():
                value = site["value"]
                drawn[name] = value.expand(*shape, *value.shape[value.dim() - site["fn"].event_dim :])
        done += 1
        yield drawn


def _whole(pair: Pair, data: Any) -> Any:
    """Tensors of fewer steps than the pair was made for, padded, with their lengths."""
    given = {"x": data} if isinstance(data, Tensor) else data
    if not isinstance(given, Mapping) or LENGTHS in given or not isinstance(given.get("x"), Tensor):
        return data
    x, (known, _) = given["x"], known_shapes(pair.model).get("x", ((), None))
    if not known or x.dim() != len(known) + 1 or not 0 < x.shape[1] < known[0]:
        return data
    size, steps = x.shape[:2]
    padded = torch.cat([x, x.new_zeros(size, known[0] - steps, *x.shape[2:])], 1)
    return {**given, "x": padded, LENGTHS: torch.full((size,), steps)}


def _states(pair: Pair, batch: Batch, num_samples: int, num_particles: int) -> State:
    filtered = filter_steps(pair, batch, num_particles)
    slots = filtered.choose(num_samples)
    return {name: take(value, slots) for name, value in filtered.states.items()}


def _refuse_inputs(pair: Pair, plan: Plan, batch: Batch) -> None:
    """Refuse steps that take what the model does not draw."""
    who = type(plan.model).__name__
    if plan.each[plan.model]:
        raise ContractError(f"{who}.init gives the model's steps parts of whole sequences, which have no next one.")
    drawn = {source.key for source in drawn_keys(pair.model, batch, given=batch).values()}
    if unknown := sorted(set(plan.keys[plan.model]) - drawn):
        raise ContractError(
            f"{who}.step takes {unknown[0]!r}, which the model does not draw, so that nobody knows the next one."
        )


def _refuse_argument(plan: Plan, states: State, inputs: Batch, shape: tuple[int, int]) -> None:
    """Refuse a step that reads its argument in place of what was drawn."""
    devices = [value.device.index or 0 for value in inputs.values() if value.is_cuda][:1]
    made = []
    for fill in (torch.zeros_like, torch.ones_like):
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            sites, new = draw_step(plan, states, {name: fill(value) for name, value in inputs.items()}, shape)
        made.append([*(site["value"] for site in sites.values()), *new.values()])
    if not all(torch.equal(*both) for both in zip(*made, strict=True)):
        raise ContractError(
            f"{type(plan.model).__name__}.step reads its argument beside what pyro.sample returns, so that it cannot go on "
            "from what it draws; let it read the returned value."
        )
