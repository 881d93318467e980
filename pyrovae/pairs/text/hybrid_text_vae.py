"""A VAE of text of deconvolutions and an LSTM."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import Deconvolution, HybridDecoder, SentenceEncoder, SentenceFeatures
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts.sentences import sentence_words

__all__ = ["hybrid_text_vae"]


@recipe(
    "Semeniuta, Severyn and Barth",
    "A Hybrid Convolutional Variational Autoencoder for Text Generation",
    2017,
    objective={"name": "auxiliary", "weight": 0.2},
    kinds=["tokens"],
    tiny=[tiny("lines", latent_dim=3, embedding_dim=8, recurrent_dim=12, channels=6)],
)
def hybrid_text_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 32,
    embedding_dim: int = 128,
    recurrent_dim: int = 256,
    channels: int = 128,
    word_dropout: float = 0.0,
) -> Pair:
    """Text x, (T,) words or characters, with one latent z: deconvolutions of z, and an LSTM of these and the words before.

    Beside log p(x) a softmax right on the deconvolutions says the words without the others: its log p_aux, weighed by
    objective ``auxiliary``, keeps z in use and is no part of any bound that is reported.

    Args:
        latent_dim: d.
        embedding_dim: size of a word's vector.
        recurrent_dim: size of the recurrent states, of encoder and decoder.
        channels: of the deconvolutions.
        word_dropout: share of the words before that training hides from the LSTM; evaluation hides none.

    References: Semeniuta, Severyn and Barth, A Hybrid Convolutional Variational Autoencoder for Text Generation, 2017.
    """
    words = sentence_words(spec, "hybrid-text-vae")
    deconvolution = Deconvolution(latent_dim, channels, spec.shape[0], words)
    decoder = HybridDecoder(deconvolution, embedding_dim, recurrent_dim, word_dropout)
    encoder = SentenceFeatures(SentenceEncoder(words, embedding_dim, recurrent_dim), 2 * latent_dim)
    return models.HybridTextVAE(decoder, latent_dim), guides.DiagonalGaussian(encoder)
