"""The posterior of a sentence that says another in short."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import Sentences
from pyrovae.nets import PointerNetwork

__all__ = ["ASCGuide"]


class ASCGuide(nn.Module):
    """q(c | x) = prod_t q(c_t | c_1, ..., c_t-1, x), each word pointed at in x, or taken from the vocabulary too.

    Site: ``c``, (T_c,) words up to their first word 0.

    Args:
        pointer: words of c and x to log probabilities of the next.
        short_steps: T_c.

    References: Miao and Blunsom, Language as a Latent Variable: Discrete Generative Models for Sentence Compression, 2016,
    Section 3.1 (pointer) and 3.3 (with the vocabulary).
    """

    def __init__(self, pointer: PointerNetwork, short_steps: int) -> None:
        super().__init__()
        self.pointer, self.short_steps = pointer, short_steps

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B sentences."""
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("c", Sentences(self.pointer, (self.short_steps,), x))
