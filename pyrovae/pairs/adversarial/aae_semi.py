"""The adversarial autoencoder with labels for some data."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import LABELS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, class_decoder

__all__ = ["aae_semi"]


@recipe(
    "Makhzani, Shlens, Jaitly, Goodfellow and Frey",
    "Adversarial Autoencoders",
    2016,
    sites=["z", "y"],
    objective="aae-classes",
    density=False,
    needs=[LABELS],
    tiny=[
        tiny("labels", latent_dim=3, hidden=[20], discriminator_hidden=10),
        tiny("labels", latent_dim=2, hidden=[20], discriminator_hidden=10, head_distance=3.0),
    ],
)
def aae_semi(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    dense: Dense = Dense(hidden=(1000, 1000), activation="relu"),
    head_distance: float | None = None,
    discriminator_hidden: int = 1000,
    discriminator_noise: float = 0.3,
) -> Pair:
    """An adversarial autoencoder of a class and a style, a discriminator each, and labels (-1 where unknown) for some data.

    The guide has two heads, q(y | x) and z = e(x); training gives the decoder the probabilities of q(y | x), a point of the
    simplex, and everything else the pair as it is, y drawn or summed out. There is no ELBO; log p(x) of the model by annealing
    from its prior (``log_evidence(pair, data, method="ais", start="prior")``) sums y out.

    Args:
        head_distance: with it the decoder takes z + W y, whose heads W are pushed apart to this distance: maps, where d = 2.
        discriminator_hidden: width of the two hidden layers of each discriminator.
        discriminator_noise: standard deviation of Gaussian noise on what they see.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Sections 5 and 7.
    """
    decoder = class_decoder(dense, latent_dim, spec.classes, head_distance is not None)
    guide = guides.ClassPoint(dense.encoder(spec.classes + latent_dim), spec.classes)
    sizes = {"hidden": discriminator_hidden, "noise": discriminator_noise, "head_distance": head_distance}
    return Pair(models.M2(*decoder, latent_dim, spec.classes), guide, {"name": "aae-classes", **sizes})
