"""The stochastic recurrent neural network."""

from __future__ import annotations

import math

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.core.steps import unroll
from pyrovae.data import DataSpec
from pyrovae.nets import GatedTransition, Recurrent
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import STEPS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["srnn"]


@recipe(
    "Fraccaro, Sonderby, Paquet and Winther",
    "Sequential Neural Models with Stochastic Layers",
    2016,
    needs=[STEPS],
    tiny=[tiny("digits", latent_dim=2, transition_dim=7, recurrent_dim=6, smoother_dim=9, hidden=[12])],
)
def srnn(
    spec: DataSpec,
    *,
    latent_dim: int = 100,
    transition_dim: int = 200,
    recurrent_dim: int = 300,
    smoother_dim: int = 300,
    residual: bool = True,
    dense: Dense = Dense(hidden=(100, 100), activation="relu"),
) -> Pair:
    """A state-space model over a recurrent network of the data before, (T, *shape), and a guide that smooths over both.

    Args:
        latent_dim: d, the dimension of each z_t.
        transition_dim: size of the hidden layers of the transition.
        recurrent_dim: size of the deterministic state d_t.
        smoother_dim: size of the guide's recurrent network, which runs backwards.
        residual: whether the guide's mean is added to the prior's.

    References: Fraccaro, Sonderby, Paquet and Winther, Sequential Neural Models with Stochastic Layers, 2016.
    """
    step = dense.of_steps()
    size = math.prod(step.spec.shape)
    decoder, likelihood = step.decoder([latent_dim, recurrent_dim])
    forwards = Recurrent(size, recurrent_dim, "gru")
    transition = GatedTransition(latent_dim, transition_dim, [recurrent_dim])
    model = models.SRNN(forwards, transition, decoder, likelihood, latent_dim)
    backwards = Recurrent(size + recurrent_dim, smoother_dim, backwards=True)
    combine, out = nn.Linear(latent_dim, smoother_dim), nn.Linear(smoother_dim, 2 * latent_dim)
    return unroll(model, guides.SRNNGuide(forwards, backwards, combine, out, transition if residual else None))
