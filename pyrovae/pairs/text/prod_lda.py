"""The topic model whose words are a product of experts."""

from __future__ import annotations

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import TopicProduct
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense
from pyrovae.parts.topics import TopicPrior, topic_pair

__all__ = ["prod_lda"]


@recipe(
    "Srivastava and Sutton",
    "Autoencoding Variational Inference for Topic Models",
    2017,
    kinds=["count"],
    tiny=[
        tiny("counts", num_topics=3, hidden=[20], batch_norm=False),
        tiny("counts", num_topics=3, hidden=[20], prior="dirichlet", concentration=5.0, batch_norm=False),
    ],
)
def prod_lda(
    spec: DataSpec,
    *,
    num_topics: int = 50,
    concentration: float = 1.0,
    prior: TopicPrior = "laplace",
    batch_norm: bool = True,
    dense: Dense = Dense(hidden=(100, 100), activation="softplus", likelihood="bag-of-words"),
) -> Pair:
    """A topic model whose words are softmax(sum_k theta_k B_k), a product of experts in place of a mixture.

    Args:
        spec: description of counts of words, (V,), ``data.spec``.
        num_topics: K.
        concentration: alpha of the Dirichlet prior of theta, the same for all topics.
        prior: laplace, a Gaussian in the basis of the softmax, as published, or the dirichlet itself, with implicit gradients.
        batch_norm: in the encoder and before the softmax of words, as the authors have it.

    References: Srivastava and Sutton, Autoencoding Variational Inference for Topic Models, 2017, Section 4.
    """
    return topic_pair(lambda *sizes: TopicProduct(*sizes, batch_norm), num_topics, concentration, prior, batch_norm, dense)
