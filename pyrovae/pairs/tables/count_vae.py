"""The variational autoencoder of counts, given the size of each datum."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import SIZE
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["count_vae"]


@recipe(
    "Lopez, Regier, Cole, Jordan and Yosef",
    "Deep Generative Modeling for Single-cell Transcriptomics",
    2018,
    kinds=["count"],
    needs=[SIZE],
    tiny=[
        tiny("counts", latent_dim=3, hidden=[20]),
        tiny("counts", latent_dim=3, hidden=[20], likelihood="zero-inflated-negative-binomial:dispersion=predicted"),
        tiny("counts", latent_dim=3, hidden=[20], likelihood="poisson"),
    ],
)
def count_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    dense: Dense = Dense(hidden=(128,), activation="relu", likelihood="negative-binomial"),
) -> Pair:
    """A VAE of counts whose means are scaled by each datum's size, which is given; `scvi` has a latent one.

    Args:
        spec: description of counts, (D,), with a size (transform library-size), ``data.spec``.
        likelihood: negative-binomial by default, poisson, or a zero-inflated form, alone or with options, as in
            'negative-binomial:dispersion=predicted'.

    References: Lopez et al., Deep Generative Modeling for Single-cell Transcriptomics, 2018, Methods.
    """
    guide = guides.DiagonalGaussian(dense.count_encoder(2 * latent_dim))
    return models.CountVAE(*dense.decoder(latent_dim), latent_dim), guide
