"""The variational autoencoder with convolutional networks."""

from __future__ import annotations

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import IMAGES
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Convolutional, Posterior

__all__ = ["conv_vae"]


@recipe(
    "Kingma and Welling",
    "Auto-Encoding Variational Bayes",
    2014,
    objective="meanfield",
    needs=[IMAGES],
    tiny=[
        tiny("digits", latent_dim=3, channels=[4, 8], hidden=20),
        tiny("grey", latent_dim=3, channels=[4], hidden=20, likelihood="discretized-logistic"),
    ],
)
def conv_vae(
    spec: DataSpec, *, latent_dim: int = 50, networks: Convolutional = Convolutional(), posterior: Posterior = Posterior()
) -> Pair:
    """A VAE with convolutional networks, on images (H, W) or (C, H, W) of any size.

    Its objective has the KL in closed form: by draws of it the bound's gradient is too noisy to leave the state where z is
    ignored.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014.
    """
    guide = posterior.guide(networks, latent_dim)
    return posterior.model(networks, latent_dim), guide
