"""M2: a class and a style, with labels for some data or for none."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import likelihoods
from pyrovae.errors import OptionError
from pyrovae.nets.mlp import MLPDecoder, MLPEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, start_decoder

__all__ = ["OBJECTIVE", "m2", "num_classes"]

OBJECTIVE = {"name": "semisupervised", "base": "meanfield"}


def num_classes(spec: DataSpec) -> int:
    """C, the number of classes; refuses data without labels."""
    if not spec.classes:
        raise OptionError(f"{spec.name} has no labels y, and this pair has a class: use data with y (-1 where it is unknown).")
    return spec.classes


@recipe("m2", "Kingma et al., Semi-supervised Learning with Deep Generative Models", 2014)
def m2(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    hidden: list[int] | tuple[int, ...] = (500,),
    activation: Activation = "softplus",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
) -> Pair:
    """M2: y ~ Cat(1/C), z ~ N(0, I), x | y, z; guide q(y | x) q(z | x, y), y summed exactly where it is unknown.

    Args:
        hidden: sizes of the hidden layers of the classifier and of the encoder, and reversed of the decoder.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Eq. (2) and (4).
    """
    classes = num_classes(spec)
    law = likelihoods.build(likelihood, spec.shape, spec.kind, spec.levels, scale)
    decoder = MLPDecoder([latent_dim, classes], list(reversed(hidden)), spec.shape, law.num_params, activation)
    start_decoder(decoder, law, spec)
    classifier = MLPEncoder(spec.shape, hidden, classes, activation)
    encoder = MLPEncoder(spec.shape, hidden, 2 * latent_dim, activation, others=[classes])
    model = models.M2(decoder, law, latent_dim, classes)
    return Pair(model, guides.ClassGaussian(classifier, encoder), OBJECTIVE)
