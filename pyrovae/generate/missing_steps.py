"""Missing values of the steps of a sequence, by a particle filter in which they are drawn as the model draws them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyrovae.core.pair import Pair
from pyrovae.core.program import Batch, describe
from pyrovae.core.run import set_rows
from pyrovae.core.step_plan import Plan, State, StepModule, arguments_of
from pyrovae.core.steps import unroll
from pyrovae.distributions.density import mask_distribution
from pyrovae.errors import ContractError
from pyrovae.generate.expectation import linear_means, values_of
from pyrovae.generate.filtering import Filtered, draw_step, filter_steps, parts, require_steps, steps_of, take

__all__ = ["impute_steps", "masked_pair"]

MASK = "mask"


class _Filled(Messenger):
    """Site x scored where the mask is 1, and drawn elsewhere, so that what reads it reads a whole x."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask, self.seen = mask.bool(), False

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == "x" and msg["is_observed"]:
            self.seen, fn = True, msg["fn"]
            msg["value"] = torch.where(self.mask, msg["value"], fn.sample())
            msg["fn"] = mask_distribution(fn, self.mask)


class _ObservedSteps(nn.Module):
    """A step module that sees x where ``mask`` is 1 and 0 elsewhere; of a model, whose site x is filled."""

    def __init__(self, own: StepModule) -> None:
        super().__init__()
        self.own: StepModule = own
        self.init: Callable[..., Any] = _named(self._init, own.init, 0)
        self.step: Callable[..., Any] = _named(self._step, own.step, 1)

    def _init(self, **keys: Tensor) -> Any:
        return self.own.init(**self._seen(self.own.init, 0, keys))

    def _step(self, state: State, **keys: Tensor) -> Any:
        with _Filled(keys[MASK]):
            return self.own.step(state, **self._seen(self.own.step, 1, keys))

    def _seen(self, method: Callable[..., Any], skip: int, keys: dict[str, Tensor]) -> dict[str, Tensor]:
        mask = keys[MASK].bool()
        seen = {name: keys[name] for name in arguments_of(method, skip) if name in keys}
        return {name: torch.where(mask, x, torch.zeros_like(x)) if name == "x" else x for name, x in seen.items()}


def _named(method: Callable[..., Any], own: Callable[..., Any], skip: int) -> Callable[..., Any]:
    """The method with the other's names, and the mask's, in its signature."""

    def call(*args: Any, **keys: Any) -> Any:
        return method(*args, **keys)

    taken = {MASK: inspect.Parameter(MASK, inspect.Parameter.KEYWORD_ONLY)}
    taken |= {name: each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in arguments_of(own, skip).items()}
    state = [inspect.Parameter("state", inspect.Parameter.POSITIONAL_OR_KEYWORD)] * skip
    call.__signature__ = inspect.Signature([*state, *taken.values()])  # type: ignore[attr-defined]
    return call


def masked_pair(pair: Pair) -> Pair:
    """The pair of p(x_observed) of a pair in steps, for batches with ``mask``; its steps must not be unrolled.

    Its missing values are drawn anew in each program, so that only a pass of model and guide side by side fits together.
    """
    masked = unroll(_ObservedSteps(steps_of(pair.model)), _ObservedSteps(steps_of(pair.guide)))
    set_rows(False, masked.model, masked.guide)  # as the pair's own programs, on whose rows that was seen
    return masked


def impute_steps(pair: Pair, batch: Batch, num_samples: int) -> Tensor:
    """E[x_missing | x_observed] of a pair in steps, x itself where it is observed, (B, T, *shape).

        sum_k v_k E[x_t | z_t,k, ...] over the ways of K particles of a filter of p(x_observed), v_k their weights at the end

    Missing values are drawn from p(x_t | ...) on the way, which leaves the weights as they are, so that models whose next
    state depends on x_t go on; of these the mean is that of the draws.
    """
    require_steps(pair, batch, "impute")
    masked, found = masked_pair(pair), []
    for some in parts(batch, num_samples):
        filtered = filter_steps(masked, some, num_samples)
        found.append(torch.where(some[MASK].bool(), some["x"], _means(pair, some, filtered).to(some["x"].dtype)))
    return torch.cat(found)


def _means(pair: Pair, batch: Batch, filtered: Filtered) -> Tensor:
    """The weighted mean of x over the ways of the particles, (B, T, *shape)."""
    slots = torch.arange(len(filtered.log_weight), device=batch["x"].device).unsqueeze(1).expand(filtered.log_weight.shape)
    weights, reads = filtered.log_weight.softmax(0), _reads_x(pair, batch)
    found: list[Tensor] = []
    for t in reversed(range(batch["x"].shape[1])):
        slots = filtered.ancestors[t].gather(0, slots)
        site = filtered.traced.steps[t].model_sites["x"]  # type: ignore[union-attr]
        means = [site["value"]] if reads else linear_means(site["fn"])
        shape = (*weights.shape, *batch["x"].shape[2:])
        chosen = [take(mean.expand(*weights.shape, *mean.shape[mean.dim() - len(shape) + 2 :]), slots) for mean in means]
        linear = [(weights.reshape(*weights.shape, *[1] * (mean.dim() - 2)) * mean).sum(0) for mean in chosen]
        found.append(linear[0] if reads else values_of(site["fn"], linear))
    return torch.stack(found[::-1], 1)


def _reads_x(pair: Pair, batch: Batch) -> bool:
    """Whether the model's next state depends on the value of x at a step."""
    plan = Plan(steps_of(pair.model), None, batch)
    first, _ = plan.start()
    state, made = {name: value.unsqueeze(0) for name, value in first.items()}, []
    inputs, shape = plan.inputs(plan.model, 0), (1, plan.size)
    devices = [batch["x"].device.index or 0] if batch["x"].is_cuda else []
    with torch.random.fork_rng(devices=devices):
        sites, _ = draw_step(plan, state, inputs, shape)
        if "x" not in sites:
            raise ContractError(f"{describe(pair.model)} observes no site 'x' at its steps, a part of which is missing.")
        for fill in (0, 1):
            values = {name: site["value"] for name, site in sites.items()} | {"x": torch.full_like(sites["x"]["value"], fill)}
            given = {**inputs, "x": torch.full_like(inputs["x"], fill)}
            with poutine.condition(data=values):
                made.append(draw_step(plan, state, given, shape)[1])
    return any(not torch.equal(made[0][name], made[1][name]) for name in made[0])
