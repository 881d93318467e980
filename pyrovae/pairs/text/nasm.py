"""Answer selection with a latent question."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets import JointMLP, SentenceEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import ANSWERS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts.sentences import num_words, require_kind

__all__ = ["nasm"]


@recipe(
    "Miao, Yu and Blunsom",
    "Neural Variational Inference for Text Processing",
    2016,
    sites=["h"],
    kinds=["binary"],
    needs=[ANSWERS],
    tiny=[tiny("answers", latent_dim=3, embedding_dim=8, recurrent_dim=12)],
)
def nasm(
    spec: DataSpec, *, latent_dim: int = 16, embedding_dim: int = 32, recurrent_dim: int = 32, latent: bool = True
) -> Pair:
    """Whether an answer is relevant to a question, x: a latent of the question, h ~ N(prior(question)), attends to its words.

    log p(x) is that of the label given both sentences. The guide sees the label: rank answers by the model alone, as
    :func:`pyrovae.evaluation.relevance` does, and never by what is reconstructed.

    Args:
        latent_dim: d, the dimension of h.
        embedding_dim: size of a word's vector.
        recurrent_dim: size of the recurrent states and of the hidden layers.
        latent: False for the same networks with h at the prior's mean, attention without a latent.

    References: Miao, Yu and Blunsom, Neural Variational Inference for Text Processing, 2016, Section 4.
    """
    require_kind(spec, "nasm", "binary")
    words, size = num_words(spec, "nasm", "question"), recurrent_dim
    if num_words(spec, "nasm", "answer") != words:
        raise OptionError(f"question has {words} words and answer another number; pair nasm needs one vocabulary of both.")
    encoder = SentenceEncoder(words, embedding_dim, size)
    prior = JointMLP([encoder.out_features], [size], 2 * latent_dim)
    model = models.NASM(encoder, prior, latent_dim, size, latent)
    posterior = JointMLP([encoder.out_features, encoder.out_features, 1], [size], 2 * latent_dim) if latent else None
    return model, guides.NASMGuide(encoder, posterior)
