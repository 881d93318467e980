"""The VQ-VAE: latents that are codewords."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import get, recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import CodePrior, Codewords, Dense

__all__ = ["vq_vae"]


@recipe(
    "van den Oord et al.",
    "Neural Discrete Representation Learning",
    2017,
    objective="vq",
    tiny=[
        tiny("digits", num_places=2, num_codes=4, code_dim=2, hidden=[16]),
        tiny("digits", num_places=2, num_codes=4, code_dim=2, hidden=[16], num_quantizers=2),
    ],
)
def vq_vae(
    spec: DataSpec,
    *,
    num_places: int = 8,
    words: Codewords = Codewords(),
    beta: float = 0.25,
    dense: Dense = Dense(),
    codes: CodePrior = CodePrior(),
) -> Pair:
    """p(x | z) p(z), z the codewords nearest to what the encoder gives at P places: a discrete code of x.

    Args:
        num_places: P, places of a datum, each with codewords of its own.
        beta: weight of the commitment of the encoder.

    References: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017.
    """
    if codes.learned:
        own = {"num_places": num_places, "beta": beta}
        return codes.second_stage(get("vq-vae").build(spec, **own, **words.values(), **dense.values()), num_places)
    codebook, size = words.codebook(), num_places * words.code_dim
    guide = guides.VQVAEGuide(dense.encoder(size), codebook, num_places)
    return Pair(models.VQVAE(*dense.decoder(size), codebook, num_places), guide, {"name": "vq", "beta": beta})
