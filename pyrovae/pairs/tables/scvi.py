"""The variational autoencoder of counts whose size is latent."""

from __future__ import annotations

import math

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["scvi"]


@recipe(
    "Lopez, Regier, Cole, Jordan and Yosef",
    "Deep Generative Modeling for Single-cell Transcriptomics",
    2018,
    sites=["z", "l"],
    kinds=["count"],
    tiny=[tiny("counts", latent_dim=3, hidden=[20], likelihood="zero-inflated-negative-binomial")],
)
def scvi(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    dense: Dense = Dense(hidden=(128,), activation="relu", likelihood="negative-binomial"),
) -> Pair:
    """The VAE of counts of the paper: each datum's size is a latent log-normal number; `count-vae` has a given one.

    Args:
        spec: description of counts, (D,), ``data.spec``.
        likelihood: negative-binomial by default, poisson, or a zero-inflated form, alone or with options, as in
            'zero-inflated-negative-binomial:dispersion=predicted'.

    References: Lopez et al., Deep Generative Modeling for Single-cell Transcriptomics, 2018, Methods.
    """
    start_size = 1.0 if spec.mean is None else float(spec.mean.sum())
    model = models.CountVAE(*dense.decoder(latent_dim), latent_dim, start_size)
    return model, guides.SCVIGuide(dense.count_encoder(2 * latent_dim), dense.count_encoder(2, [math.log(start_size), -2.0]))
