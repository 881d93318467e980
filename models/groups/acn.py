"""The associative compression network's generative model: a code given the code of another datum."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import NeighbourPrior

__all__ = ["ACN"]


class ACN(nn.Module):
    """p(x, z) = p(z) p(x | decoder(z)), p(z) = (1/N) sum_n p(z | c_n) over the codes c_n of all training data but x itself.

    Sites: ``z``, (d,); ``x``, the shape of a datum.

    Args:
        decoder: (..., d) to what the likelihood takes.
        likelihood: that to a distribution of x.
        prior: of z, given the batch.

    References: Graves, Menick and van den Oord, Associative Compression Networks for Representation Learning, 2018.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, prior: NeighbourPrior) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.prior = decoder, likelihood, prior

    def forward(self, x: Tensor, row: Tensor | None = None) -> None:
        """Run the model, p, on a batch of B data."""
        prior = self.prior(x, row)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", prior)
            pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
