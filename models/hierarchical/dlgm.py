"""The deep latent Gaussian model: noise that enters at every layer on the way to the data."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["DLGM"]


class DLGM(nn.Module):
    """p(x, xi) = prod_l N(xi_l; 0, I) p(x | decoder(h_1)),   h_L = G_L xi_L,   h_l = T_l(h_l+1) + G_l xi_l.

    Latents are the noise xi_l, independent a priori, and not the layers h_l, whose priors would depend on one another.

    Sites: ``xiL``, ..., ``xi1``, (d,) each; ``x``, the shape of a datum.

    Args:
        enter: G_L, ..., G_1, from the uppermost down, (..., d) to (..., n).
        transform: T_L-1, ..., T_1, (..., n) to (..., n).
        decoder: h_1 to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.
        latent_dim: d.

    References: Rezende, Mohamed and Wierstra, Stochastic Backpropagation and Approximate Inference in Deep Generative Models,
    2014, Eq. (1) to (4).
    """

    def __init__(
        self,
        enter: Sequence[nn.Module],
        transform: Sequence[nn.Module],
        decoder: nn.Module,
        likelihood: nn.Module,
        latent_dim: int,
    ) -> None:
        super().__init__()
        self.enter, self.transform = nn.ModuleList(enter), nn.ModuleList(transform)
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        top, h = len(self.enter), None
        with pyro.plate("data", x.shape[0], dim=-1):
            for number, enter in enumerate(self.enter):
                xi = pyro.sample(f"xi{top - number}", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
                h = enter(xi) if h is None else self.transform[number - 1](h) + enter(xi)
            pyro.sample("x", self.likelihood(self.decoder(h)), obs=x)
