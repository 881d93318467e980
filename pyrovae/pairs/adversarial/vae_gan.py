"""VAE/GAN, and the VAE of a discriminator's features that was trained before it."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.nets import Discriminator, MLPEncoder
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import IMAGES
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Convolutional

__all__ = ["vae_gan"]


@recipe(
    "Larsen, Sonderby, Larochelle and Winther",
    "Autoencoding beyond pixels using a learned similarity metric",
    2016,
    objective="vae-gan",
    needs=[IMAGES],
    only={"gamma": {"discriminator": "joint"}, "margin": {"discriminator": "joint"}},
    tiny=[
        tiny("digits", latent_dim=3, channels=[4], hidden=16, layer=1),
        tiny("grey", latent_dim=3, channels=[4], hidden=16, layer=1, discriminator="first"),
    ],
)
def vae_gan(
    spec: DataSpec,
    *,
    latent_dim: int = 32,
    conv: Convolutional = Convolutional(scale=1.0),
    layer: int = 2,
    gamma: float = 0.01,
    margin: float | None = None,
    discriminator: Literal["joint", "first"] = "joint",
) -> Pair:
    """A VAE and a GAN of one decoder, whose reconstructions are compared by the features of the discriminator.

    What x ~ p(x | z) is does not matter in training, but for its mean: log p(x) is that of pixels with a scale that is
    given, 1 unless you fit one afterwards.

    Args:
        scale: of a gaussian likelihood, a number.
        channels: of the 3x3 convolutions of stride 2 of encoder and discriminator, and reversed of the decoder.
        hidden: size of the dense layers between the convolutions and z, or the logit.
        layer: of the discriminator whose output is compared, counted from 1 through the convolutions and on.
        gamma: weight of the comparison in the decoder's update, beside that of the GAN (objective ``vae-gan``).
        margin: of the rule by which the stronger of model and discriminator waits; by default neither does.
        discriminator: "joint", trained with the VAE; or "first", the paper's baseline: with a GAN, as a stage, and then it
            stands still (:func:`pyrovae.fit_stages`).

    References: Larsen, Sonderby, Larochelle and Winther, Autoencoding beyond pixels using a learned similarity metric, 2016,
    Algorithm 1 and Section 4.
    """
    if not isinstance(conv.scale, (int, float)):
        raise OptionError(f"scale is {conv.scale!r}; expected a number, since no term of VAE/GAN trains it.")
    guide = guides.DiagonalGaussian(conv.encoder(2 * latent_dim))
    if discriminator == "joint":
        sizes = {"channels": list(conv.channels), "hidden": [conv.hidden], "layer": layer, "gamma": gamma, "margin": margin}
        return Pair(models.VAE(*conv.decoder(latent_dim), latent_dim), guide, {"name": "vae-gan", **sizes})
    network = Discriminator(spec.shape, conv.channels, [conv.hidden], layer)
    gan, vae = (models.VAEGAN(*conv.decoder(latent_dim), latent_dim, network) for _ in range(2))
    unused = guides.DiagonalGaussian(MLPEncoder(spec.shape, [], 2 * latent_dim))
    first = Pair(gan, unused, {"name": "iw-gan", "weighting": "uniform"})
    return Pair(vae, guide, "feature-elbo", stages=(first,))
