"""M1+M2, the class model stacked on the features of a VAE."""

from __future__ import annotations

from dataclasses import replace

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import MLP
from pyrovae.pairs.catalogue import get, recipe
from pyrovae.pairs.needs import LABELS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import SEMISUPERVISED, Dense

__all__ = ["m1_m2"]


@recipe(
    "Kingma et al.",
    "Semi-supervised Learning with Deep Generative Models",
    2014,
    sites=["z2", "y", "z1"],
    objective=SEMISUPERVISED,
    needs=[LABELS],
    tiny=[tiny("labels", latent_dim=3, hidden=[20], feature_dim=4, feature_hidden=[20])],
)
def m1_m2(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    dense: Dense = Dense(hidden=(500,), activation="softplus"),
    feature_dim: int = 50,
    feature_hidden: list[int] | tuple[int, ...] = (600, 600),
) -> Pair:
    """M1+M2: M2 on features z1 of a VAE, which is trained first, as a stage, and then stands still.

    Args:
        latent_dim: d, the dimension of z2, the style.
        hidden: sizes of the hidden layers of M2's networks.
        feature_dim: e, the dimension of z1.
        feature_hidden: sizes of the hidden layers of the VAE.
        activation: of all hidden layers.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Section 2 (stacked model).
    """
    shared = {name: value for name, value in dense.values().items() if name != "hidden"}
    first = get("m1").build(spec, latent_dim=feature_dim, hidden=feature_hidden, **shared)
    features = replace(dense, hidden=list(reversed(dense.hidden))).joint([latent_dim, spec.classes], 2 * feature_dim)
    model = models.M1M2(features, first.model.decoder, first.model.likelihood, latent_dim, spec.classes)
    guide = guides.FeatureClassGaussian(
        first.guide.encoder,
        MLP(feature_dim, dense.hidden, spec.classes, dense.activation),
        dense.joint([feature_dim, spec.classes], 2 * latent_dim),
    )
    return Pair(model, guide, SEMISUPERVISED, stages=(first,))
