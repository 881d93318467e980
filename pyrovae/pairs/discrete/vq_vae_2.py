"""The VQ-VAE-2: codewords of two grids, the fine one's given the coarse one's."""

from __future__ import annotations

import math

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import GridJoin, TwoGridDecoder
from pyrovae.pairs.catalogue import get, recipe
from pyrovae.pairs.needs import IMAGES
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import CodePrior, Codewords, Grid

__all__ = ["vq_vae_2"]


@recipe(
    "Razavi, van den Oord and Vinyals",
    "Generating Diverse High-Fidelity Images with VQ-VAE-2",
    2019,
    sites=["z2", "z1"],
    objective="vq",
    needs=[IMAGES],
    tiny=[tiny("digits", channels=[4], num_codes=4, code_dim=3, prior="convolution", prior_hidden=6)],
)
def vq_vae_2(
    spec: DataSpec,
    *,
    words: Codewords = Codewords(num_codes=128, code_dim=64),
    beta: float = 0.25,
    networks: Grid = Grid(),
    codes: CodePrior = CodePrior(),
) -> Pair:
    """Codewords of two grids: a bottom one as in ``conv-vq-vae``, and a top one of half its height and width above it.

    28 x 28 pixels and two layers have grids of 7 x 7 and 4 x 4. With a learned prior the bound, in nats, is log p(x | z1, z2)
    + log p(z2) + log p(z1 | z2), each place given those before it in its grid, those of the bottom also given all of the top.

    Args:
        beta: weight of the commitment of the encoders.

    References: Razavi, van den Oord and Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019.
    """
    if codes.learned:
        first = get("vq-vae-2").build(spec, beta=beta, **words.values(), **networks.values())
        return codes.second_stage_of_two(first, (first.guide.encoder.grid, first.guide.top.grid))
    features, size = networks.channels[-1], words.code_dim
    encoder = networks.encoder(features)
    top = networks.above(encoder.grid, features, size)
    places = math.prod(encoder.grid), math.prod(top.grid)
    books = [words.codebook(), words.codebook()]
    decoder, likelihood = networks.decoder(features)
    both = TwoGridDecoder(GridJoin((size, size), encoder.grid, features), decoder)
    guide = guides.VQVAE2Guide(encoder, top, GridJoin((features, size), encoder.grid, size), books, places)
    return Pair(models.VQVAE2(both, likelihood, books, places), guide, {"name": "vq", "beta": beta})
