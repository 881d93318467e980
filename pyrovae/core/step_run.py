"""A pair in steps, run side by side by K particles, between whose steps something may stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pyro
from pyro import poutine
from torch import Tensor

from pyrovae.core.layout import settle_particles
from pyrovae.core.program import Program, describe
from pyrovae.core.run import energies, has_rows, latents_trace
from pyrovae.core.sites import PARTICLES
from pyrovae.core.step_plan import Plan, State, StepModule
from pyrovae.core.step_trace import ScoredStep, StepTrace, facts_of
from pyrovae.core.steps import StepGuide, StepModel, at_step
from pyrovae.core.trace import PairTrace, trace_pair
from pyrovae.errors import ContractError

__all__ = ["Between", "compiled_steps", "in_steps", "trace_steps"]

Between = Callable[[int, Tensor, State], State]
_CODE: ContextVar[Any] = ContextVar("code of a step", default=None)


@contextmanager
def compiled_steps(code: Any) -> Iterator[None]:
    """Within it, ``code(step, inputs)`` runs each step of :func:`trace_steps`; it keeps the sites' facts as ``code.facts``."""
    token = _CODE.set(code)
    if code is not None:
        code.begin()
    try:
        yield
    finally:
        _CODE.reset(token)


class _Unserved(Exception):
    """A step has sites that only a whole trace serves: enumerated ones, factors of the guide."""


def in_steps(model: Program, guide: Program, batch: Mapping[str, Tensor]) -> bool:
    """Whether two programs are those of :func:`~pyrovae.core.steps.unroll`, with particles on the left of the data, (K, B)."""
    if not isinstance(model, StepModel) or not isinstance(guide, StepGuide) or guide.model is not model:
        return False
    settle_particles(model, guide, batch)
    return not has_rows(model) and not energies(model)


def trace_steps(
    model: Program,
    guide: Program,
    batch: Mapping[str, Tensor],
    num_particles: int = 1,
    between: Between | None = None,
    given: Mapping[str, Tensor] | None = None,
) -> PairTrace:
    """As :func:`~pyrovae.core.trace.trace_pair` of the unrolled pair; each step runs once, and a site is one for all t.

    Scores of steps beyond ``lengths`` are 0. Noise is drawn as the unrolled guide draws it.

    Args:
        model: p, a program of :func:`~pyrovae.core.steps.unroll`.
        guide: q, the other.
        batch: tensors with a first dimension of B.
        num_particles: K.
        between: called after each step, ``between(t, scores, state)`` with t from 0, the step's log p - log q, (K, B), and the
            states of model and guide, (K, B, *event); gives the states that the next step sees. Where the model has ``last``,
            it is called once more with the scores of that.
        given: values of the latent sites, (K, B, T, *event), in place of draws.

    Returns:
        A :class:`StepTrace`; the unrolled pair's own trace where a site is enumerated or the guide has a factor.

    Raises:
        ContractError: the programs are not in steps, or what ``between`` does is not possible.
    """
    if not in_steps(model, guide, batch):
        raise ContractError(
            f"{describe(model)} and {describe(guide)} do not run in steps of (K, B) scores; give a pair of step modules, "
            "unroll(model, guide), whose networks act on the last axes."
        )
    assert isinstance(model, StepModel) and isinstance(guide, StepGuide)
    try:
        traced = _Run(model, guide, batch, num_particles, given).go(between)
    except _Unserved as error:
        if between is not None:
            raise ContractError(f"{error}, which particles that are resampled between steps cannot take; draw it.") from None
        return trace_pair(model, guide, batch, num_particles)
    traced.again = lambda latents: trace_steps(model, guide, batch, num_particles, given=latents)
    return traced


class _Run:
    """One pass over the steps of a batch."""

    def __init__(
        self, model: StepModel, guide: StepGuide, batch: Mapping[str, Tensor], size: int, given: Mapping[str, Tensor] | None
    ) -> None:
        self.plan, self.given = Plan(model.own, guide.own, batch), given
        self.model: StepModule = model.own
        self.guide: StepModule = guide.own
        self.shape = (size, self.plan.size)
        self.trace = StepTrace(poutine.Trace(), poutine.Trace(), self.shape, batch=batch, program=model)

    def go(self, between: Between | None) -> StepTrace:
        """Run all steps."""
        plan, code, trace = self.plan, _CODE.get(), self.trace
        whole = code is not None and self.given is None and between is None
        state, own = ({n: v.expand(self.shape[0], *v.shape) for n, v in made.items()} for made in plan.start())
        if whole and (made := self._scan(code, state, own)) is not None:
            state, own = made["state"], made["own"]
            trace.facts, trace.together = code.facts, ScoredStep(*made["step"])
        for t in range(plan.num_steps if trace.together is None else 0):
            inputs = self._inputs(t, state, own)
            if code is None or self.given is not None:
                step, new, new_own = self._step(inputs)
                trace.facts = trace.facts or facts_of(step)
                trace.steps.append(step)
            else:
                made = code(self._scored(code), inputs)
                new, new_own, trace.facts = made["state"], made["own"], code.facts
                trace.steps.append(ScoredStep(*made["step"]))
            state, own = new, new_own
            if between is not None:
                moved = between(t, self._weights(trace.steps[-1]), {**state, **own})
                state, own = ({name: moved[name] for name in each} for each in (state, own))
        if hasattr(self.model, "last"):
            keys = plan.last_inputs()
            model = self._traced(lambda: self.model.last(state, **keys), None)
            trace.last = PairTrace(model, poutine.Trace(), self.shape)
            if between is not None:
                between(plan.num_steps, trace.total(trace.last.log_p).expand(self.shape), {**state, **own})
        return trace

    def _inputs(self, t: int, state: State, own: State) -> dict[str, Any]:
        """What step t gets."""
        plan, both = self.plan, (self.model, self.guide)
        mask, given = plan.mask(t), {name: value[:, :, t] for name, value in (self.given or {}).items()}
        each, keys = [plan.each_at(who, t) for who in both], [plan.inputs(who, t) for who in both]
        return self._parts(state, own, each, keys, [] if mask is None else [mask], given)

    def _scan(self, code: Any, state: State, own: State) -> Any:
        """All steps at once; None where they have to run one after another."""
        (each, keys), (own_each, own_keys) = (self.plan.over(who) for who in (self.model, self.guide))
        mask = self.plan.masks()
        inputs = self._parts(state, own, [each, own_each], [keys, own_keys], [] if mask is None else [mask], {})
        return code.scan(self._scored(code), inputs, self.plan.num_steps)

    def _parts(
        self, state: State, own: State, each: list[State], keys: list[State], mask: list[Tensor], given: State
    ) -> dict[str, Any]:
        """All that a step gets, in dicts and lists of tensors; keys that have no axis of steps are ``whole``."""
        name = "whole" if self.plan.whole else "keys"
        return {"state": state, "own": own, "each": each, name: keys, "mask": mask, "given": given}

    def _weights(self, step: PairTrace | ScoredStep) -> Tensor:
        """log p - log q of one step, (K, B)."""
        return (self.trace.total(step.log_p) - self.trace.total(step.log_q)).expand(self.shape)

    def _traced(self, program: Callable[[], Any], mask: Tensor | None, replay: poutine.Trace | None = None) -> poutine.Trace:
        def run() -> Any:
            with pyro.plate(PARTICLES, self.shape[0], dim=-2), pyro.plate("data", self.shape[1], dim=-1), at_step(None, mask):
                return program()

        return poutine.trace(run if replay is None else poutine.replay(run, trace=replay)).get_trace()

    def _step(self, inputs: dict[str, Any]) -> tuple[PairTrace, State, State]:
        """Guide and model at one step, and their next states."""
        plan, mask = self.plan, next(iter(inputs["mask"]), None)
        (each, own_each), (keys, own_keys) = inputs["each"], inputs["whole" if plan.whole else "keys"]
        seen = {**each, **inputs["state"], **own_each}
        replay = latents_trace(inputs["given"]) if inputs["given"] else None
        guide = self._traced(lambda: plan.step(self.guide, inputs["own"], seen, own_keys), mask, replay)
        model = self._traced(lambda: plan.step(self.model, inputs["state"], each, keys), mask, guide)
        traced = PairTrace(model, guide, self.shape)
        for name, site in {**traced.guide_sites, **traced.model_sites}.items():
            if site["infer"].get("enumerate"):
                raise _Unserved(f"site {name!r} is enumerated")
        if traced.guide_factors is not None:
            raise _Unserved("the guide has a pyro.factor")
        news: list[Any] = [trace.nodes["_RETURN"]["value"] for trace in (model, guide)]
        olds = (inputs["state"], inputs["own"])
        state, own = (plan.kept(old, self._fit(new, old), mask) for old, new in zip(olds, news, strict=True))
        return traced, state, own

    def _fit(self, new: State, old: State) -> State:
        """The next state, of as many particles as the one before."""
        for name, value in new.items():
            if value.dim() < old[name].dim() - 1 or value.shape[-1:] != old[name].shape[-1:] or value.dim() > old[name].dim():
                came, expected = tuple(value.shape), tuple(old[name].shape)
                raise ContractError(f"a step gives the state {name!r} the shape {came}; expected {expected}, as init's.")
        return {name: new[name].expand_as(old[name]) for name in old}

    def _scored(self, code: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """The step as a function of tensors to tensors, for code to be made of."""

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            traced, state, own = self._step(inputs)
            code.facts = facts_of(traced)
            step = ScoredStep.of(traced)
            return {"state": state, "own": own, "step": [dict(step.values), step.log_p, step.log_q, step.kl]}

        return run
