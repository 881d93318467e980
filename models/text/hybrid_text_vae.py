"""The generative model of text by deconvolutions and an LSTM, with a likelihood beside that is no part of log p(x)."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import Sentences
from pyrovae.nets import HybridDecoder

__all__ = ["HybridTextVAE"]


class HybridTextVAE(nn.Module):
    """p(x, z) = N(z; 0, I) prod_t p(x_t | x_1, ..., x_t-1, f_t(z)), and beside it p_aux(x | z) of the features alone.

        log p_aux(x | z) = sum_t log softmax(W f_t(z) + b)[x_t]

    Sites: ``z``, (d,); ``x``, (T,) words; ``x_aux``, the same words, auxiliary: it enters log p(x) and draws nowhere, and
    objective ``auxiliary`` weighs it.

    Args:
        decoder: the words before and z to logits of the next word, by features f of the deconvolution in it.
        latent_dim: d.

    References: Semeniuta, Severyn and Barth, A Hybrid Convolutional Variational Autoencoder for Text Generation, 2017.
    """

    def __init__(self, decoder: HybridDecoder, latent_dim: int) -> None:
        super().__init__()
        self.decoder, self.latent_dim = decoder, latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B texts."""
        zeros = self.decoder.embedding.weight.new_zeros(self.latent_dim)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(zeros, 1.0).to_event(1))
            x = pyro.sample("x", Sentences(self.decoder, x.shape[-1:], z), obs=x)
            beside = Sentences(self.decoder.deconvolution, x.shape[-1:], z)
            pyro.sample("x_aux", beside, obs=x, infer={"auxiliary": True})
