"""The ladder VAE's generative model: a Markov chain of Gaussian layers down to the data."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros, loc_and_scale

__all__ = ["LadderVAE"]


class LadderVAE(nn.Module):
    """p(x, z) = N(z_L; 0, I) prod_l N(z_l; loc_l(z_l+1), diag scale_l(z_l+1)^2) p(x | decoder(z_1)).

    Sites: ``zL``, ..., ``z1``, (d_l,); ``x``, the shape of a datum.

    Args:
        top_down: from the uppermost down, z_l+1 to (..., 2 d_l), for :func:`~pyrovae.nets.loc_and_scale`; the guide shares it.
        decoder: z_1 to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.
        latent_dim: d_L.

    References: Sonderby, Raiko, Maaloe, Sonderby and Winther, Ladder Variational Autoencoders, 2016, Section 2.
    """

    def __init__(self, top_down: Sequence[nn.Module], decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.top_down = nn.ModuleList(top_down)
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        top = len(self.top_down) + 1
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample(f"z{top}", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            for level, layer in zip(range(top - 1, 0, -1), self.top_down, strict=True):
                z = pyro.sample(f"z{level}", dist.Normal(*loc_and_scale(layer(z))).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
