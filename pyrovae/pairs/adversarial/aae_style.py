"""The adversarial autoencoder of a class that is given and a style."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import LABELS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["aae_style"]


@recipe(
    "Makhzani, Shlens, Jaitly, Goodfellow and Frey",
    "Adversarial Autoencoders",
    2016,
    objective="aae",
    density=False,
    needs=[LABELS],
    tiny=[tiny("digits", latent_dim=3, hidden=[20], discriminator_hidden=10)],
)
def aae_style(
    spec: DataSpec,
    *,
    latent_dim: int = 15,
    dense: Dense = Dense(hidden=(1000, 1000), activation="relu"),
    discriminator_hidden: int = 1000,
    discriminator_noise: float = 0.0,
) -> Pair:
    """An adversarial autoencoder whose decoder is told the class y, so that z = e(x) is what is left: the style.

    All training data need a label. ``pyrovae.analogies`` shows a datum's style in every class. The value that training
    reports has log p(y) = -log C in it, as y is observed.

    Args:
        discriminator_hidden: width of the two hidden layers of the discriminator.
        discriminator_noise: standard deviation of Gaussian noise on what it sees.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Section 4.
    """
    model = models.AAEStyle(*dense.decoder([latent_dim, spec.classes]), latent_dim, spec.classes)
    objective = {"name": "aae", "hidden": discriminator_hidden, "noise": discriminator_noise}
    return Pair(model, guides.Deterministic(dense.encoder(latent_dim)), objective)
