"""The Gumbel-softmax objective: a relaxed reconstruction, and the KL of the discrete distributions in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from pyrovae.core.layout import settle_particles
from pyrovae.core.trace import PairTrace
from pyrovae.distributions.supports import is_discrete
from pyrovae.effects.relaxed import Relaxation, Relaxed
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import bounds
from pyrovae.objectives.objective import Given, Objective, Terms

__all__ = ["GumbelKL"]


class GumbelKL(Objective):
    """Reconstruction by Gumbel-softmax values, KL of the discrete distributions: in nats per datum, (B,), **no** bound.

        E[log p(x | y)] - beta sum over sites of KL(q(z | x) || p(z)),   y = softmax((log q + Gumbel noise) / T)

    The two terms belong to different models, so that their difference is a bound on neither's log p(x). Without gradients it
    is the ELBO of the pair as it is. Sites that are not discrete count with their sampled KL.

    Args:
        num_particles: K, over which the mean is taken.
        temperature: T; scheduled by Jang et al.
        beta: weight of the KL.

    References: Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017, Section 4 and appendix.
    """

    bound = "estimate"
    relaxes = True
    weights_kl = True

    def __init__(self, num_particles: int = 1, temperature: float = 0.5, beta: float = 1.0) -> None:
        super().__init__(num_particles)
        self.require_weight("temperature", temperature)
        self.require_weight("beta", beta)
        if temperature == 0:
            raise OptionError(f"temperature is {temperature!r}; expected a positive number.")
        self.temperature, self.beta = temperature, beta

    @property
    def weights(self) -> dict[str, float]:
        """The temperature, and the weight of the KL."""
        return {"temperature": self.temperature, "beta": self.beta}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles, discrete sites soft where gradients are wanted."""
        if not torch.is_grad_enabled():
            traced = super().trace(given, batch)
            if not any(is_discrete(site["fn"]) for site in traced.guide_sites.values()):
                raise ContractError(f"no latent site of the guide is discrete, so {self!r} has nothing to do: use 'elbo'.")
            return traced
        settle_particles(given.model, given.guide, given.batches[batch])
        how = Relaxation("gumbel", given.schedule.get("temperature", self.temperature), 1.0)
        model, guide = (Relaxed(program, how, how.temperature) for program in (given.model, given.guide))
        return super().trace(replace(given, model=model, guide=guide), batch)

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """What is reported and what is differentiated, (B,) each, in nats per datum."""
        if not torch.is_grad_enabled():
            bound = bounds.elbo(traced.log_weight)
            return Terms(bound, bound)
        kl = {name: self.kl(traced, name) for name in traced.guide_sites}
        total, likelihood = traced.total(kl).mean(0), traced.log_likelihood.mean(0)
        return Terms(likelihood - total, likelihood - schedule.get("beta", self.beta) * total)

    @staticmethod
    def kl(traced: PairTrace, name: str) -> Tensor:
        """The KL of a site, (K, B), in closed form where there is one."""
        try:
            return traced.site_kl(name).expand(traced.shape)
        except NotImplementedError:
            return traced.log_q[name] - traced.log_p[name]
