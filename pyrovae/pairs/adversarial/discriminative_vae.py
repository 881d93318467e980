"""Discriminative regularization: a VAE that has to explain what a classifier sees."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import Classifier
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import IMAGES, LABELS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Convolutional

__all__ = ["discriminative_vae"]


@recipe(
    "Lamb, Dumoulin and Courville",
    "Discriminative Regularization for Generative Models",
    2016,
    objective="meanfield",
    needs=[IMAGES, LABELS],
    tiny=[
        tiny("digits", latent_dim=3, channels=[4], hidden=16),
        tiny("grey", latent_dim=3, channels=[4, 4], hidden=16),
    ],
)
def discriminative_vae(spec: DataSpec, *, latent_dim: int = 32, conv: Convolutional = Convolutional()) -> Pair:
    """A VAE whose pictures must look alike to a classifier, too, by its convolutions' features, of learned scales.

    The classifier is trained first, as a stage on the labels, and then stands still (:func:`pyrovae.fit_stages`). What
    training and ``log_evidence`` report is of x and of its features; log p(x) is that of the pair without them,
    ``pyrovae.effects.without_sites(pair, "h1", "h2")``, and is usually lower than a VAE's: looks are paid for in nats of
    pixels.

    Args:
        channels: of the 3x3 convolutions of stride 2 of encoder and classifier, and reversed of the decoder.
        hidden: size of the dense layers between the convolutions and z, or the class.

    References: Lamb, Dumoulin and Courville, Discriminative Regularization for Generative Models, 2016, Section 3.
    """
    classifier = Classifier(spec.shape, conv.channels, [conv.hidden], spec.classes)
    first = Pair(classifier.program, guides.NoLatents())
    model = models.DiscriminativeVAE(*conv.decoder(latent_dim), latent_dim, classifier)
    guide = guides.DiagonalGaussian(conv.encoder(2 * latent_dim))
    sites = {f"h{number}": "x" for number in range(1, len(conv.channels) + 1)}
    return Pair(model, guide, "meanfield", stages=(first,), sites=sites)
