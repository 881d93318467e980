"""ADGM: M2 with an auxiliary latent variable in the guide."""

from __future__ import annotations

from pyrovae import models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import LABELS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import SEMISUPERVISED, AuxiliaryDense

__all__ = ["adgm"]


@recipe(
    "Maaloe et al.",
    "Auxiliary Deep Generative Models",
    2016,
    sites=["z", "y", "a"],
    objective=SEMISUPERVISED,
    needs=[LABELS],
    tiny=[tiny("labels", latent_dim=3, auxiliary_dim=2, hidden=[20])],
)
def adgm(spec: DataSpec, *, latent_dim: int = 100, dense: AuxiliaryDense = AuxiliaryDense()) -> Pair:
    """The auxiliary deep generative model: M2 whose guide is a mixture over a, q(a | x) q(y | x, a) q(z | x, a, y).

    References: Maaloe et al., Auxiliary Deep Generative Models, 2016.
    """
    decoder, likelihood = dense.decoder([latent_dim, spec.classes])
    auxiliary = dense.encoder(2 * dense.auxiliary_dim, others=[latent_dim, spec.classes])
    model = models.ADGM(decoder, likelihood, auxiliary, latent_dim, spec.classes)
    return model, dense.guide(latent_dim)
