"""The generative model of sentences whose latent variable is a sentence."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import Sentences
from pyrovae.nets import AttentionDecoder, WordDecoder

__all__ = ["ASC"]


class ASC(nn.Module):
    """p(x, c) = p(c) p(x | c): c a short sentence of a language model, x a longer one that is written with attention to it.

    Sites: ``c``, (T_c,) words; ``x``, (T,) words, both up to their first word 0.

    Args:
        language: words of c to logits of the next, p(c).
        decoder: words of x and c to logits of the next word of x.
        short_steps: T_c.
        num_steps: T.

    References: Miao and Blunsom, Language as a Latent Variable: Discrete Generative Models for Sentence Compression, 2016,
    Section 3.1.
    """

    def __init__(self, language: WordDecoder, decoder: AttentionDecoder, short_steps: int, num_steps: int) -> None:
        super().__init__()
        self.language, self.decoder, self.short_steps, self.num_steps = language, decoder, short_steps, num_steps

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B sentences."""
        with pyro.plate("data", x.shape[0], dim=-1):
            c = pyro.sample("c", Sentences(self.language, (self.short_steps,)))
            pyro.sample("x", Sentences(self.decoder, (self.num_steps,), c), obs=x)
