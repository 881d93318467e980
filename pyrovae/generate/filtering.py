"""Posteriors of the steps of a sequence by particle filters: smoothing draws, one-step-ahead means, states to go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.doors import as_batch
from pyrovae.core.inference import inference
from pyrovae.core.pair import Pair, PairLike, as_pair
from pyrovae.core.particles import ParticleFilter
from pyrovae.core.program import Batch, Program, batch_size, describe
from pyrovae.core.sites import PARTICLES, sample_sites
from pyrovae.core.step_plan import Plan, State, StepModule
from pyrovae.core.step_run import in_steps, trace_steps
from pyrovae.core.step_trace import StepTrace
from pyrovae.core.steps import StepGuide, StepModel
from pyrovae.errors import ContractError
from pyrovae.generate import chunks
from pyrovae.generate.expectation import linear_means, values_of

__all__ = ["Filtered", "draw_step", "filter_steps", "one_step_ahead", "parts", "require_steps", "smooth", "steps_of"]

THRESHOLD = 0.5
SLOT = "slot of a particle"  # among the states that the filter re-indexes


@dataclass
class Filtered:
    """What a particle filter of K particles leaves of a batch of B data.

    Attributes:
        traced: the steps.
        ancestors: of each step, whose particle every slot goes on with after it, (K, B).
        states: the model's, after each datum's own last step, (K, B, *event).
        log_weight: of the slots at the end, (K, B).
    """

    traced: StepTrace
    ancestors: list[Tensor]
    states: State
    log_weight: Tensor

    def choose(self, num_samples: int) -> Tensor:
        """Slots drawn by their weights, (S, B)."""
        return torch.multinomial(self.log_weight.softmax(0).T, num_samples, replacement=True).T

    def paths(self, values: Tensor, slots: Tensor) -> Tensor:
        """A site's values on the way to slots (S, B) at the end, (S, B, T, *event), of all particles', (K, B, T, ...)."""
        found: list[Tensor] = []
        for t in reversed(range(values.shape[2])):
            slots = self.ancestors[t].gather(0, slots)
            found.append(take(values[:, :, t], slots))
        return torch.stack(found[::-1], 2)


class _Remembering:
    """A particle filter between the steps that remembers ancestors, and the states at each datum's own last step."""

    def __init__(self, names: Mapping[str, Tensor], ends: Tensor, after: Callable[[int, Tensor, State], None] | None) -> None:
        self.filter, self.names, self.ends, self.after = ParticleFilter(THRESHOLD), tuple(names), ends, after
        self.ancestors: list[Tensor] = []
        self.states: State = {}

    def __call__(self, t: int, scores: Tensor, state: State) -> State:
        """The states of the particles that go on after step t, from 0."""
        slots = torch.arange(len(scores), device=scores.device).unsqueeze(1).expand(scores.shape)
        moved = self.filter(t, scores, {**state, SLOT: slots.contiguous()})
        self.ancestors.append(moved.pop(SLOT))
        for name in self.names:
            value = moved[name]
            here = torch.eq(self.ends, t).reshape(-1, *[1] * (value.dim() - 2))
            self.states[name] = torch.where(here, value, self.states.get(name, value))
        if self.after is not None:
            assert self.filter.log_weight is not None
            self.after(t, self.filter.log_weight, {name: moved[name] for name in self.names})
        return moved


def filter_steps(
    pair: Pair, batch: Batch, num_particles: int, after: Callable[[int, Tensor, State], None] | None = None
) -> Filtered:
    """A particle filter over the steps of a batch, whose particles the guide proposes.

    Args:
        pair: in steps, without anything that is observed after the last one.
        batch: B rows.
        num_particles: K.
        after: called after each step, ``after(t, log_weight, states)``, (K, B) and the model's states, (K, B, *event).
    """
    plan = Plan(steps_of(pair.model), steps_of(pair.guide), batch)
    names, _ = plan.start()
    device = next(iter(batch.values())).device
    ends = torch.full((plan.size,), plan.num_steps - 1, device=device) if plan.lengths is None else plan.lengths - 1
    between = _Remembering(names, ends, after)
    traced = trace_steps(pair.model, pair.guide, batch, num_particles, between)
    assert isinstance(traced, StepTrace) and between.filter.log_weight is not None
    return Filtered(traced, between.ancestors, between.states, between.filter.log_weight)


def steps_of(program: Program) -> StepModule:
    """The step module of a program."""
    assert isinstance(program, StepModel | StepGuide)
    return program.own


def require_steps(pair: Pair, batch: Batch, verb: str) -> None:
    """Refuse a pair that is not in steps, or observes something after the last one."""
    if not in_steps(pair.model, pair.guide, batch):
        raise ContractError(
            f"{describe(pair.model)} is not in steps, which {verb} needs: give a pair of unroll(model, guide)."
        )
    own = steps_of(pair.model)
    if hasattr(own, "last") or getattr(own, "num_steps", None) is not None:
        raise ContractError(
            f"{type(own).__name__} observes whole keys, and not one part of them at each step, which {verb} needs."
        )


def parts(batch: Batch, num_particles: int) -> Iterator[Batch]:
    """Some rows at a time, so that their particles fit into a pass."""
    step = max(1, chunks.ROWS_PER_PASS // num_particles)
    for start in range(0, batch_size(batch), step):
        yield {key: value[start : start + step] for key, value in batch.items()}


def take(values: Tensor, index: Tensor) -> Tensor:
    """values[index[s, b], b], (S, B, *event), of (K, B, *event) and (S, B)."""
    index = index.reshape(*index.shape, *[1] * (values.dim() - 2))
    return values.gather(0, index.expand(*index.shape[:2], *values.shape[2:]))


def draw_step(plan: Plan, state: State, inputs: Mapping[str, Tensor], shape: tuple[int, int]) -> tuple[Any, State]:
    """One step of the model with everything drawn, (K, B): its sites, and its next state."""
    with (
        poutine.uncondition(),
        pyro.plate(PARTICLES, shape[0], dim=-2),
        pyro.plate("data", shape[1], dim=-1),
    ):
        trace = poutine.trace(lambda: plan.step(plan.model, state, {}, inputs)).get_trace()
    new: Any = trace.nodes["_RETURN"]["value"]
    return sample_sites(trace), {name: value.expand(state[name].shape) for name, value in new.items()}


@public()
def smooth(pair: PairLike, data: Any, num_samples: int = 1, num_particles: int = 500) -> dict[str, Tensor]:
    """z_1:T ~ p(z_1:T | x_1:T): draws of each latent site of a pair in steps, all steps together, (S, B, T, *event).

    A particle filter of K particles proposes by the guide, and the way of each draw is followed back from the end; exact as K
    grows, whatever the guide. Early steps of long sequences are those of few particles. Steps beyond ``lengths`` mean nothing.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), in steps.
        data: B rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_samples: S.
        num_particles: K.

    References: Kitagawa, Monte Carlo Filter and Smoother for Non-Gaussian Nonlinear State Space Models, 1996.

    >>> from pyrovae import data, pairs
    >>> pair = pairs.vrnn(data.DataSpec("toy", (5, 3), "binary"), latent_dim=2)
    >>> smooth(pair, torch.zeros(4, 5, 3), num_samples=2, num_particles=10)["z"].shape
    torch.Size([2, 4, 5, 2])
    """
    pair = as_pair(pair)
    batch = as_batch(pair, data)
    found: dict[str, list[Tensor]] = {}
    with inference(pair):
        require_steps(pair, batch, "smooth")
        for some in parts(batch, num_particles):
            filtered = filter_steps(pair, some, num_particles)
            slots = filtered.choose(num_samples)
            for name, values in filtered.traced.latents.items():
                found.setdefault(name, []).append(filtered.paths(values, slots))
    return {name: torch.cat(values, 1) for name, values in found.items()}


@public()
def one_step_ahead(pair: PairLike, data: Any, num_particles: int = 500) -> Tensor:
    """E[x_t | x_1, ..., x_t-1] of each step of sequences, (B, T, *shape), by a particle filter; exact as K grows.

    Of categories and ordered levels, which have no mean, the most probable. Steps beyond ``lengths`` mean nothing.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide), in steps, with the site x.
        data: B rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        num_particles: K.

    >>> from pyrovae import data, pairs
    >>> pair = pairs.vrnn(data.DataSpec("toy", (5, 3), "binary"), latent_dim=2)
    >>> one_step_ahead(pair, torch.zeros(4, 5, 3), num_particles=10).shape
    torch.Size([4, 5, 3])
    """
    pair = as_pair(pair)
    batch = as_batch(pair, data)
    with inference(pair):
        require_steps(pair, batch, "one_step_ahead")
        return torch.cat([_means_ahead(pair, some, num_particles) for some in parts(batch, num_particles)])


def _means_ahead(pair: Pair, batch: Batch, num_particles: int) -> Tensor:
    plan = Plan(steps_of(pair.model), None, batch)
    first, _ = plan.start()
    shape, means = (num_particles, plan.size), []

    def ahead(t: int, log_weight: Tensor, state: State) -> None:
        if t + 1 < plan.num_steps:
            x = draw_step(plan, state, plan.inputs(plan.model, t + 1), shape)[0]["x"]["fn"]
            weights = log_weight.softmax(0)
            linear = [(weights.reshape(*shape, *[1] * (m.dim() - 2)) * m).sum(0) for m in linear_means(x)]
            means.append(values_of(x, linear))

    if plan.each[plan.model]:
        raise ContractError(
            f"{type(plan.model).__name__}.init gives the model's steps parts of whole sequences, so that no step is ahead of "
            "its data."
        )
    start = {name: value.expand(num_particles, *value.shape) for name, value in first.items()}
    ahead(-1, torch.zeros(shape, device=next(iter(batch.values())).device), start)
    filter_steps(pair, batch, num_particles, ahead)
    return torch.stack(means, 1)
