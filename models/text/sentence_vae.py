"""The generative model of sentences with one latent each."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import Sentences
from pyrovae.nets import TextDecoder

__all__ = ["SentenceVAE"]


class SentenceVAE(nn.Module):
    """p(x, z) = N(z; 0, I) prod_t p(x_t | x_1, ..., x_t-1, z), up to the first word 0 and with it.

    Sites: ``z``, (d,); ``x``, (T,) words, T that of the batch.

    Args:
        decoder: the words before and z to logits of the next word.
        latent_dim: d.

    References: Bowman et al., Generating Sentences from a Continuous Space, 2016, Section 3.
    """

    def __init__(self, decoder: TextDecoder, latent_dim: int) -> None:
        super().__init__()
        self.decoder, self.latent_dim = decoder, latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B sentences."""
        zeros = self.decoder.embedding.weight.new_zeros(self.latent_dim)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(zeros, 1.0).to_event(1))
            pyro.sample("x", Sentences(self.decoder, x.shape[-1:], z), obs=x)
