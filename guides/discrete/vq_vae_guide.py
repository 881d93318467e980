"""The VQ-VAE's guide: the codewords nearest to what the encoder gives."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions.codebook import Codebook, Quantized

__all__ = ["VQVAEGuide"]


class VQVAEGuide(nn.Module):
    """q(z | x) = 1 at the codewords nearest to what the encoder gives, at P places, and 0 elsewhere.

    Site: ``z``, (P, D).

    Args:
        encoder: x to (..., P D).
        codebook: the codewords, which the model shares.
        num_places: P.
        still: whether the codewords stay where they are, as in a stage after the one that trained them.

    References: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017, Eq. (1).
    """

    def __init__(self, encoder: nn.Module, codebook: Codebook, num_places: int, still: bool = False) -> None:
        super().__init__()
        self.encoder, self.codebook, self.num_places, self.still = encoder, codebook, num_places, still

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        encoded = self.encoder(x).unflatten(-1, (self.num_places, -1))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", Quantized(self.codebook, encoded, still=self.still))
