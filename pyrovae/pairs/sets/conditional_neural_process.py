"""Neural processes without a latent."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import SetEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import CONTEXT
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["conditional_neural_process"]


@recipe(
    "Garnelo, Rosenbaum, Maddison, Ramalho, Saxton, Shanahan, Teh, Rezende and Eslami",
    "Conditional Neural Processes",
    2018,
    sites=[],
    needs=[CONTEXT],
    tiny=[tiny("functions", features=6, hidden=[16])],
)
def conditional_neural_process(
    spec: DataSpec,
    *,
    features: int = 128,
    dense: Dense = Dense(hidden=(128, 128), activation="relu", scale="predicted"),
) -> Pair:
    """Values x of a function at inputs ``condition``, each given a pooled context alone: an exact log p(x_rest | context).

    The context is chosen by transform ``context``. Values at two inputs are independent given it; with a latent, by
    ``neural-process``, they are not.

    Args:
        features: R, numbers that the context is pooled to.
        hidden: sizes of the hidden layers of all networks, and reversed of the decoder.

    References: Garnelo et al., Conditional Neural Processes, 2018.
    """
    each, inputs = dense.of_steps(), spec.keys["condition"].shape[1]
    encoder = SetEncoder(each.joint([inputs, spec.shape[1:]], features), each.joint([features, 1], features))
    return models.ConditionalNeuralProcess(encoder, *each.decoder([inputs, features])), guides.NoLatents()
