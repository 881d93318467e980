"""What trains autoencoders without a density: the log joint at the code."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pyrovae.core.trace import PairTrace
from pyrovae.objectives.objective import Objective, Terms, refuse_sampled

__all__ = ["Energy"]


class Energy(Objective):
    """Minus the energy of x, in nats per datum, (B,): the reconstruction of an autoencoder, **no** bound on log p(x).

        -energy(x) = E_q[log p(x | z) + log p(z)]

    Of a deterministic encoder log p(x, z) at z = f(x), with log p(z) = 0 where the model has no prior. A Laplace prior is an
    L1 penalty of the code, a Gaussian one a quadratic penalty (maximum a posteriori, amortized). The ELBO has -E_q[log q]
    beside it, which is infinite for a point.

    Args:
        num_particles: K, over which the mean is taken; one does where the encoder is deterministic.
    """

    bound = "none"

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        refuse_sampled(traced, self, "use 'elbo', or enumerate it")
        value = traced.expect(traced.log_joint).mean(0)
        return Terms(value, value)
