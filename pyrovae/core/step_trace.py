"""A pair in steps, run side by side by K particles: each site's scores are summed over its steps under its plain name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor

from pyrovae.core.layout import settle_particles
from pyrovae.core.program import Program, describe
from pyrovae.core.run import energies, has_rows, latents_trace
from pyrovae.core.sites import PARTICLES, Scores, Site
from pyrovae.core.steps import Plan, State, StepGuide, StepModel, at_step
from pyrovae.core.trace import PairTrace, trace_pair
from pyrovae.distributions.density import is_density
from pyrovae.errors import ContractError

__all__ = ["Between", "ScoredStep", "StepTrace", "compiled_steps", "in_steps", "trace_steps"]

Between = Callable[[int, Tensor, State], State]
_CODE: ContextVar[Any] = ContextVar("code of a step", default=None)


@contextmanager
def compiled_steps(code: Any) -> Iterator[None]:
    """Within it, ``code(step, inputs)`` runs each step of :func:`trace_steps`; it keeps the sites' facts as ``code.facts``."""
    token = _CODE.set(code)
    try:
        yield
    finally:
        _CODE.reset(token)


class _Unserved(Exception):
    """A step has sites that only a whole trace serves: enumerated ones, factors of the guide."""


class PerStep:
    """Stands for a site's distributions, one a step, of which only what they share can be asked."""

    def __init__(self, name: str, facts: Mapping[str, Any]) -> None:
        self.name, self.has_rsample, self.is_density = name, facts["has_rsample"], facts["is_density"]

    def __getattr__(self, asked: str) -> Any:
        if asked.startswith("_") or asked in ("base_dist", "next_state", "reinterpreted_batch_ndims"):
            raise AttributeError(asked)
        raise ContractError(
            f"site {self.name!r} has a distribution for each step and no {asked} of all; use an objective of scores alone "
            "('elbo', 'meanfield', 'iwae', 'vimco', 'fivo')."
        )


@dataclass
class ScoredStep:
    """One step of which only values and scores are left, (K, B) each."""

    values: Mapping[str, Tensor]
    log_p: Mapping[str, Tensor]
    log_q: Mapping[str, Tensor]
    kl: Mapping[str, Tensor]

    @classmethod
    def of(cls, traced: PairTrace) -> ScoredStep:
        """All that a trace of a step can be asked."""
        kl = {}
        for name in traced.guide_sites:
            try:
                kl[name] = traced.site_kl(name)
            except NotImplementedError:
                continue
        return cls(_values(traced), dict(traced.log_p), dict(traced.log_q), kl)

    def site_kl(self, name: str) -> Tensor:
        """KL(q || p) of a site, (K, B)."""
        if name not in self.kl:
            raise NotImplementedError(f"the KL of {name!r} has no closed form")
        return self.kl[name]


def _values(traced: PairTrace | ScoredStep) -> Mapping[str, Tensor]:
    if isinstance(traced, ScoredStep):
        return traced.values
    return {name: site["value"] for name, site in {**traced.guide_sites, **traced.model_sites}.items()}


def _facts(traced: PairTrace) -> dict[str, dict[str, Any]]:
    """What is true of the sites of a step whatever its numbers, by name."""
    model, guide = traced.model_sites, traced.guide_sites
    facts = {}
    for name in {**model, **guide}:
        drawn = guide.get(name, model.get(name))
        densities = [is_density(sites[name]["fn"]) for sites in (model, guide) if name in sites]
        facts[name] = {
            "programs": [label for label, sites in (("p", model), ("q", guide)) if name in sites],
            "event_dim": drawn["fn"].event_dim,
            "has_rsample": drawn["fn"].has_rsample,
            "is_density": all(densities),
            "is_observed": drawn["is_observed"],
            "scale": drawn["scale"],
        }
    return facts


@dataclass
class StepTrace(PairTrace):
    """The scores of K particles of a pair in steps; ``log_p["z"]`` is the sum over t of log p(z_t | ...), (K, B).

    Attributes:
        steps: one after another.
        facts: of the sites of all steps.
        last: what is observed after the last step, with facts of its own.
        again: runs the steps at given latents.
        between: what ran between the steps, or None.
    """

    steps: list[PairTrace | ScoredStep] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    last: PairTrace | None = None
    again: Callable[[Mapping[str, Tensor]], PairTrace] | None = None
    between: Any = None

    def _sites(self, program: str) -> dict[str, Site]:
        sites: dict[str, Site] = {}
        for name, facts in self.facts.items():
            if program in facts["programs"]:
                value = self._stacked(name, facts["event_dim"])
                common = {key: facts[key] for key in ("is_observed", "scale")}
                sites[name] = {"name": name, "type": "sample", "fn": PerStep(name, facts), "value": value, **common}
                sites[name] |= {"infer": {}, "mask": None}
        return sites

    def _stacked(self, name: str, event_dim: int) -> Tensor:
        """A site's values at all steps, (K, B, T, *event)."""
        values = [_values(step)[name] for step in self.steps]
        return torch.stack([v.expand(*self.shape, *v.shape[v.dim() - event_dim :]) for v in values], len(self.shape))

    @cached_property
    def model_sites(self) -> dict[str, Site]:
        """The model's sites by their plain names, values (K, B, T, *event), and those after the last step."""
        return {**self._sites("p"), **({} if self.last is None else self.last.model_sites)}

    @cached_property
    def guide_sites(self) -> dict[str, Site]:
        """The guide's latent sites by their plain names, values (K, B, T, *event)."""
        return self._sites("q")

    @cached_property
    def guide_factors(self) -> Tensor | None:
        """None: a guide with factors is not run in steps."""
        return None

    @cached_property
    def log_p(self) -> Mapping[str, Tensor]:
        """sum_t log p(site_t | parents) of every site of the model, (K, B)."""
        return Scores(self.model_sites, lambda name: self._sum("log_p", name))

    @cached_property
    def log_q(self) -> Mapping[str, Tensor]:
        """sum_t log q(site_t | parents, x) of every latent site, (K, B)."""
        return Scores(self.guide_sites, lambda name: self._sum("log_q", name))

    def _sum(self, which: str, name: str) -> Tensor:
        if name not in self.facts:
            assert self.last is not None
            return self.last.log_p[name]
        return self._added([getattr(step, which)[name] for step in self.steps])

    def _added(self, scores: Sequence[Tensor]) -> Tensor:
        """The sum over steps, in their order."""
        result = scores[0]
        for score in scores[1:]:
            result = result + score
        return result.expand(self.shape)

    def guide_scores(self, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """log q at given latents, (K, B, T, *event) each: the steps run again, each on those before it."""
        assert self.again is not None
        return dict(self.again(latents).log_q)

    def site_kl(self, name: str) -> Tensor:
        """sum_t KL(q(site_t) || p(site_t)), (K, B), given the states of the steps."""
        return self._added([step.site_kl(name) for step in self.steps])

    def next_state(self) -> dict[Tensor, Tensor]:
        """None: no distribution of a step has state."""
        return {}


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
    """As :func:`~pyrovae.core.trace.trace_pair` of the unrolled pair, of which each step runs once, and sites are one for all t.

    Scores of steps beyond ``lengths`` are 0. Noise is drawn as the unrolled guide draws it.

    Args:
        model, guide: programs of :func:`~pyrovae.core.steps.unroll`.
        batch: tensors with a first dimension of B.
        num_particles: K.
        between: called after each step, ``between(t, scores, state)`` with t from 0, log p - log q of the step, (K, B), and the
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
        self.model, self.guide = model.own, guide.own
        self.shape = (size, self.plan.size)
        self.trace = StepTrace(poutine.Trace(), poutine.Trace(), self.shape, batch=batch, program=model)

    def go(self, between: Between | None) -> StepTrace:
        """Run all steps."""
        plan, code, trace = self.plan, _CODE.get(), self.trace
        state, own = ({n: v.expand(self.shape[0], *v.shape) for n, v in made.items()} for made in plan.start())
        for t in range(plan.num_steps):
            inputs = self._inputs(t, state, own)
            if code is None or self.given is not None:
                step, new, new_own = self._step(inputs)
                trace.facts = trace.facts or _facts(step)
                trace.steps.append(step)
            else:
                made = code(self._scored(code), inputs)
                new, new_own, trace.facts = made["state"], made["own"], code.facts
                trace.steps.append(ScoredStep(*made["step"]))
            state, own = plan.kept(state, new, t), plan.kept(own, new_own, t)
            if between is not None:
                moved = between(t, self._weights(trace.steps[-1]), {**state, **own})
                state, own = ({name: moved[name] for name in each} for each in (state, own))
        if hasattr(self.model, "last"):
            keys = plan.last_inputs()
            model = self._traced(lambda: self.model.last(state, **keys), None)  # type: ignore[operator]  # its method
            trace.last = PairTrace(model, poutine.Trace(), self.shape)
            if between is not None:
                between(plan.num_steps, trace.total(trace.last.log_p).expand(self.shape), {**state, **own})
        return trace

    def _inputs(self, t: int, state: State, own: State) -> dict[str, Any]:
        """All that the step gets, in dicts and lists of tensors."""
        plan = self.plan
        return {
            "state": state,
            "own": own,
            "each": [plan.each_at(self.model, t), plan.each_at(self.guide, t)],
            "keys": [plan.inputs(self.model, t), plan.inputs(self.guide, t)],
            "mask": [] if plan.lengths is None else [plan.mask(t)],
            "given": {name: value[:, :, t] for name, value in (self.given or {}).items()},
        }

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
        (each, own_each), (keys, own_keys) = inputs["each"], inputs["keys"]
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
        news = [trace.nodes["_RETURN"]["value"] for trace in (model, guide)]
        return traced, self._fit(news[0], inputs["state"]), self._fit(news[1], inputs["own"])

    def _fit(self, new: State, old: State) -> State:
        """The next state, of as many particles as the one before."""
        for name, value in new.items():
            if value.dim() < old[name].dim() - 1 or value.shape[-1:] != old[name].shape[-1:] or value.dim() > old[name].dim():
                came, expected = tuple(value.shape), tuple(old[name].shape)
                raise ContractError(f"a step gives the state {name!r} the shape {came}; expected {expected}, as init's.")
        return {name: value.expand_as(old[name]) for name, value in new.items()}

    def _scored(self, code: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """The step as a function of tensors to tensors, for code to be made of."""

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            traced, state, own = self._step(inputs)
            code.facts = _facts(traced)
            step = ScoredStep.of(traced)
            return {"state": state, "own": own, "step": [dict(step.values), step.log_p, step.log_q, step.kl]}

        return run
