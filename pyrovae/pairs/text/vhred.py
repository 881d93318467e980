"""Dialogues with a latent for each utterance."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.core.steps import unroll
from pyrovae.data import DataSpec
from pyrovae.nets import JointMLP, Recurrent, SentenceEncoder, WordDecoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import UTTERANCES
from pyrovae.pairs.tiny import tiny
from pyrovae.parts.sentences import num_words, require_kind

__all__ = ["vhred"]


@recipe(
    "Serban, Sordoni, Lowe, Charlin, Pineau, Courville and Bengio",
    "A Hierarchical Latent Variable Encoder-Decoder Model for Generating Dialogues",
    2017,
    kinds=["tokens"],
    needs=[UTTERANCES],
    only={"latent_dim": {"latent": True}},
    tiny=[tiny("dialogues", latent_dim=3, embedding_dim=8, recurrent_dim=12, word_dropout=0.25)],
)
def vhred(
    spec: DataSpec,
    *,
    latent_dim: int = 16,
    embedding_dim: int = 64,
    recurrent_dim: int = 128,
    word_dropout: float = 0.25,
    latent: bool = True,
) -> Pair:
    """Dialogues x, (n, T) words: a latent z_n for each utterance, given the context of those before, by recurrent networks.

    ``lengths`` says how many utterances a dialogue has, word 0 ends each utterance; what lies beyond either changes nothing.
    The KL vanishes at once unless it grows from 0, fit(kl_warmup=...), and training hides words from the decoder.

    Args:
        latent_dim: d, the dimension of each z_n.
        embedding_dim: size of a word's vector.
        recurrent_dim: size of the recurrent states: of words, of utterances and of the context.
        word_dropout: share of the words before that training hides from the decoder; evaluation hides none.
        latent: False for the same networks without z, HRED, whose log p(x) is exact.

    References: Serban et al., A Hierarchical Latent Variable Encoder-Decoder Model for Generating Dialogues, 2017, Section 3.
    """
    require_kind(spec, "vhred", "tokens")
    words, size, d = num_words(spec, "vhred"), recurrent_dim, latent_dim if latent else 0
    encoder = SentenceEncoder(words, embedding_dim, size)
    prior = JointMLP([size], [size], 2 * d) if latent else None
    posterior = JointMLP([encoder.out_features, size], [size], 2 * d) if latent else None
    decoder = WordDecoder(words, embedding_dim, size, size + d, word_dropout)
    model = models.VHRED(encoder, Recurrent(encoder.out_features, size, "gru"), decoder, spec.shape[-1], prior)
    return unroll(model, guides.VHREDGuide(encoder, posterior))
