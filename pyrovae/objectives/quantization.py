"""The objective of the VQ-VAE: a bound, and an encoder that stays near its codewords."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyrovae.core.trace import PairTrace
from pyrovae.distributions.codebook import Quantized
from pyrovae.errors import ContractError
from pyrovae.objectives import bounds
from pyrovae.objectives.objective import Given, Objective, Terms

__all__ = ["VQ"]


class VQ(Objective):
    """The bound of a VQ-VAE less the commitment of its encoder; a lower bound on log p(x), in nats per datum, (B,).

        log p(x | z) + log p(z) - beta ||e(x) - sg(z)||^2,   z the codewords nearest to e(x)

    The first two terms are reported: they are a lower bound on log p(x) since q has all its mass on one of the values of a
    discrete z. Codewords follow by moving averages (:class:`~pyrovae.distributions.Codebook`), the decoder's gradient goes
    straight through to the encoder, and the commitment is read off the guide's site: nothing is stopped in the programs.

    Args:
        beta: weight of the commitment.

    References: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017, Eq. (3) and appendix A.1.
    """

    def __init__(self, beta: float = 0.25) -> None:
        super().__init__(1)
        self.require_weight("beta", beta)
        self.beta = beta

    @property
    def weights(self) -> dict[str, float]:
        """The weight of the commitment."""
        return {"beta": self.beta}

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """The pair's trace; refuses one without codewords."""
        traced = super().trace(given, batch)
        if not any(isinstance(site["fn"], Quantized) for site in traced.guide_sites.values()):
            raise ContractError(
                f"{self!r} is for guides whose site is drawn from a codebook (pyrovae.distributions.Quantized), and none of "
                f"{', '.join(traced.guide_sites)} is; use 'elbo'."
            )
        return traced

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and what is differentiated, (B,) each, in nats per datum."""
        bound = bounds.elbo(traced.log_weight)
        quantized = [site["fn"] for site in traced.guide_sites.values() if isinstance(site["fn"], Quantized)]
        commitment = torch.stack([fn.commitment.expand(traced.shape).mean(0) for fn in quantized]).sum(0)
        return Terms(bound, bound - schedule.get("beta", self.beta) * commitment)
