"""M2: a class and a style, with labels for some data or for none."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import LABELS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import SEMISUPERVISED, Dense

__all__ = ["m2"]


@recipe(
    "Kingma et al.",
    "Semi-supervised Learning with Deep Generative Models",
    2014,
    sites=["z", "y"],
    objective=SEMISUPERVISED,
    needs=[LABELS],
    tiny=[tiny("labels", latent_dim=3, hidden=[20])],
)
def m2(spec: DataSpec, *, latent_dim: int = 50, dense: Dense = Dense(hidden=(500,), activation="softplus")) -> Pair:
    """M2: y ~ Cat(1/C), z ~ N(0, I), x | y, z; guide q(y | x) q(z | x, y), y summed exactly where it is unknown.

    Args:
        hidden: sizes of the hidden layers of the classifier and of the encoder, and reversed of the decoder.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Eq. (2) and (4).
    """
    model = models.M2(*dense.decoder([latent_dim, spec.classes]), latent_dim, spec.classes)
    classifier = dense.encoder(spec.classes)
    return model, guides.ClassGaussian(classifier, dense.encoder(2 * latent_dim, others=[spec.classes]))
