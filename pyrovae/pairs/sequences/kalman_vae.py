"""The Kalman variational autoencoder."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.core.steps import unroll
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import STEPS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["kalman_vae"]


@recipe(
    "Fraccaro, Kamronn, Paquet and Winther",
    "A Disentangled Recognition and Nonlinear Dynamics Model for Unsupervised Learning",
    2017,
    sites=["a"],
    needs=[STEPS],
    tiny=[tiny("digits", latent_dim=2, state_dim=3, num_dynamics=2, recurrent_dim=5, hidden=[12])],
)
def kalman_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 2,
    state_dim: int = 4,
    num_dynamics: int = 3,
    recurrent_dim: int = 50,
    dense: Dense = Dense(hidden=(100, 50), activation="relu"),
) -> Pair:
    """Codes a_t of frames, (T, *shape), that move as linear-Gaussian states do, which are summed exactly by Kalman's filter.

    Args:
        latent_dim: d, the dimension of each code a_t.
        state_dim: n, the dimension of each state.
        num_dynamics: linear dynamics that a recurrent network mixes.
        recurrent_dim: size of that network.

    References: Fraccaro, Kamronn, Paquet and Winther, A Disentangled Recognition and Nonlinear Dynamics Model for
    Unsupervised Learning, 2017.
    """
    step = dense.of_steps()
    decoder, likelihood = step.decoder(latent_dim)
    model = models.KalmanVAE(decoder, likelihood, latent_dim, state_dim, num_dynamics, recurrent_dim)
    return unroll(model, guides.KalmanVAEGuide(step.encoder(2 * latent_dim), model))
