"""The variational recurrent neural network."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.core.steps import unroll
from pyrovae.data import DataSpec
from pyrovae.nets import LSTMCell
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import STEPS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["vrnn"]


@recipe(
    "Chung, Kastner, Dinh, Goel, Courville and Bengio",
    "A Recurrent Latent Variable Model for Sequential Data",
    2015,
    needs=[STEPS],
    tiny=[tiny("digits", latent_dim=2, recurrent_dim=9, hidden=[12])],
)
def vrnn(
    spec: DataSpec, *, latent_dim: int = 32, recurrent_dim: int = 32, dense: Dense = Dense(hidden=(32,), activation="relu")
) -> Pair:
    """A latent z_t at each step of a sequence, (T, *shape), and one recurrent state of model and guide.

    Args:
        latent_dim: d, the dimension of each z_t.
        recurrent_dim: size of the LSTM's state, and of the features of x_t and z_t.

    References: Chung et al., A Recurrent Latent Variable Model for Sequential Data, 2015, Eq. (5) to (9).
    """
    step, size = dense.of_steps(), recurrent_dim
    features_x, features_z = step.encoder(size), step.joint([latent_dim], size)
    decoder, likelihood = step.decoder([size, size])
    cell, prior = LSTMCell([size, size], size), step.joint([size], 2 * latent_dim)
    model = models.VRNN(features_x, features_z, cell, prior, decoder, likelihood, size)
    return unroll(model, guides.VRNNGuide(features_x, step.joint([size, size], 2 * latent_dim)))
