"""The bound of bits that networks see smoothed: the bits' part in closed form, its gradient also where z = 1[zeta > 0]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from pyrovae.core.program import innermost
from pyrovae.core.run import replay_trace, run_program
from pyrovae.core.sites import Site, sample_sites
from pyrovae.core.trace import PairTrace
from pyrovae.distributions.density import log_density
from pyrovae.distributions.smoothed import SmoothedBernoulli, SmoothedBits
from pyrovae.effects.pathwise import Pathwise
from pyrovae.errors import ContractError
from pyrovae.objectives.elbo import MeanField
from pyrovae.objectives.objective import Given, Objective, Terms

__all__ = ["Smoothed"]


class Smoothed(Objective):
    """The ELBO of bits z that all else sees smoothed, zeta ~ r(zeta | z); a lower bound on log p(x), in nats per datum, (B,).

        L = E_zeta[ log p(x | zeta, y) - KL(y) + sum_g H(q_g) + sum_g E[f_g] ] - log Z

    z ~ p(z) = exp(f(z)) / Z is a Boltzmann machine. The guide draws zeta_g ~ prod_i (1 - q_i) r(zeta_i | 0) + q_i r(zeta_i
    | 1) in groups, q_g from x and zeta_<g, so that r cancels. H is the entropy of a group's bits. f, linear in every bit,
    is split by the last group that a term touches: that group's bits stand at q_g, those before it at nu_i = p(z_i = 1 |
    zeta_i). With one group, a factorial guide, the KL is closed and has no noise; with two it holds the cross-entropy of
    DVAE++.

    Gradients are pathwise. Where r(zeta | 0) is a spike, nu is z = 1[zeta > 0], whose jump counts by the boundary's term
    (1 - z) / (1 - q) grad q of Rolfe's Eq. (12); there the last group's z is replaced by its mean, of the same expectation.

    The bound is on log p(x) of the smoothed model, sum_z p(z) int r(zeta | z) p(x | zeta) dzeta, which is that of p(x | z)
    when r is sharp. Latent sites beside zeta and z, y, must be reparameterized, and depend on z, as x does, through zeta
    alone.

    Args:
        num_particles: K, over which the mean is taken.
        beta: weight of the KL, of z and y; it may be scheduled.

    References: Rolfe, Discrete Variational Autoencoders, 2017, Eq. (11) and (12); Vahdat, Macready, Bian, Khoshaman and
    Andriyash, DVAE++: Discrete Variational Autoencoders with Overlapping Transformations, 2018, Section 2.
    """

    weights_kl = True

    def __init__(self, num_particles: int = 1, beta: float = 1.0) -> None:
        super().__init__(num_particles)
        self.require_weight("beta", beta)
        self.beta = beta
        self._admitted: tuple[Any, Any] = None, None  # the last programs that were found right

    @property
    def weights(self) -> dict[str, float]:
        """beta."""
        return {"beta": self.beta}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles, zeta drawn with a gradient; refuses pairs of another form."""
        traced = super().trace(replace(given, guide=Pathwise(given.guide)), batch)
        groups, name = smoothed_sites(traced), bits_site(traced, self)
        refuse_other_sites(traced, name, groups, self)
        programs = innermost(given.model), innermost(given.guide)
        if get_proxy_mode() is None and not all(a is b for a, b in zip(self._admitted, programs, strict=True)):
            refuse_hard_bits(traced, name, groups, self)
            self._admitted = programs
        return traced

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        groups, name = smoothed_sites(traced), bits_site(traced, self)
        kl = {n: MeanField.kl(traced, n) for n in traced.guide_sites if n not in (name, *groups)}
        kl[name] = -self.prior_and_entropy([traced.guide_sites[n] for n in groups], traced.model_sites[name]["fn"])
        total = traced.total({n: each.expand(traced.shape) for n, each in kl.items()}).mean(0)
        likelihood = traced.log_likelihood.mean(0)
        return Terms(likelihood - total, likelihood - schedule.get("beta", self.beta) * total)

    @staticmethod
    def prior_and_entropy(groups: list[Site], prior: Any) -> Tensor:
        """sum_g H(q_g) + sum_g E[f_g] - log Z, (K, B), in nats."""
        q = [group["fn"].logits.sigmoid() for group in groups]
        nu = [group["fn"].smoothing.bits(group["fn"].logits, group["value"]) for group in groups]
        absent = [torch.zeros_like(each) for each in q]
        result: Tensor = -prior.log_z + sum(group["fn"].bit_entropy() for group in groups)
        for g in range(len(groups)):  # the terms of f whose last group is g
            given = [nu[:g], absent[g + 1 :]]
            result = result + prior.score(torch.cat([*given[0], q[g], *given[1]], -1))
            if g:
                result = result - prior.score(torch.cat([*given[0], *absent[g:]], -1))
        return result


def smoothed_sites(traced: PairTrace) -> list[str]:
    """The names of the guide's zeta, in its order."""
    return [name for name, site in traced.guide_sites.items() if isinstance(site["fn"], SmoothedBernoulli)]


def bits_site(traced: PairTrace, objective: Objective) -> str:
    """The name of z: a Boltzmann machine in the model, and the smoothed bits given zeta in the guide."""
    groups = smoothed_sites(traced)
    found = [n for n in traced.guide_sites if getattr(traced.model_sites[n]["fn"], "is_multilinear", False)]
    if not groups or len(found) != 1:
        raise ContractError(
            f"{objective!r} is for a site of bits, an RBM in the model, SmoothedBernoulli sites in the guide and then bits "
            f"given them; here are {len(found)} of the one and {len(groups)} of the others: use 'elbo' or 'iwae'."
        )
    fn = traced.guide_sites[found[0]]["fn"]
    sizes = [traced.guide_sites[n]["fn"].event_shape[0] for n in groups]
    if not (isinstance(fn, Independent) and isinstance(fn.base_dist, Bernoulli) and fn.event_shape == (sum(sizes),)):
        raise ContractError(f"site {found[0]!r} of the guide is {fn}; expected Bernoulli, of the {sum(sizes)} smoothed bits.")
    return found[0]


def refuse_other_sites(traced: PairTrace, name: str, groups: list[str], objective: Objective) -> None:
    """ContractError where a site of the guide is none of the formula's."""
    for enumerated in (*traced.enumerated, *traced.summed_out):
        raise ContractError(f"site {enumerated!r} is enumerated, and {objective!r} draws it; use 'elbo'.")
    for group in groups:
        r = traced.model_sites[group]["fn"]
        if not isinstance(r, SmoothedBits) or r.smoothing != traced.guide_sites[group]["fn"].smoothing:
            raise ContractError(f"site {group!r} of the model is {r}; expected SmoothedBits of the guide's smoothing.")
    for other in traced.sampled:
        if other not in (name, *groups):
            raise ContractError(
                f"site {other!r} is drawn without reparameterization, which {objective!r} cannot differentiate; use 'nvil'."
            )


def refuse_hard_bits(traced: PairTrace, name: str, groups: list[str], objective: Objective) -> None:
    """ContractError where z is not the bits given zeta, or where anything but zeta depends on it; looks at values."""
    sites = [traced.guide_sites[n] for n in groups]
    expected = torch.cat([site["fn"].posterior_logits(site["value"]) for site in sites], -1)
    if not torch.allclose(traced.guide_sites[name]["fn"].base_dist.logits, expected, rtol=1e-4, atol=1e-4):
        raise ContractError(
            f"the logits of site {name!r} are not those of the bits given {', '.join(groups)}, in this order; take them from "
            "SmoothedBernoulli.posterior_logits."
        )
    flipped = {**traced.latents, name: 1 - traced.latents[name]}
    assert traced.program is not None and traced.rerun is not None
    replayed = replay_trace(traced.guide, flipped)
    model = run_program(traced.program, traced.batch, traced.shape[0], replay=replayed)
    for program, before, again in (
        ("model", traced.model_sites, model),
        ("guide", traced.guide_sites, traced.rerun(flipped)),
    ):
        for other, site in sample_sites(again).items():
            if other in (name, *groups) or other not in before:
                continue
            value = before[other]["value"]
            one, two = log_density(before[other]["fn"], value), log_density(site["fn"], value)
            if not torch.allclose(one, two, rtol=1e-4, atol=1e-4):
                raise ContractError(
                    f"site {other!r} of the {program} depends on the bits {name!r}, and {objective!r} is for what sees "
                    f"{', '.join(groups)} alone; use 'vimco' or 'nvil'."
                )
