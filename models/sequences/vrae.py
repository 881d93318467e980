"""The variational recurrent autoencoder's generative model."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import AutoregressiveBernoulli, AutoregressiveGaussian
from pyrovae.nets import ContextRNN

__all__ = ["VRAE"]


class VRAE(nn.Module):
    """p(x, z) = N(z; 0, I) prod_t p(x_t | h_t), h_1 = tanh(W_z z + b_z), h_t+1 = tanh(W h_t + W_x x_t + b).

    One latent for a whole sequence, of which steps beyond ``lengths`` score nothing.

    Sites: ``z``, (d,); ``x``, (T, D).

    Args:
        network: z and x to the parameters of each step, (..., T, P).
        shape: T, D.
        family: the distribution of x, of bits or of real numbers.
        latent_dim: d.

    References: Fabius and van Amersfoort, Variational Recurrent Auto-Encoders, 2014.
    """

    def __init__(
        self,
        network: ContextRNN,
        shape: Sequence[int],
        family: type[AutoregressiveBernoulli] | type[AutoregressiveGaussian],
        latent_dim: int,
    ) -> None:
        super().__init__()
        self.network, self.shape, self.family, self.latent_dim = network, tuple(shape), family, latent_dim

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> None:
        """Run the model, p, on a batch of B data."""
        zeros = self.network.out.weight.new_zeros(self.latent_dim)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(zeros, 1.0).to_event(1))
            pyro.sample("x", self.family(self.network, self.shape, z, lengths), obs=x)
