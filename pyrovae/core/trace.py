"""Run the guide, replay the model, score every site per datum.

The engine sees a pair only through :func:`trace_pair`: one vectorized pass of K particles in which every sample site,
latent or observed, scores as a (K, B) matrix of log densities in nats. Masks are applied; scales of plates and of ``poutine``
never are, which would destroy a log-sum-exp: a common one (N/B) is reported apart, to multiply the finished bound with.

Discrete sites that ask for it (``infer={"enumerate": "parallel"}``) are enumerated in dimensions left of the particles, so
that scores are (E, K, B) there; :attr:`PairTrace.log_weight` sums them out exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from pyro import poutine
from torch import Tensor

from pyrovae.core.divergence import site_kl
from pyrovae.core.keys import drawn_keys, main_key
from pyrovae.core.layout import settle_particles
from pyrovae.core.program import Program, batch_size
from pyrovae.core.run import latents_trace, replay_trace, run_program
from pyrovae.core.sites import (
    Scores,
    Site,
    auxiliary_sites,
    common_scale,
    is_reparameterized,
    mask_scores,
    placement_message,
    sample_sites,
    site_masks,
    without_mask,
)
from pyrovae.core.sum_product import recycles, sum_out
from pyrovae.core.support import observed_density
from pyrovae.distributions.density import is_factor, log_density
from pyrovae.distributions.supports import inside, is_discrete
from pyrovae.errors import ContractError

__all__ = ["PairTrace", "latents_trace", "run_program", "trace_pair"]


@dataclass
class PairTrace:
    """The traces of a guide and of the model replayed on its draws, scored per datum.

    Attributes:
        model: trace of the model, each latent site at the guide's draw.
        guide: trace of the guide.
        shape: (K, B), or (B,) for programs run without particles.
        rerun: the guide run again on given latents, to score them anew.
        seen: the draws as the model saw them, where they were passed ``through`` something.
        through: that something.
        batch: what the programs ran on.
        program: the model.
    """

    model: poutine.Trace
    guide: poutine.Trace
    shape: tuple[int, ...]
    rerun: Callable[[Mapping[str, Tensor]], poutine.Trace] | None = None
    seen: Mapping[str, Tensor] | None = None
    through: Callable[[Site], Tensor] | None = None
    batch: Mapping[str, Tensor] = field(default_factory=dict)
    program: Program | None = None

    @property
    def data(self) -> Tensor:
        """The data, (B, *shape): x, or the key that the first observed site of the model is given."""
        assert self.program is not None
        return self.batch[main_key(drawn_keys(self.program, self.batch, given=self.batch))]

    @cached_property
    def model_sites(self) -> dict[str, Site]:
        """The model's sample sites, observed ones too."""
        return sample_sites(self.model)

    @cached_property
    def guide_sites(self) -> dict[str, Site]:
        """The guide's latent sites."""
        return {n: s for n, s in sample_sites(self.guide).items() if not s["is_observed"]}

    @cached_property
    def guide_factors(self) -> Tensor | None:
        """Sum of the guide's ``pyro.factor`` terms, (K, B), losses of its own that enter no weight; None where it has none."""
        sites = {n: s for n, s in sample_sites(self.guide).items() if s["is_observed"] and is_factor(s["fn"])}
        return self.total({n: self._score("guide", s) for n, s in sites.items()}) if sites else None

    @cached_property
    def latents(self) -> dict[str, Tensor]:
        """Each latent site's draws, (K, B, *event)."""
        return {name: site["value"] for name, site in self.guide_sites.items()}

    @cached_property
    def observed(self) -> list[str]:
        """Names of the observed sites."""
        return [name for name, site in self.model_sites.items() if site["is_observed"]]

    @cached_property
    def log_p(self) -> Mapping[str, Tensor]:
        """log p(site | parents) of every site of the model, (K, B), each scored when it is asked for."""
        return Scores(self.model_sites, lambda name: self._score("model", self.model_sites[name]))

    @cached_property
    def auxiliary(self) -> Mapping[str, Tensor]:
        """The scores of the model's auxiliary sites, (K, B), each when it is asked for: they are no part of log p(x, z)."""
        sites = auxiliary_sites(self.model)
        return Scores(sites, lambda name: self._score("model", sites[name]))

    @cached_property
    def log_q(self) -> Mapping[str, Tensor]:
        """log q(site | parents, x) of every latent site of the guide, (K, B), each scored when it is asked for."""
        if self.seen is not None:
            return self.guide_scores(self.seen)
        return Scores(self.guide_sites, lambda name: self._score("guide", self.guide_sites[name]))

    def guide_scores(self, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """log q(site | parents, x) at given latents, (K, B): at detached ones its gradient is the score alone."""
        if len(self.guide_sites) == 1:
            ((name, site),) = self.guide_sites.items()
            return {name: self._score("guide", {**site, "value": latents[name]})}
        assert self.rerun is not None  # a site's distribution may depend on another's draw, so the guide must see the new ones
        sites = sample_sites(self.rerun(latents))
        return {name: self._score("guide", sites[name]) for name in self.guide_sites}

    # ------------------------------------------------------------------------------------------ enumerated sites
    @cached_property
    def enumerated(self) -> list[str]:
        """Latent sites that the guide enumerates: their log q weighs an exact expectation."""
        return [name for name, site in self.guide_sites.items() if "_enumerate_dim" in site["infer"]]

    @cached_property
    def summed_out(self) -> list[str]:
        """Latent sites that only the model has, enumerated there: summed out for each draw of the others."""
        sites = {name: site for name, site in self.model_sites.items() if name not in self.guide_sites}
        return [name for name, site in sites.items() if "_enumerate_dim" in site["infer"]]

    @cached_property
    def _total_log_p(self) -> Tensor:
        """Sum over the model's sites; one that the model drew itself was proposed by its own distribution, which cancels."""
        own = {n for n, s in self.model_sites.items() if not s["is_observed"] and n not in self.guide_sites}
        names = [n for n in self.model_sites if n not in own or n in self.summed_out]
        return self.marginal(names) if self.recycled else self.total(self._masses(names))

    def mass(self, program: str, name: str) -> Tensor:
        """log p or log q of an enumerated site whatever mask is on it: the weights of a sum, which always add up to one."""
        site = (self.model_sites if program == "model" else self.guide_sites)[name]
        scores = self.log_p if program == "model" else self.log_q
        return self._score(program, without_mask(site)) if site_masks(site) else scores[name]

    def _masses(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The scores of some of the model's sites, those that it sums out without their masks."""
        return {n: self.mass("model", n) if n in self.summed_out else self.log_p[n] for n in names}

    def marginal(self, names: Iterable[str]) -> Tensor:
        """log sum over all that is enumerated in the model of exp(sum of the scores of these sites), (K, B)."""
        return sum_out(self._masses(names), self.model_sites, self.shape)

    @cached_property
    def recycled(self) -> bool:
        """Whether sites that the model sums out share dimensions, under ``pyro.markov``."""
        if recycles(self.guide_sites):
            raise ContractError(
                f"the guide enumerates {', '.join(self.enumerated)} under pyro.markov, where they share a dimension; leave "
                "them to the model, which sums them out, or draw them."
            )
        return recycles(self.model_sites)

    @cached_property
    def log_joint(self) -> Tensor:
        """log p(x_b, z_kb), sites that only the model has summed out, (K, B), or (E, K, B) over the guide's enumerated."""
        result = self._total_log_p
        for name in [] if self.recycled else self.summed_out:
            result = result.logsumexp(self.model_sites[name]["infer"]["_enumerate_dim"], keepdim=True)
        return result

    @cached_property
    def log_likelihood(self) -> Tensor:
        """Sum over the observed sites, factors of the model among them, less the guide's factors, (K, B) or (E, K, B)."""
        observed = self.total({n: self.log_p[n] for n in self.observed})
        return observed if self.guide_factors is None else observed - self.guide_factors

    def expect(self, values: Tensor) -> Tensor:
        """sum_y q(y_b | .) values[y, k, b] over enumerated y, (K, B), exact and differentiable in q."""
        if self.enumerated:
            values = self.total({n: self.mass("guide", n) for n in self.enumerated}).exp() * values
        return values.flatten(0, -3).sum(0) if values.dim() > 2 else values.expand(self.shape)

    @cached_property
    def log_terms(self) -> Tensor:
        """The terms u whose sum over enumerated values is the weight: log w = log sum_y exp u, (E, K, B) or (K, B)."""
        terms = self._total_log_p - self.total({n: self.log_q[n] for n in self.guide_sites if n not in self.enumerated})
        for name in (n for n in self.enumerated if site_masks(self.model_sites[n])):
            terms = terms + self.mass("model", name) - self.log_p[name]
        return terms

    @cached_property
    def log_weight(self) -> Tensor:
        """log w[k, b] = log p(x_b, z_kb) - log q(z_kb | x_b), enumerated sites summed out exactly, (K, B).

        With y enumerated, w = sum_y p(x, y, z_y) / q(z_y | x, y): no draw of y, and no q(y | x), is left in it.
        """
        terms = self.log_terms
        return terms.flatten(0, -3).logsumexp(0) if terms.dim() > 2 else terms

    def total(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Sum of per-site scores, (K, B); zeros where there is none."""
        values = iter(scores.values())
        result = next(values, None)
        if result is None:
            device = next((s["value"].device for s in self.model_sites.values()), None)
            return torch.zeros(self.shape, device=device)
        for value in values:
            result = result + value
        return result

    @cached_property
    def sampled_score(self) -> Tensor | None:
        """Sum of log q over the sites that are drawn without reparameterization, (K, B); None when there is none."""
        return self.total({n: self.log_q[n] for n in self.sampled}) if self.sampled else None

    @cached_property
    def sampled(self) -> list[str]:
        """Latent sites that are drawn without reparameterization (nor enumerated): a gradient needs their score."""
        return [n for n, s in self.guide_sites.items() if n not in self.enumerated and not is_reparameterized(s)]

    @cached_property
    def scale(self) -> float | Tensor:
        """The one scale that all sites share (1, or N/B under a subsampled plate); errors when sites differ."""
        return common_scale((name, site["scale"]) for name, site in [*self.model_sites.items(), *self.guide_sites.items()])

    def site_kl(self, name: str) -> Tensor:
        """KL(q(site | x) || p(site | parents)) in closed form, (..., B); NotImplementedError where there is none."""
        return site_kl(self.guide_sites[name], self.model_sites[name])

    def next_state(self) -> dict[Tensor, Tensor]:
        """What the sites' distributions want their buffers to be after the step (``fn.next_state(value)``)."""
        sites = [*self.guide_sites.values(), *self.model_sites.values()]
        parts = [site["fn"].next_state(site["value"]) for site in sites if hasattr(site["fn"], "next_state")]
        return {buffer: value for part in parts for buffer, value in part.items()}

    def _score(self, program: str, site: Site) -> Tensor:
        try:
            observed = site["is_observed"] and program == "model"
            log_prob = (observed_density if observed else log_density)(site["fn"], site["value"])
        except NotImplementedError as error:
            raise ContractError(
                f"site {site['name']!r} of the {program} cannot be scored at draws held fixed: {error}; use an objective that "
                "takes the draws as they are (elbo, meanfield, iwae), or a flow with an inverse (flow='iaf' or 'spline')."
            ) from error
        if program == "model" and site["name"] in self.guide_sites and not is_discrete(site["fn"]):
            lies = inside(site["fn"], site["value"])  # a prior has no density beyond it, whatever its formula gives there
            log_prob = log_prob if lies is None else torch.where(lies, log_prob, -torch.inf)
        log_prob = mask_scores(site, log_prob)
        extra = log_prob.dim() - len(self.shape)
        if tuple(log_prob.shape[max(extra, 0) :]) != self.shape or (extra > 0 and not (self.enumerated or self.summed_out)):
            raise ContractError(placement_message(program, site, tuple(log_prob.shape), self.shape))
        return log_prob


def trace_pair(
    model: Program,
    guide: Program,
    batch: Mapping[str, Tensor],
    num_particles: int = 1,
    *,
    enumerate_sites: bool = True,
    through: Callable[[Site], Tensor] | None = None,
) -> PairTrace:
    """z_kb ~ q(z | x_b) for k = 1..K in one pass, and the model replayed on them.

    The encoder runs once per datum: the guide is called once on the (B, ...) batch, and only its draws get the K
    particles, under a plate at dim -2.

    Args:
        model: p, the one program.
        guide: q, the other.
        batch: tensors with a first dimension of B.
        num_particles: K.
        enumerate_sites: enumerate the discrete sites that ask for it, left of the particles; else draw them.
        through: what the model sees of a guide site's draw, and log q is taken at (the draw detached, say); the guide's
            own later sites keep the draw itself.

    Returns:
        A :class:`PairTrace` of shape (K, B).

    Raises:
        ContractError: a program does not take the batch, or a site does not score as (K, B).
    """
    settle_particles(model, guide, batch)
    again = "further" if enumerate_sites else None  # the model's enumerated dimensions go left of the guide's
    guide_trace = run_program(guide, batch, num_particles, enumerated="anew" if enumerate_sites else None)
    seen, replay = None, guide_trace
    if through is not None:
        draws = {n: s for n, s in sample_sites(guide_trace).items() if not s["is_observed"]}
        seen = {n: s["value"] if "_enumerate_dim" in s["infer"] else through(s) for n, s in draws.items()}
        replay = replay_trace(guide_trace, seen)
    model_trace = run_program(model, batch, num_particles, replay=replay, enumerated=again)

    def rerun(latents: Mapping[str, Tensor]) -> poutine.Trace:
        return run_program(guide, batch, num_particles, replay=replay_trace(guide_trace, latents))

    return PairTrace(model_trace, guide_trace, (num_particles, batch_size(batch)), rerun, seen, through, batch, model)
