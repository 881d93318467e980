"""What trains autoencoders without a density: the log joint at the code."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pyrovae.core.trace import PairTrace
from pyrovae.distributions import Flat
from pyrovae.errors import ContractError
from pyrovae.objectives.objective import Objective, Terms, refuse_sampled

__all__ = ["Energy"]


class Energy(Objective):
    """Minus the energy of x, in nats per datum, (B,): the reconstruction of an autoencoder, **no** bound on log p(x).

        -energy(x) = E_q[log p(x | z) + log p(z)]

    Of a deterministic encoder log p(x, z) at z = f(x), with log p(z) = 0 where the model has no prior. A Laplace prior is an
    L1 penalty of the code, a Gaussian one a quadratic penalty (maximum a posteriori, amortized). The ELBO has -E_q[log q]
    beside it, which is infinite for a point. ``beta`` weighs log p(z), which changes what is trained and not what is reported.

    Args:
        num_particles: K, over which the mean is taken; one does where the encoder is deterministic.
        beta: weight of log p(z).
    """

    bound = "none"

    def __init__(self, num_particles: int = 1, beta: float = 1.0) -> None:
        super().__init__(num_particles)
        self.require_weight("beta", beta)
        self.beta = beta

    @property
    def weights(self) -> dict[str, float]:
        """That of log p(z), where it is on."""
        return {} if self.beta == 1 else {"beta": self.beta}

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        refuse_sampled(traced, self, "use 'elbo', or enumerate it")
        value = traced.expect(traced.log_joint).mean(0)
        if self.beta == 1:
            return Terms(value, value)
        if traced.summed_out or all(isinstance(traced.model_sites[name]["fn"], Flat) for name in traced.latents):
            what = "a site that is summed out" if traced.summed_out else "no prior of its latent sites"
            raise ContractError(f"the model has {what}, whose log p(z) beta={self.beta:g} cannot weigh; leave beta at 1.")
        prior = traced.total({name: traced.log_p[name] for name in traced.latents})
        weighted = traced.log_likelihood + schedule.get("beta", self.beta) * prior
        return Terms(value, traced.expect(weighted).mean(0))
