"""Sticking the landing: the ELBO without the score of log q in its gradient."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pyrovae.core.trace import PairTrace
from pyrovae.objectives import bounds
from pyrovae.objectives.elbo import ELBO
from pyrovae.objectives.objective import Terms, refuse_sampled

__all__ = ["STL", "score_terms"]


class STL(ELBO):
    """The ELBO without the score of log q in its gradient ("sticking the landing"): no variance at q = p(z | x).

        gradient for the guide = (1/K) sum_k (d log w_k / d z_k) grad z_k,   w_k = p(x, z_k) / q(z_k | x)

    Its value is the ELBO, a lower bound on log p(x), in nats per datum, (B,). Every latent site must be reparameterized or
    enumerated.

    Args:
        num_particles: K, over which the mean is taken.

    References: Roeder, Wu and Duvenaud, Sticking the Landing, 2017.
    """

    weights_kl = False
    takes_guide_factors = False
    weights: dict[str, float] = {}  # none of the ELBO's

    def __init__(self, num_particles: int = 1) -> None:
        super().__init__(num_particles)

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        refuse_sampled(traced, self, "use 'elbo'")
        score = score_terms(traced)
        entropy = traced.total(traced.log_q) - (score - score.detach())
        bound = bounds.elbo(traced.expect(traced.log_joint - traced.total(traced.log_q)))
        return Terms(bound, bounds.elbo(traced.expect(traced.log_joint - entropy)))


def score_terms(traced: PairTrace) -> Tensor:
    """Sum of log q of the reparameterized sites at detached draws, (K, B): its gradient is the score alone."""
    seen = traced.latents if traced.seen is None else traced.seen
    scores = traced.guide_scores({name: value.detach() for name, value in seen.items()})
    return traced.total({n: s for n, s in scores.items() if n not in traced.enumerated})
