"""The Gaussian stochastic network that conditional variational autoencoders are held against."""

from __future__ import annotations

from pyrovae import guides
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import CONDITION
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, conditional_model

__all__ = ["gsnn"]


@recipe(
    "Sohn, Lee and Yan",
    "Learning Structured Output Representation using Deep Conditional Generative Models",
    2015,
    needs=[CONDITION],
    tiny=[tiny("quadrants", latent_dim=3, hidden=[20])],
)
def gsnn(spec: DataSpec, *, latent_dim: int = 50, dense: Dense = Dense(hidden=(500, 500), activation="relu")) -> Pair:
    """The Gaussian stochastic neural network: the CVAE trained without a recognition network, on E_p(z|c)[log p(x | z, c)].

    Args:
        spec: description of data with a condition c (transforms quadrants, holes, low-resolution), ``data.spec``.
        hidden: sizes of the hidden layers of the prior, and reversed of the decoder.

    References: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """
    model = conditional_model(dense, latent_dim)
    return model, guides.ConditionalPrior(model.prior)
