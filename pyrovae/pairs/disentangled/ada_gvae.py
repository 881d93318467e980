"""Ada-GVAE and Ada-ML-VAE: pairs that differ in few factors."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import DataError
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import GROUPS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["ada_gvae"]


@recipe(
    "Locatello et al.",
    "Weakly-Supervised Disentanglement Without Compromises",
    2020,
    objective="meanfield",
    needs=[GROUPS],
    tiny=[tiny("pairs", latent_dim=3, hidden=[16])],
)
def ada_gvae(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    combine: Literal["average", "product"] = "average",
    dense: Dense = Dense(),
) -> Pair:
    """Pairs of data, x (2, *shape) by transform ``pairs``, whose codes are put together where they hardly differ.

    Args:
        latent_dim: d of each of the pair.
        combine: 'average' of means and variances (Ada-GVAE), or 'product' of Gaussians (Ada-ML-VAE).

    References: Locatello et al., Weakly-Supervised Disentanglement Without Compromises, 2020, Section 4.
    """
    if spec.shape[0] != 2:
        raise DataError(f"{spec.name} has x of shape {spec.shape}; expected pairs, (2, *shape): transforms=['pairs'].")
    each = dense.of_steps()
    guide = guides.AdaptiveGaussian(each.encoder(2 * latent_dim), combine)
    return models.AdaGVAE(*each.decoder(latent_dim), latent_dim), guide
