"""DC-IGN's generative model of groups: what varies in a group is drawn for each of its data, all else once."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import codes_that_vary, float_zeros

__all__ = ["DCIGN"]


class DCIGN(nn.Module):
    """p(x, z, v) = N(z; 0, I) prod_i N(v_i; 0, I) p(x_i | decoder(c_i)), i = 1..n data of a group, which is one datum.

        c_ij = v_ij where the group varies in code j, else z_j

    The codes of z that vary, and those of v that do not, are of no effect.

    Sites: ``z``, (d,); ``v``, (n, d); ``x``, (n, *shape).

    Args:
        decoder: (..., d) to the parameters of the likelihood of one of the group.
        likelihood: those parameters to a distribution of one of the group.
        latent_dim: d.

    References: Kulkarni, Whitney, Kohli and Tenenbaum, Deep Convolutional Inverse Graphics Network, 2015, Section 3.2, as a
    model whose bound exists; its own rule of gradients is :class:`~pyrovae.models.ClampedDCIGN`.
    """

    quantity = "log p(x | varied)"  # what its evidence is of

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim

    def forward(self, x: Tensor, varied: Tensor) -> None:
        """Run the model, p, on a batch of B groups, (B, n, *shape), and what varies in them, (B, F + 1)."""
        size = x.shape[1]
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            v = pyro.sample("v", dist.Normal(float_zeros(x, size, self.latent_dim), 1.0).to_event(2))
            codes = torch.where(codes_that_vary(varied, self.latent_dim), v, z.unsqueeze(-2))
            pyro.sample("x", self.likelihood(self.decoder(codes)).to_event(1), obs=x)
