"""A Gaussian posterior with correlations between the latent dimensions."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

__all__ = ["FullRankGaussian"]


class FullRankGaussian(nn.Module):
    """q(z | x) = N(z; loc(x), L(x) L(x)'), L lower triangular with a positive diagonal.

    Site: ``z``, (d,).

    Args:
        encoder: x to (..., d + d(d+1)/2): the means, then the rows of L up to the diagonal, whose entries are logarithms.
        latent_dim: d.

    References: Kingma and Welling, An Introduction to Variational Autoencoders, 2019, Section 2.5.1.
    """

    def __init__(self, encoder: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.encoder, self.latent_dim = encoder, latent_dim
        self.register_buffer("rows_columns", torch.tril_indices(latent_dim, latent_dim), persistent=False)

    @staticmethod
    def num_features(latent_dim: int) -> int:
        """How many features the encoder must give."""
        return latent_dim + latent_dim * (latent_dim + 1) // 2

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        features = self.encoder(x)
        loc, entries = features[..., : self.latent_dim], features[..., self.latent_dim :]
        lower = entries.new_zeros(*entries.shape[:-1], self.latent_dim, self.latent_dim)
        lower[..., self.rows_columns[0], self.rows_columns[1]] = entries
        scale_tril = lower.tril(-1) + torch.diag_embed(lower.diagonal(dim1=-2, dim2=-1).exp())
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.MultivariateNormal(loc, scale_tril=scale_tril))
