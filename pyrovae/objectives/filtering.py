"""Filtering variational objectives: the bound of a particle filter over the steps of a sequence."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pyrovae.core.particles import ParticleFilter, check_threshold
from pyrovae.core.step_run import trace_steps
from pyrovae.core.step_trace import StepTrace
from pyrovae.core.trace import PairTrace
from pyrovae.objectives.objective import Given, Objective, Terms, refuse_sampled

__all__ = ["FIVO"]


class FIVO(Objective):
    """The bound of a particle filter of K particles over a pair in steps; a lower bound on log p(x), in nats per datum, (B,).

        L_FIVO = E[log p-hat(x_1:T)],   log p-hat = sum over resamplings, and the end, of log (1/K) sum_k w_k

    w_k is the product of a particle's step weights p(z_t, x_t | ...) / q(z_t | ...) since the last resampling, which happens
    where (sum w)^2 / sum w^2 < threshold K. p-hat is unbiased, and its variance grows with T, where that of the IWAE's grows
    exponentially. The gradient goes through weights and states, not through the choice of ancestors (as in the paper), so that
    it is that of the bound up to that term. Pairs are those of :func:`~pyrovae.unroll`; latent sites are reparameterized.

    Args:
        num_particles: K.
        threshold: share of effective particles under which a datum's particles are resampled; 0 never does: the IWAE bound.

    References: Maddison et al., Filtering Variational Objectives, 2017, Eq. (6) and Algorithm 1.
    """

    def __init__(self, num_particles: int = 4, threshold: float = 0.5) -> None:
        super().__init__(num_particles)
        check_threshold(threshold)
        self.threshold = threshold

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The steps of K particles that are resampled between them; refuses a pair that is not in steps."""
        between = ParticleFilter(self.threshold)
        traced = trace_steps(given.model, given.guide, given.batches[batch], self.num_particles, between)
        assert isinstance(traced, StepTrace)
        traced.between = between
        return self.admit(given, traced)

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound, which is differentiated, (B,), in nats per datum."""
        assert isinstance(traced, StepTrace)
        refuse_sampled(traced, self, "use 'elbo', 'vimco' or 'iwae'")
        bound = traced.between.log_evidence
        return Terms(bound, bound)
