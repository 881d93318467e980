"""A VAE of text whose decoder sees a few words back."""

from __future__ import annotations

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets import DilatedDecoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts.sentences import sentence_pair, sentence_words

__all__ = ["dilated_text_vae"]


@recipe(
    "Yang, Hu, Salakhutdinov and Berg-Kirkpatrick",
    "Improved Variational Autoencoders for Text Modeling using Dilated Convolutions",
    2017,
    objective="meanfield",
    kinds=["tokens"],
    only={"latent_dim": {"latent": True}, "recurrent_dim": {"latent": True}},
    tiny=[
        tiny("lines", latent_dim=3, embedding_dim=8, recurrent_dim=8, channels=16, dilations=[1, 2]),
        tiny("lines", latent_dim=3, embedding_dim=8, recurrent_dim=8, channels=8, dilations=[], word_dropout=0.25),
    ],
)
def dilated_text_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 32,
    embedding_dim: int = 128,
    recurrent_dim: int = 128,
    channels: int = 64,
    dilations: tuple[int, ...] = (1, 2, 4),
    word_dropout: float = 0.0,
    latent: bool = True,
) -> Pair:
    """Text x, (T,) words or characters, with one latent z, from a decoder of z and the 1 + 2 sum(dilations) words before.

    The less the decoder sees of the words before, the more z has to say. What lies further back, z alone can tell.

    Args:
        latent_dim: d.
        embedding_dim: size of a word's vector.
        recurrent_dim: size of the encoder's recurrent states.
        channels: of the decoder's convolutions, even.
        dilations: one a residual block of convolutions of 3 words; none at all for a decoder of the last word alone.
        word_dropout: share of the words before that training hides from the decoder; evaluation hides none.
        latent: False for the same decoder without z, a language model, whose log p(x) is exact.

    References: Yang et al., Improved Variational Autoencoders for Text Modeling using Dilated Convolutions, 2017.
    """
    words, d = sentence_words(spec, "dilated-text-vae"), latent_dim if latent else 0
    if channels % 2 or any(dilation < 1 for dilation in dilations):
        raise OptionError(
            f"channels is {channels} and dilations {list(dilations)}; expected an even number, and numbers of at least 1."
        )
    decoder = DilatedDecoder(words, embedding_dim, channels, dilations, d, word_dropout)
    return sentence_pair(spec, decoder, latent_dim if latent else None, (embedding_dim, recurrent_dim))
