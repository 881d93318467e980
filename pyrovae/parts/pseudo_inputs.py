"""The VampPrior of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from pyrovae.distributions.vampprior import RANGES, PseudoInputs, VampPrior
from pyrovae.parts.options import Options

__all__ = ["PseudoInputOptions"]


@dataclass(frozen=True, kw_only=True)
class PseudoInputOptions(Options):
    """Pseudo-inputs that start at noise; to start them at M data: ``pair.model.prior.pseudo_inputs.start_at(x)``.

    Attributes:
        pseudo_inputs: M, how many there are (K in the paper).
        pseudo_range: what keeps them in [0, 1]: by default hardtanh, as in the paper, or none for real data.
        pseudo_mean: of the normal distribution from which their pixels start (the paper's for MNIST).
        pseudo_std: of that distribution.
    """

    pseudo_inputs: int = 500
    pseudo_range: Literal[RANGES] | None = None  # type: ignore[valid-type]
    pseudo_mean: float = 0.05
    pseudo_std: float = 0.01

    def prior(self, encoder: nn.Module) -> VampPrior:
        """p(z) = (1/M) sum_m q(z | u_m), q the guide's Gaussian of this encoder."""
        bounds = self.pseudo_range or ("none" if self.spec.kind == "real" else "hardtanh")
        return VampPrior(encoder, PseudoInputs(self.pseudo_inputs, self.spec.shape, bounds, self.pseudo_mean, self.pseudo_std))
