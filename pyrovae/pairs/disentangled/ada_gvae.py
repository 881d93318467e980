"""Ada-GVAE: pairs that differ in few factors."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import PAIRS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["ada_gvae"]


@recipe(
    "Locatello et al.",
    "Weakly-Supervised Disentanglement Without Compromises",
    2020,
    objective="meanfield",
    needs=[PAIRS],
    tiny=[tiny("pairs", latent_dim=3, hidden=[16])],
)
def ada_gvae(spec: DataSpec, *, latent_dim: int = 10, dense: Dense = Dense()) -> Pair:
    """Pairs of data, x (2, *shape) by transform ``pairs``, whose codes are averaged where they hardly differ.

    Args:
        latent_dim: d of each of the pair.

    References: Locatello et al., Weakly-Supervised Disentanglement Without Compromises, 2020, Section 4.
    """
    each = dense.of_steps()
    guide = guides.AdaptiveGaussian(each.encoder(2 * latent_dim), "average")
    return models.AdaGVAE(*each.decoder(latent_dim), latent_dim), guide
