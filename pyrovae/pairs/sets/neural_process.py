"""Neural processes with a latent."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import SetEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import CONTEXT
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["neural_process"]


@recipe(
    "Garnelo, Schwarz, Rosenbaum, Viola, Rezende, Eslami and Teh",
    "Neural Processes",
    2018,
    objective="meanfield",
    needs=[CONTEXT],
    tiny=[tiny("functions", latent_dim=3, hidden=[16])],
)
def neural_process(
    spec: DataSpec,
    *,
    latent_dim: int = 32,
    dense: Dense = Dense(hidden=(128, 128), activation="relu", scale="predicted"),
) -> Pair:
    """Values x of a function at inputs ``condition`` given some, through a latent of the function: log p(x_rest | context).

    The prior of z is of the context, by transform ``context``; the guide sees all points by the same network. Without a
    latent: ``conditional-neural-process``.

    Args:
        hidden: sizes of the hidden layers of all networks, and reversed of the decoder; the last is of a point's features.

    References: Garnelo et al., Neural Processes, 2018.
    """
    each, features = dense.of_steps(), dense.hidden[-1]
    inputs = spec.keys["condition"].shape[1]
    encoder = SetEncoder(each.joint([inputs, spec.shape[1:]], features), each.joint([features, 1], 2 * latent_dim))
    model = models.NeuralProcess(encoder, *each.decoder([inputs, latent_dim]))
    return model, guides.NeuralProcessGuide(encoder)
