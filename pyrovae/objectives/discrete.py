"""Objectives for latents without reparameterization: VIMCO, reweighted wake-sleep, wake-sleep."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyrovae.core.joint import draw_once, refuse_reader
from pyrovae.core.keys import drawn_keys, write_values
from pyrovae.core.program import Program
from pyrovae.core.sites import Site, sample_sites
from pyrovae.core.trace import PairTrace, latents_trace, run_program, trace_pair
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import bounds
from pyrovae.objectives.importance import normalized_weights, sampled_score
from pyrovae.objectives.objective import Given, Objective, Terms, Update, Updates

__all__ = ["RWS", "VIMCO", "WakeSleep"]


class VIMCO(Objective):
    """The IWAE bound; each draw's score has as its signal what the draw adds to the bound of the others.

        grad = sum_k (L - L_-k) grad log q(z_k | x) + grad L,   L_-k by the geometric mean of the other weights

    Unbiased, without networks or parameters of its own. The value is a lower bound on log p(x), in nats per datum, (B,).

    Args:
        num_particles: K, at least 2.

    References: Mnih and Rezende, Variational Inference for Monte Carlo Objectives, 2016.
    """

    def __init__(self, num_particles: int = 50) -> None:
        self.require("num_particles", num_particles, at_least=2)
        super().__init__(num_particles)

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        log_weight, score = traced.log_weight, sampled_score(traced, self)
        bound = bounds.iwae(log_weight)
        if score is None:
            return Terms(bound, bound)
        signal = (bound - bounds.leave_one_out(log_weight)).detach()
        return Terms(bound, bound + (signal * score).sum(0))


class RWS(Objective):
    """Reweighted wake-sleep: the model follows the IWAE's gradient, the guide the inclusive KL(p(z | x) || q(z | x)).

        model: sum_k v_k grad log p(x, z_k),   guide (wake): sum_k v_k grad log q(z_k | x),   v = w / sum w
        guide (sleep): grad log q(z | x) at x, z drawn from the model

    No draw is differentiated, so that discrete and continuous sites are served alike. Programs must not share parameters. The
    value is the IWAE bound, a lower bound on log p(x), in nats per datum, (B,).

    Args:
        num_particles: K.
        sleep: share of the sleep phase in the guide's gradient, from 0 to 1.

    References: Bornschein and Bengio, Reweighted Wake-Sleep, 2015.
    """

    def __init__(self, num_particles: int = 50, sleep: float = 0.0) -> None:
        super().__init__(num_particles)
        if not 0 <= sleep <= 1:
            raise OptionError(f"sleep is {sleep!r}; expected a number from 0 to 1.")
        self.sleep = float(sleep)

    @property
    def weights(self) -> dict[str, float]:
        """The share of the sleep phase, where both phases are on."""
        return {"sleep": self.sleep} if 0 < self.sleep < 1 else {}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = trace_pair(given.model, given.guide, given.batches[batch], self.num_particles, through=detach_draw)
        return self.admit(given, traced)

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The wake phase: the bound, and the surrogate of the model and of the guide's share."""
        weights = normalized_weights(traced.log_terms)
        bound = self.of(traced.log_weight)
        log_q = traced.total(traced.log_q)
        log_p = traced.log_joint if traced.recycled else traced.total(traced.log_p)
        surrogate = (self.model_weights(weights) * log_p).flatten(0, -2).sum(0)
        if self.sleep < 1:
            surrogate = surrogate + (1 - schedule.get("sleep", self.sleep)) * (weights * log_q).flatten(0, -2).sum(0)
        return Terms(bound, surrogate)

    def updates(self, given: Given) -> Updates:
        """The updates, in the order that the class states."""
        traced = self.trace(given)
        dreams = dream(given.model, given.guide, given.batch) if self.sleep and torch.is_grad_enabled() else None
        bound, surrogate, state = self.terms(traced, given.schedule)
        if dreams is not None:
            surrogate = surrogate + given.schedule.get("sleep", self.sleep) * dreams
        yield Update("pair", -surrogate.mean(), bound)
        return {**state, **traced.next_state()}

    def of(self, log_weight: Tensor) -> Tensor:
        """The bound to report, (B,)."""
        return bounds.iwae(log_weight)

    def model_weights(self, weights: Tensor) -> Tensor:
        """The weight of each draw in the model's gradient."""
        return weights


class WakeSleep(RWS):
    """Wake-sleep: the model follows the ELBO's gradient, the guide log q(z | x) at dreams of the model.

        model (wake): (1/K) sum_k grad log p(x, z_k), z_k ~ q,   guide (sleep): grad log q(z | x) at (x, z) ~ p

    The value is the ELBO, a lower bound on log p(x), in nats per datum, (B,).

    Args:
        num_particles: K, over which the wake phase's mean is taken.

    References: Hinton, Dayan, Frey and Neal, The Wake-Sleep Algorithm, 1995.
    """

    def __init__(self, num_particles: int = 1) -> None:
        super().__init__(num_particles, sleep=1.0)

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace of K particles; refuses one that the estimator does not serve."""
        traced = super().trace(given, batch)
        if traced.log_terms.dim() > 2:
            raise ContractError(f"{self!r} draws its latent sites: take the marks for enumeration off, or use 'rws'.")
        return traced

    def of(self, log_weight: Tensor) -> Tensor:
        """The bound, (B,), in nats, of log weights, (K, B)."""
        return bounds.elbo(log_weight)

    def model_weights(self, weights: Tensor) -> Tensor:
        """The weight of each draw in the model's gradient, the shape of ``weights``."""
        return torch.full_like(weights, 1 / self.num_particles)


def detach_draw(site: Site) -> Tensor:
    """A draw without its path."""
    value: Tensor = site["value"]
    return value.detach()


def dream(model: Program, guide: Program, batch: Mapping[str, Tensor]) -> Tensor:
    """log q(z | x), (B,), at one draw (x, z) ~ p of the batch's size: the sleep phase."""
    refuse_reader(model, batch, "the sleep phase")
    sources = drawn_keys(model, batch, given=batch)
    if unread := [name for name, source in sources.items() if source.places is None]:
        raise ContractError(f"the sleep phase draws {unread[0]!r}, which is no key's part as it is; take sleep=0.")
    with torch.no_grad():
        drawn = {name: site["value"] for name, site in draw_once(model, batch, {}).items()}
    latents = {name: value for name, value in drawn.items() if name not in sources}
    guide_sites = sample_sites(run_program(guide, write_values(batch, sources, drawn), replay=latents_trace(latents)))
    scores = [site["fn"].log_prob(site["value"]) for site in guide_sites.values() if not site["is_observed"]]
    return torch.stack(scores).sum(0)
