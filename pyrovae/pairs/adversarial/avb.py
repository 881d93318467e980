"""Adversarial variational Bayes."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["avb"]


@recipe(
    "Mescheder, Nowozin and Geiger",
    "Adversarial Variational Bayes",
    2017,
    objective="avb",
    density=False,
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20], noise_dim=2, contrast="prior", discriminator_hidden=10),
        tiny("grey", latent_dim=3, hidden=[20], noise_dim=4, discriminator_hidden=10),
    ],
)
def avb(
    spec: DataSpec,
    *,
    latent_dim: int = 8,
    dense: Dense = Dense(hidden=(300, 300), activation="elu"),
    noise_dim: int = 16,
    contrast: Literal["prior", "adaptive"] = "adaptive",
    discriminator_hidden: int = 300,
) -> Pair:
    """A VAE whose posterior is a network of x and noise, z = e(x, noise), and its bound one of a discriminator.

    The guide has no density, so that there is no ELBO and no importance weight: what training reports is an estimate on
    neither side of log p(x). log p(x) of the model by annealing from its prior (``log_evidence(pair, data, method="ais",
    start="prior")``) is the figure to compare.

    Args:
        noise_dim: m, the dimension of the noise.
        contrast: what the discriminator tells codes of x from, the prior or the Gaussian of their moments (objective ``avb``).
        discriminator_hidden: width of the two hidden layers of the discriminator.

    References: Mescheder, Nowozin and Geiger, Adversarial Variational Bayes, 2017, Sections 3 and 4.
    """
    if noise_dim < 1:
        raise OptionError(f"noise_dim is {noise_dim!r}; expected a whole number of at least 1.")
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    guide = guides.ImplicitPosterior(dense.encoder(latent_dim, [noise_dim]), noise_dim, latent_dim)
    return Pair(model, guide, {"name": "avb", "contrast": contrast, "hidden": discriminator_hidden})
