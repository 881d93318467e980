"""The exemplar VAE's generative model: its prior has a component at the code of every training datum."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import ExemplarPrior

__all__ = ["ExemplarVAE"]


class ExemplarVAE(nn.Module):
    """p(x, z) = p(z) p(x | decoder(z)), p(z) the mean of Gaussians at the codes of all training data but x itself.

    Sites: ``z``, (d,); ``x``, the shape of a datum.

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        prior: of z, given the batch.

    References: Norouzi, Fleet and Norouzi, Exemplar VAE, 2020, Eq. (6) and (7).
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, prior: ExemplarPrior) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.prior = decoder, likelihood, prior

    def forward(self, x: Tensor, neighbours: Tensor | None = None, row: Tensor | None = None) -> None:
        """Run the model, p, on a batch of B data."""
        prior = self.prior(x, neighbours, row)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", prior)
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
