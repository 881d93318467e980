"""Probabilistic PCA and factor analysis: the model whose every quantity is known in closed form."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import FactorAnalysis

__all__ = ["LinearGaussian"]


class LinearGaussian(nn.Module):
    """p(x, z) = N(z; 0, I_d) N(x; W z + m, Psi).

    Sites: ``z``, (d,); ``x``, the shape of a datum (flattened to D dimensions inside).

    Args:
        parameters: W, m and Psi.

    References: Tipping and Bishop, Probabilistic Principal Component Analysis, 1999, Eq. (2).
    """

    def __init__(self, parameters: FactorAnalysis) -> None:
        super().__init__()
        self.law = parameters  # saved runs call the parameters law.weight, law.loc and law.log_scale

    @property
    def factor_analysis(self) -> FactorAnalysis:
        """W, (D, d), m, (D,), and Psi."""
        return self.law

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        shape = x.shape[1:]
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(self.factor_analysis.weight.shape[1]), 1.0).to_event(1))
            loc = (z @ self.factor_analysis.weight.T + self.factor_analysis.loc).unflatten(-1, shape)
            pyro.sample("x", dist.Normal(loc, self.factor_analysis.scale.reshape(shape)).to_event(len(shape)), obs=x)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x), (B,), exact, in nats."""
        return self.factor_analysis.log_evidence(x.flatten(1))
