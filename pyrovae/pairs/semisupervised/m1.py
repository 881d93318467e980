"""M1, a VAE whose features are classified."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["m1"]


@recipe(
    "Kingma et al.",
    "Semi-supervised Learning with Deep Generative Models",
    2014,
    objective="meanfield",
    tiny=[tiny("labels", latent_dim=3, hidden=[20])],
)
def m1(spec: DataSpec, *, latent_dim: int = 50, dense: Dense = Dense(hidden=(600, 600), activation="softplus")) -> Pair:
    """M1: a VAE, whose posterior means are features for ``evaluate(classifier=...)``.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Eq. (1) and (3).
    """
    guide = guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
    return models.VAE(*dense.decoder(latent_dim), latent_dim), guide
