"""Topic models with an encoder: ProdLDA and latent Dirichlet allocation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import TopicMixture, TopicProduct
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import ROWS
from pyrovae.pairs.text.nvdm import WORDS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense
from pyrovae.parts.topics import topic_encoder

__all__ = ["lda_vae", "prod_lda"]

Prior = Literal["laplace", "dirichlet"]
AUTHORS = ("Srivastava and Sutton", "Autoencoding Variational Inference for Topic Models", 2017)
SMALL: dict[str, Any] = {"num_topics": 3, "hidden": [20]}
SIZES = Dense(hidden=(100, 100), activation="softplus", likelihood=WORDS)


def topics(
    make: Callable[..., Any], num_topics: int, concentration: float, prior: Prior, batch_norm: bool, dense: Dense
) -> Pair:
    """A topic model of this decoder, and its guide: a Gaussian in the basis of the softmax, or a Dirichlet."""
    decoder, likelihood = dense.start(lambda num_params: make(num_topics, dense.spec.shape[0]))
    model = models.TopicModel(decoder, likelihood, num_topics, concentration, prior)
    if prior == "dirichlet":
        return model, guides.DirichletShares(topic_encoder(dense, num_topics, batch_norm))
    return model, guides.DiagonalGaussian(topic_encoder(dense, 2 * num_topics, batch_norm))


@recipe(
    *AUTHORS,
    kinds=["count"],
    needs=[ROWS],
    tiny=[tiny("counts", **SMALL), tiny("counts", **SMALL, prior="dirichlet", batch_norm=False)],
)
def prod_lda(
    spec: DataSpec,
    *,
    num_topics: int = 50,
    concentration: float = 1.0,
    prior: Prior = "laplace",
    batch_norm: bool = True,
    dense: Dense = SIZES,
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
    return topics(lambda *sizes: TopicProduct(*sizes, batch_norm), num_topics, concentration, prior, batch_norm, dense)


@recipe(
    *AUTHORS,
    kinds=["count"],
    needs=[ROWS],
    tiny=[tiny("counts", **SMALL), tiny("counts", **SMALL, prior="dirichlet", batch_norm=False)],
)
def lda_vae(
    spec: DataSpec,
    *,
    num_topics: int = 50,
    concentration: float = 1.0,
    prior: Prior = "laplace",
    batch_norm: bool = True,
    dense: Dense = SIZES,
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
    return topics(lambda *sizes: TopicMixture(*sizes, batch_norm), num_topics, concentration, prior, batch_norm, dense)
