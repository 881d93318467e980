"""The factorized VAE's generative model: entries of a table, each about the product of factors of its row and its column."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.distributions import SharedNormal

__all__ = ["FVAE"]

START = 0.1  # spread of the factors


class FVAE(nn.Module):
    """p(x_it, z_it | U, V) = N(z_it; U_i * V_t, s^2 I) p(x_it | decoder(z_it)),   U_i, V_t ~ N(0, I), of rows and columns.

    An entry of the table is one datum, and which of them are missing is no matter. U and V are points, whose prior objective
    ``map`` adds once for all data. With s small beside the spread of the products the codes are held to these. Scale and sign
    of a dimension may go from U to V: compare them by their correlations with known factors, not by their values.

    Sites: ``z``, (d,); ``x``, the shape of an entry.

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x.
        size: rows and columns of the table.
        latent_dim: d.
        noise: s.

    References: Deng et al., Factorized Variational Autoencoders for Modeling Audience Reactions to Movies, 2017.
    """

    def __init__(
        self, decoder: nn.Module, likelihood: nn.Module, size: tuple[int, int], latent_dim: int, noise: float
    ) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.noise = decoder, likelihood, noise
        # near 1, a product is at first the sum of what its two sides differ by
        self.rows, self.columns = (nn.Parameter(1 + START * torch.randn(num, latent_dim)) for num in size)

    def log_prior(self) -> Tensor:
        """log p(U, V), 0-d, in nats."""
        normal = dist.Normal(self.rows.new_zeros(()), 1.0)
        total: Tensor = normal.log_prob(self.rows).sum() + normal.log_prob(self.columns).sum()
        return total

    def expected(self, row: Tensor, column: Tensor) -> Tensor:
        """U_i * V_t, (B, d), of entries by their row and column, (B,) each, seen or not."""
        return self.rows[row] * self.columns[column]

    def forward(self, x: Tensor, row: Tensor, column: Tensor) -> None:
        """Run the model, p, on a batch of B entries."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", SharedNormal(self.expected(row, column), self.noise).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
