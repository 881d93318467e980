"""The VQ-VAE with convolutional networks: codewords at the places of a smaller image."""

from __future__ import annotations

import math

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import get, recipe
from pyrovae.pairs.needs import IMAGES
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import CodePrior, Codewords, Grid

__all__ = ["conv_vq_vae"]


@recipe(
    "van den Oord et al.",
    "Neural Discrete Representation Learning",
    2017,
    objective="vq",
    needs=[IMAGES],
    tiny=[tiny("digits", channels=[4, 4], num_codes=4, code_dim=3, prior="convolution", prior_hidden=6)],
)
def conv_vq_vae(
    spec: DataSpec,
    *,
    words: Codewords = Codewords(num_codes=128, code_dim=64),
    beta: float = 0.25,
    networks: Grid = Grid(),
    codes: CodePrior = CodePrior(),
) -> Pair:
    """Codewords at each place of the image that strided convolutions leave, 7 x 7 for 28 x 28 and two layers.

    Args:
        beta: weight of the commitment of the encoder.

    References: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017.
    """
    if codes.learned:
        first = get("conv-vq-vae").build(spec, beta=beta, **words.values(), **networks.values())
        return codes.second_stage(first, first.guide.encoder.grid)
    codebook, encoder = words.codebook(), networks.encoder(words.code_dim)
    places = math.prod(encoder.grid)
    model = models.VQVAE(*networks.decoder(words.code_dim), codebook, places)
    return Pair(model, guides.VQVAEGuide(encoder, codebook, places), {"name": "vq", "beta": beta})
