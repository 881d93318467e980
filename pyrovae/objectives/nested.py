"""The bound whose prior is itself an integral: several draws of its latent inside each draw of the code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyrovae.core.program import Program
from pyrovae.core.run import run_program
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import PairTrace, trace_pair
from pyrovae.errors import ContractError, nearest
from pyrovae.objectives import bounds
from pyrovae.objectives.objective import Given, Objective, Terms, refuse_sampled

__all__ = ["Nested"]


class _Repeated(Messenger):
    """The draws of one site are K' times as many, in a dimension left of all others."""

    def __init__(self, site: str, size: int) -> None:
        super().__init__()
        self.site, self.size = site, size

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == self.site and not msg["is_observed"]:
            msg["fn"] = msg["fn"].expand((self.size, *msg["fn"].batch_shape))


@dataclass
class _NestedTrace(PairTrace):
    """A trace in which one site has K' draws, (K', K, B), over which its weights are averaged inside the logarithm."""

    nested: str = ""

    @cached_property
    def enumerated(self) -> list[str]:
        """The nested site, whose scores have a dimension of their own as those of an enumerated one."""
        return [self.nested]

    @cached_property
    def log_terms(self) -> Tensor:
        """log p(x, z, zeta_k') - log q(z | x) - log q(zeta_k' | z) - log K', (K', K, B)."""
        terms = self._total_log_p - self.total(self.log_q)
        return terms - math.log(len(self.latents[self.nested]))


class Nested(Objective):
    """The ELBO whose prior int p(z | zeta) p(zeta) dzeta is estimated by K' draws: a lower bound on log p(x), in nats, (B,).

        L = E_q(z|x)[ log p(x | z) - beta (log q(z | x) - log (1/K') sum_k p(z | zeta_k) p(zeta_k) / q(zeta_k | z)) ]

    with zeta_k ~ q(zeta | z), and beta = 1 in what is reported. It rises with K', from the pair's ELBO at K' = 1 to that of
    the marginal prior. zeta is what the guide draws last; the decoder runs once for each z. All sites must be reparameterized.

    Args:
        site: zeta; by default the guide's last latent site.
        num_nested: K'.
        num_particles: K, of z, over which the mean is taken.
        beta: weight of the KL; it may be scheduled.

    References: Klushyn, Chen, Kurle, Cseke and van der Smagt, Learning Hierarchical Priors in VAEs, 2019, Eq. (6) to (8).
    """

    weights_kl = True

    def __init__(self, site: str | None = None, num_nested: int = 16, num_particles: int = 1, beta: float = 1.0) -> None:
        super().__init__(num_particles)
        self.require("num_nested", num_nested, at_least=1)
        self.require_weight("beta", beta)
        self.site, self.num_nested, self.beta = site, num_nested, beta
        self._last: tuple[Program, str] | None = None

    @property
    def weights(self) -> dict[str, float]:
        """beta."""
        return {"beta": self.beta}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """Trace the pair with K' draws of the nested site; refuses sites that depend on them."""
        site, keys = self._site(given.guide, given.batches[batch]), given.batches[batch]
        with _Repeated(site, self.num_nested):
            traced = trace_pair(given.model, given.guide, keys, self.num_particles)
        parts = {each.name: getattr(traced, each.name) for each in fields(traced)}
        made = _NestedTrace(**parts, nested=site)
        if traced.enumerated or traced.summed_out:
            raise ContractError(f"{self!r} takes no enumerated sites; use 'iwae', whose weights sum them out.")
        for name, value in made.latents.items():
            if name != site and value.dim() > len(made.shape) + made.guide_sites[name]["fn"].event_dim:
                raise ContractError(
                    f"site {name!r} of the guide depends on {site!r}, of which the nested bound has several draws;"
                    " draw the nested site last."
                )
        return self.admit(given, made)

    def _site(self, guide: Program, batch: Mapping[str, Tensor]) -> str:
        """The nested site; OptionError where the guide has none of its name."""
        if self._last is None or self._last[0] is not guide:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                sites = sample_sites(run_program(guide, batch))
            latents = [name for name, site in sites.items() if not site["is_observed"]]
            if not latents or self.site not in (None, *latents):
                raise nearest("latent site", str(self.site), latents)
            self._last = guide, self.site or latents[-1]
        return self._last[1]

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        refuse_sampled(traced, self, "use 'elbo'")
        bound, beta = traced.log_weight, schedule.get("beta", self.beta)
        if isinstance(beta, float | int) and beta == 1:
            return Terms(bounds.elbo(bound), bounds.elbo(bound))
        likelihood = traced.log_likelihood
        if likelihood.dim() > 2:
            raise ContractError(
                f"what is observed depends on the nested site of {self!r}, so its KL has no weight; leave out beta."
            )
        return Terms(bounds.elbo(bound), bounds.elbo(likelihood + beta * (bound - likelihood)))
