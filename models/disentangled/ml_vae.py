"""The multi-level VAE's generative model: data of a group share a content, and each has a style."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["MLVAE"]


class MLVAE(nn.Module):
    """p(x, c, s) = N(c; 0, I) prod_i N(s_i; 0, I) p(x_i | decoder(c, s_i)), i = 1..n data of a group, which is one datum.

    Sites: ``c``, (d_c,); ``s``, (n, d_s); ``x``, (n, *shape).

    Args:
        decoder: (..., d_c + d_s) to the parameters of the likelihood of one of the group.
        likelihood: those parameters to a distribution of one of the group.
        content_dim: d_c.
        style_dim: d_s.

    References: Bouchacourt, Tomioka and Nowozin, Multi-Level Variational Autoencoder, 2018, Section 3; Hosoya, Group-based
    Learning of Disentangled Representations, 2019.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, content_dim: int, style_dim: int) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood
        self.content_dim, self.style_dim = content_dim, style_dim

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B groups, (B, n, *shape)."""
        size = x.shape[1]
        with pyro.plate("data", x.shape[0], dim=-1):
            c = pyro.sample("c", dist.Normal(float_zeros(x, self.content_dim), 1.0).to_event(1))
            s = pyro.sample("s", dist.Normal(float_zeros(x, size, self.style_dim), 1.0).to_event(2))
            shared = c.unsqueeze(-2).expand(*c.shape[:-1], size, self.content_dim)
            lead = torch.broadcast_shapes(shared.shape[:-1], s.shape[:-1])
            z = torch.cat([shared.expand(*lead, -1), s.expand(*lead, -1)], -1)
            pyro.sample("x", self.likelihood(self.decoder(z)).to_event(1), obs=x)
