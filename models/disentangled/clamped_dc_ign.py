"""DC-IGN as published: codes that a group does not vary in are clamped to one value of the group."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import codes_that_vary, float_zeros

__all__ = ["ClampedDCIGN"]


class ClampedDCIGN(nn.Module):
    """p(x, z) = prod_i N(z_i; 0, I) p(x_i | decoder(c_i)), i = 1..n data of a group, which is one datum.

        c_ij = z_ij where the group varies in code j, else (1/n) sum_i z_ij (the paper), or z_1j (its code)

    Sites: ``z``, (n, d); ``x``, (n, *shape).

    Args:
        decoder: (..., d) to the parameters of the likelihood of one of the group.
        likelihood: those parameters to a distribution of one of the group.
        latent_dim: d.
        clamp: "mean" or "first".

    References: Kulkarni, Whitney, Kohli and Tenenbaum, Deep Convolutional Inverse Graphics Network, 2015, Section 3.2.
    """

    quantity = "log p(x | varied)"  # what its evidence is of

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, clamp: str = "mean") -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim, self.clamp = decoder, likelihood, latent_dim, clamp

    def varies(self, varied: Tensor) -> Tensor:
        """Which codes a group varies in, (B, 1, d) of bool: the first F one factor each, the others those without a name."""
        return codes_that_vary(varied, self.latent_dim)

    def clamped(self, z: Tensor) -> Tensor:
        """The value of the group, (..., 1, d), of codes (..., n, d)."""
        return z[..., :1, :] if self.clamp == "first" else z.mean(-2, keepdim=True)

    def forward(self, x: Tensor, varied: Tensor) -> None:
        """Run the model, p, on a batch of B groups, (B, n, *shape), and what varies in them, (B, F + 1)."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, x.shape[1], self.latent_dim), 1.0).to_event(2))
            codes = torch.where(self.varies(varied), z, self.clamped(z))
            pyro.sample("x", self.likelihood(self.decoder(codes)).to_event(1), obs=x)
