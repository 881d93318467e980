"""The scores of a pair in steps: each site's are summed over its steps under its plain name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyrovae.core.sites import Scores, Site
from pyrovae.core.trace import PairTrace
from pyrovae.distributions.density import is_density
from pyrovae.errors import ContractError

__all__ = ["PerStep", "ScoredStep", "StepTrace", "facts_of"]


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
        return cls(values_of(traced), dict(traced.log_p), dict(traced.log_q), kl)

    def site_kl(self, name: str) -> Tensor:
        """KL(q || p) of a site, (K, B)."""
        if name not in self.kl:
            raise NotImplementedError(f"the KL of {name!r} has no closed form")
        return self.kl[name]


def values_of(traced: PairTrace | ScoredStep) -> Mapping[str, Tensor]:
    if isinstance(traced, ScoredStep):
        return traced.values
    return {name: site["value"] for name, site in {**traced.guide_sites, **traced.model_sites}.items()}


def facts_of(traced: PairTrace) -> dict[str, dict[str, Any]]:
    """What is true of the sites of a step whatever its numbers, by name."""
    model, guide = traced.model_sites, traced.guide_sites
    facts = {}
    for name in {**model, **guide}:
        drawn: Any = guide.get(name, model.get(name))
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
        together: in their place, all of them with the steps first, (T, K, B).
        facts: of the sites of all steps.
        last: what is observed after the last step, with facts of its own.
        again: runs the steps at given latents.
        between: what ran between the steps, or None.
    """

    steps: list[PairTrace | ScoredStep] = field(default_factory=list)
    together: ScoredStep | None = None
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
        if self.together is not None:
            value = self.together.values[name]
            event = value.shape[value.dim() - event_dim :]
            lead = value.shape[1 : value.dim() - event_dim]
            value = value.reshape(len(value), *[1] * (len(self.shape) - len(lead)), *lead, *event)
            return value.movedim(0, len(self.shape)).expand(*self.shape, len(value), *event)
        values = [values_of(step)[name] for step in self.steps]
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
        if self.together is not None:
            scores: Mapping[str, Tensor] = getattr(self.together, which)
            return scores[name].sum(0).expand(self.shape)
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
        if self.together is not None:
            return self.together.site_kl(name).sum(0).expand(self.shape)
        return self._added([step.site_kl(name) for step in self.steps])

    def next_state(self) -> dict[Tensor, Tensor]:
        """None: no distribution of a step has state."""
        return {}
