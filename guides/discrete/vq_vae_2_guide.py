"""The VQ-VAE-2's guide: the codewords of a coarse grid, and those of a fine one given them and the encoding."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
from torch import Tensor, nn

from pyrovae.distributions.codebook import Codebook, Quantized

__all__ = ["VQVAE2Guide"]


class VQVAE2Guide(nn.Module):
    """q(z1, z2 | x) = 1 at the codewords nearest to what the encoders give, and 0 elsewhere.

        q(z1, z2 | x) = 1[z2 = nearest(top(encoder(x)))] 1[z1 = nearest(bottom(encoder(x), z2))]

    Sites: ``z2``, (P2, D), of the top grid; ``z1``, (P1, D), of the bottom one.

    Args:
        encoder: x to features of the bottom grid, (..., P1 F).
        top: those features to (..., P2 D).
        bottom: those features and z2, (..., P2 D), to (..., P1 D).
        codebooks: of z1 and of z2, which the model shares.
        num_places: P1, P2.
        still: whether the codewords stay where they are, as in a stage after the one that trained them.

    References: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019, Algorithm 1.
    """

    def __init__(
        self,
        encoder: nn.Module,
        top: nn.Module,
        bottom: nn.Module,
        codebooks: Sequence[Codebook],
        num_places: tuple[int, int],
        still: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.top, self.bottom = encoder, top, bottom
        self.num_places, self.still = num_places, still
        self.codebooks = nn.ModuleList(codebooks)

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        features, (bottom, top) = self.encoder(x), self.codebooks
        above = self.top(features).unflatten(-1, (self.num_places[1], -1))
        with pyro.plate("data", x.shape[0], dim=-1):
            z2 = pyro.sample("z2", Quantized(top, above, still=self.still))
            encoded = self.bottom(features, z2.flatten(-2)).unflatten(-1, (self.num_places[0], -1))
            pyro.sample("z1", Quantized(bottom, encoded, still=self.still))
