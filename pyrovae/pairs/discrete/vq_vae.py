"""The VQ-VAE: latents that are codewords."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import Codebook
from pyrovae.pairs.catalogue import get, recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import CodePrior, Dense

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
    num_codes: int = 32,
    code_dim: int = 8,
    num_quantizers: int = 1,
    decay: float = 0.99,
    restart: float = 0.01,
    beta: float = 0.25,
    dense: Dense = Dense(),
    codes: CodePrior = CodePrior(),
) -> Pair:
    """p(x | z) p(z), z the codewords nearest to what the encoder gives at P places: a discrete code of x.

    Args:
        num_places: P, places of a datum, each with codewords of its own.
        num_codes: K, codewords of a quantizer, which all places share.
        code_dim: D, numbers of a codeword.
        num_quantizers: Q; each has what those before it leave over.
        decay: of the moving averages that codewords follow.
        restart: share of the mean use under which a codeword begins anew.
        beta: weight of the commitment of the encoder.

    References: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017.
    """
    if codes.learned:
        own = {"num_places": num_places, "num_codes": num_codes, "code_dim": code_dim, "num_quantizers": num_quantizers}
        first = get("vq-vae").build(spec, **own, decay=decay, restart=restart, beta=beta, **dense.values())
        return codes.second_stage(first, num_places)
    codebook = Codebook(num_codes, code_dim, num_quantizers, decay, restart)
    guide = guides.VQVAEGuide(dense.encoder(num_places * code_dim), codebook, num_places)
    model = models.VQVAE(*dense.decoder(num_places * code_dim), codebook, num_places)
    return Pair(model, guide, {"name": "vq", "beta": beta})
