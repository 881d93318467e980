"""SDGM: M2 with an auxiliary latent variable between the class and the data."""

from __future__ import annotations

from pyrovae import models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import LABELS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import SEMISUPERVISED, AuxiliaryDense

__all__ = ["sdgm"]


@recipe(
    "Maaloe et al.",
    "Auxiliary Deep Generative Models",
    2016,
    sites=["z", "y", "a"],
    objective=SEMISUPERVISED,
    needs=[LABELS],
    tiny=[tiny("labels", latent_dim=3, auxiliary_dim=2, hidden=[20])],
)
def sdgm(spec: DataSpec, *, latent_dim: int = 100, dense: AuxiliaryDense = AuxiliaryDense()) -> Pair:
    """The skip deep generative model: x depends on a, z and y, and a on z and y.

    References: Maaloe et al., Auxiliary Deep Generative Models, 2016.
    """
    decoder, likelihood = dense.decoder([dense.auxiliary_dim, latent_dim, spec.classes])
    auxiliary = dense.joint([latent_dim, spec.classes], 2 * dense.auxiliary_dim)
    model = models.SDGM(decoder, likelihood, auxiliary, latent_dim, spec.classes)
    return model, dense.guide(latent_dim)
