"""The VQ-VAE with convolutional networks: codewords at the places of a smaller image."""

from __future__ import annotations

import math

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import Codebook
from pyrovae.pairs.catalogue import get, recipe
from pyrovae.pairs.needs import IMAGES
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import CodePrior, Grid

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
    num_codes: int = 128,
    code_dim: int = 64,
    num_quantizers: int = 1,
    decay: float = 0.99,
    restart: float = 0.01,
    beta: float = 0.25,
    networks: Grid = Grid(),
    codes: CodePrior = CodePrior(),
) -> Pair:
    """Codewords at each place of the image that strided convolutions leave, 7 x 7 for 28 x 28 and two layers.

    Args:
        num_codes: K, codewords of a quantizer, which all places share.
        code_dim: D, numbers of a codeword.
        num_quantizers: Q; each has what those before it leave over.
        decay: of the moving averages that codewords follow.
        restart: share of the mean use under which a codeword begins anew.
        beta: weight of the commitment of the encoder.

    References: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017.
    """
    if codes.learned:
        own = {"num_codes": num_codes, "code_dim": code_dim, "num_quantizers": num_quantizers, "decay": decay}
        first = get("conv-vq-vae").build(spec, **own, restart=restart, beta=beta, **networks.values())
        return codes.second_stage(first, first.guide.encoder.grid)
    codebook, encoder = Codebook(num_codes, code_dim, num_quantizers, decay, restart), networks.encoder(code_dim)
    places = math.prod(encoder.grid)
    model = models.VQVAE(*networks.decoder(code_dim), codebook, places)
    return Pair(model, guides.VQVAEGuide(encoder, codebook, places), {"name": "vq", "beta": beta})
