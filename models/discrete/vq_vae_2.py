"""The VQ-VAE-2's generative model: codewords of a coarse grid, those of a fine one given them, and x given both."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
from torch import Tensor, nn

from pyrovae.distributions.codebook import Codebook, CodebookPrior

__all__ = ["VQVAE2"]


class VQVAE2(nn.Module):
    """p(x, z1, z2) = p(z2) p(z1 | z2) p(x | decoder(z1, z2)), z2 codewords of the top grid, z1 of the bottom one.

    The priors are uniform, K^-(P1 Q) and K^-(P2 Q) for Q quantizers of a codebook, or learned for one.

    Sites: ``z2``, (P2, D); ``z1``, (P1, D); ``x``, the shape of a datum.

    Args:
        decoder: z1 and z2, (..., P1 D) and (..., P2 D), to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.
        codebooks: of z1 and of z2, which the guide shares.
        num_places: P1, P2.
        priors: of the codewords' numbers, causal from (..., P1, K) and z2 as context, (..., P2 D), to (..., P1, K), and from
            (..., P2, K) to (..., P2, K); None for the uniform ones.

    References: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019, Section 3.
    """

    def __init__(
        self,
        decoder: nn.Module,
        likelihood: nn.Module,
        codebooks: Sequence[Codebook],
        num_places: tuple[int, int],
        priors: tuple[nn.Module, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.bottom_prior, self.top_prior = (None, None) if priors is None else priors
        self.decoder, self.likelihood, self.num_places = decoder, likelihood, num_places
        self.codebooks = nn.ModuleList(codebooks)

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        bottom, top = self.codebooks
        with pyro.plate("data", x.shape[0], dim=-1):
            z2 = pyro.sample("z2", CodebookPrior(top, self.num_places[1], network=self.top_prior)).flatten(-2)
            context = None if self.bottom_prior is None else z2
            prior = CodebookPrior(bottom, self.num_places[0], network=self.bottom_prior, context=context)
            z1 = pyro.sample("z1", prior).flatten(-2)
            pyro.sample("x", self.likelihood(self.decoder(z1, z2)), obs=x)
