"""The exact posterior of the linear-Gaussian model."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import FactorAnalysis

__all__ = ["LinearGaussian"]


class LinearGaussian(nn.Module):
    """q(z | x) = p(z | x) = N(M^-1 W' Psi^-1 (x - m), M^-1), M = I + W' Psi^-1 W: the ELBO equals log p(x).

    Site: ``z``, (d,).

    Args:
        parameters: the W, m and Psi of the model, the same module that the model holds.

    References: Tipping and Bishop, Probabilistic Principal Component Analysis, 1999, Eq. (6).
    """

    def __init__(self, parameters: FactorAnalysis) -> None:
        super().__init__()
        self.law = parameters  # saved runs call the parameters law.weight, law.loc and law.log_scale

    @property
    def factor_analysis(self) -> FactorAnalysis:
        """W, (D, d), m, (D,), and Psi."""
        return self.law

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, scale_tril = self.factor_analysis.posterior(x.flatten(1))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.MultivariateNormal(loc, scale_tril=scale_tril))
