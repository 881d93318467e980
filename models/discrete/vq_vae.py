"""The VQ-VAE's generative model: codewords at places, decoded."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions.codebook import Codebook, CodebookPrior

__all__ = ["VQVAE"]


class VQVAE(nn.Module):
    """p(x, z) = p(z) p(x | decoder(z)), z codewords at P places: p(z) = K^(-P Q) for Q quantizers, or learned for one.

    Sites: ``z``, (P, D); ``x``, the shape of a datum.

    Args:
        decoder: (..., P D) to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.
        codebook: the codewords, which the guide shares.
        num_places: P.
        prior: of the codewords' numbers, causal from (..., P, K) to (..., P, K); None for the uniform one.

    References: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017, Section 3.
    """

    def __init__(
        self,
        decoder: nn.Module,
        likelihood: nn.Module,
        codebook: Codebook,
        num_places: int,
        prior: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.prior = prior
        self.decoder, self.likelihood, self.codebook, self.num_places = decoder, likelihood, codebook, num_places

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", CodebookPrior(self.codebook, self.num_places, network=self.prior))
            pyro.sample("x", self.likelihood(self.decoder(z.flatten(-2))), obs=x)
