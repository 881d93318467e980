"""The adversarial autoencoder of clusters, without labels."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, class_decoder

__all__ = ["aae_cluster"]


@recipe(
    "Makhzani, Shlens, Jaitly, Goodfellow and Frey",
    "Adversarial Autoencoders",
    2016,
    sites=["z", "k"],
    objective="aae-classes:classify=false",
    density=False,
    tiny=[
        tiny("digits", latent_dim=3, num_clusters=4, hidden=[20], discriminator_hidden=10),
        tiny("grey", latent_dim=2, num_clusters=5, hidden=[20], discriminator_hidden=10, head_distance=3.0),
    ],
)
def aae_cluster(
    spec: DataSpec,
    *,
    latent_dim: int = 5,
    num_clusters: int = 16,
    dense: Dense = Dense(hidden=(1000, 1000), activation="relu"),
    head_distance: float | None = None,
    discriminator_hidden: int = 1000,
    discriminator_noise: float = 0.3,
) -> Pair:
    """An adversarial autoencoder of a cluster k and a style, a discriminator each, and no labels.

    ``pyrovae.classify_clusters`` names the clusters by a few labels, and says how many data they tell right.

    Args:
        num_clusters: C, how many values k has.
        head_distance: with it the decoder takes z + W k, whose heads W are pushed apart to this distance: maps, where d = 2.
        discriminator_hidden: width of the two hidden layers of each discriminator.
        discriminator_noise: standard deviation of Gaussian noise on what they see.

    References: Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2016, Sections 6 and 7.
    """
    decoder = class_decoder(dense, latent_dim, num_clusters, head_distance is not None)
    guide = guides.ClassPoint(dense.encoder(num_clusters + latent_dim), num_clusters, "k")
    sizes = {"hidden": discriminator_hidden, "noise": discriminator_noise, "head_distance": head_distance, "classify": False}
    return Pair(models.AAECluster(*decoder, latent_dim, num_clusters), guide, {"name": "aae-classes", **sizes})
