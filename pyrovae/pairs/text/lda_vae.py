"""Latent Dirichlet allocation with an encoder."""

from __future__ import annotations

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import TopicMixture
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense
from pyrovae.parts.topics import TopicPrior, topic_pair

__all__ = ["lda_vae"]


@recipe(
    "Srivastava and Sutton",
    "Autoencoding Variational Inference for Topic Models",
    2017,
    kinds=["count"],
    tiny=[
        tiny("counts", num_topics=3, hidden=[20]),
        tiny("counts", num_topics=3, hidden=[20], prior="dirichlet", concentration=5.0, batch_norm=False),
    ],
)
def lda_vae(
    spec: DataSpec,
    *,
    num_topics: int = 50,
    concentration: float = 1.0,
    prior: TopicPrior = "laplace",
    batch_norm: bool = True,
    dense: Dense = Dense(hidden=(100, 100), activation="softplus", likelihood="bag-of-words"),
) -> Pair:
    """Latent Dirichlet allocation with an encoder: words are sum_k theta_k softmax(B_k).

    Args:
        spec: description of counts of words, (V,), ``data.spec``.
        num_topics: K.
        concentration: alpha of the Dirichlet prior of theta, the same for all topics.
        prior: laplace, a Gaussian in the basis of the softmax, as published, or the dirichlet itself, with implicit gradients.
        batch_norm: in the encoder, and of each word's weights over the topics, as the authors have it.

    References: Blei, Ng and Jordan, Latent Dirichlet Allocation, 2003, Section 3; Srivastava and Sutton, Autoencoding
        Variational Inference for Topic Models, 2017, Section 3.
    """
    return topic_pair(lambda *sizes: TopicMixture(*sizes, batch_norm), num_topics, concentration, prior, batch_norm, dense)
