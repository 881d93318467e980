"""The conditional variational autoencoder."""

from __future__ import annotations

from pyrovae import guides
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import CONDITION
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, conditional_model

__all__ = ["cvae"]


@recipe(
    "Sohn, Lee and Yan",
    "Learning Structured Output Representation using Deep Conditional Generative Models",
    2015,
    objective="meanfield",
    needs=[CONDITION],
    tiny=[tiny("quadrants", latent_dim=3, hidden=[20])],
)
def cvae(spec: DataSpec, *, latent_dim: int = 50, dense: Dense = Dense(hidden=(500, 500), activation="relu")) -> Pair:
    """The conditional VAE: z ~ N(c) by a learned prior, x | z, c; guide q(z | x, c). Its log p(x) is log p(x | c).

    Args:
        spec: description of data with a condition c (transforms quadrants, holes, low-resolution), ``data.spec``.
        hidden: sizes of the hidden layers of the prior and of the encoder, and reversed of the decoder.

    References: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """
    model = conditional_model(dense, latent_dim)
    condition = [spec.covariates["c"], spec.covariates["given"]]
    return model, guides.ConditionalGaussian(dense.encoder(2 * latent_dim, others=condition))
