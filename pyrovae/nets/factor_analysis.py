"""The parameters of probabilistic PCA and factor analysis, with every consequence in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyrovae.errors import OptionError

__all__ = ["FactorAnalysis"]


class FactorAnalysis(nn.Module):
    """z ~ N(0, I_d), x | z ~ N(W z + m, Psi), with every consequence in closed form.

    W is (D, d), m is (D,), Psi = s^2 I (probabilistic PCA) or a free diagonal (factor analysis). One such module is given
    to both programs of a linear-Gaussian pair, so that its parameters count once.

    References: Tipping and Bishop, Probabilistic Principal Component Analysis, 1999, Eq. (2) and (6).
    """

    def __init__(self, latent_dim: int, data_dim: int, noise: str = "shared") -> None:
        super().__init__()
        if noise not in ("shared", "diagonal"):
            raise OptionError(f"noise is {noise!r}; expected 'shared' (probabilistic PCA) or 'diagonal' (factor analysis).")
        self.weight = nn.Parameter(torch.randn(data_dim, latent_dim) / latent_dim**0.5)
        self.loc = nn.Parameter(torch.zeros(data_dim))
        self.log_scale = nn.Parameter(torch.zeros(() if noise == "shared" else (data_dim,)))

    @property
    def scale(self) -> Tensor:
        """Psi^(1/2)'s diagonal, (D,)."""
        return self.log_scale.exp().expand(self.loc.shape)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (..., d) and Cholesky factor (d, d) of p(z | x) = N(M^-1 W' Psi^-1 (x - m), M^-1), M = I + W' Psi^-1 W."""
        scaled = self.weight / self.scale.square().unsqueeze(-1)
        precision = torch.eye(self.weight.shape[1], dtype=x.dtype, device=x.device) + self.weight.T @ scaled
        covariance = torch.cholesky_inverse(torch.linalg.cholesky(precision))
        return (x - self.loc) @ scaled @ covariance, torch.linalg.cholesky(covariance)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) = log N(x; m, W W' + Psi), (...,), exact, in nats."""
        variance = self.scale.square()
        return torch.distributions.LowRankMultivariateNormal(self.loc, self.weight, variance).log_prob(x)
