"""A VAE of sentences between recurrent networks."""

from __future__ import annotations

from typing import Literal

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import WordDecoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts.sentences import sentence_pair, sentence_words

__all__ = ["sentence_vae"]


@recipe(
    "Bowman, Vilnis, Vinyals, Dai, Jozefowicz and Bengio",
    "Generating Sentences from a Continuous Space",
    2016,
    objective="meanfield",
    kinds=["tokens"],
    only={"latent_dim": {"latent": True}, "latent_at": {"latent": True}},
    tiny=[
        tiny("lines", latent_dim=3, embedding_dim=8, recurrent_dim=12, word_dropout=0.25),
        tiny("lines", latent_dim=3, embedding_dim=8, recurrent_dim=12, latent_at="start"),
    ],
)
def sentence_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 32,
    embedding_dim: int = 200,
    recurrent_dim: int = 256,
    latent_at: Literal["start", "steps", "both"] = "both",
    word_dropout: float = 0.0,
    latent: bool = True,
) -> Pair:
    """Sentences x, (T,) words, with one latent z each: a recurrent encoder, and an LSTM that writes them word by word.

    Word 0, <eos>, ends a sentence and is scored with it; what follows changes nothing. An LSTM can do without z, and the KL
    falls to 0 at once unless it grows from 0, fit(kl_warmup=...), has free bits, meanfield:free_bits=..., or training hides
    words from the decoder. Sentences of like length, transforms=["like-length"], train three times as fast.

    Args:
        latent_dim: d.
        embedding_dim: size of a word's vector.
        recurrent_dim: size of the recurrent states.
        latent_at: z makes the LSTM's first state (start, as published), is beside each word (steps), or both.
        word_dropout: share of the words before that training hides from the decoder (zeros in place of their vectors);
            evaluation hides none.
        latent: False for the same LSTM without z, a language model, whose log p(x) is exact.

    References: Bowman et al., Generating Sentences from a Continuous Space, 2016, Section 3.
    """
    words, d = sentence_words(spec, "sentence-vae"), latent_dim if latent else 0
    decoder = WordDecoder(words, embedding_dim, recurrent_dim, d, word_dropout, latent_at)
    return sentence_pair(spec, decoder, latent_dim if latent else None, (embedding_dim, recurrent_dim))
