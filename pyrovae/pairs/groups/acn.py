"""Associative compression networks."""

from __future__ import annotations

from typing import Literal

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import NeighbourPrior
from pyrovae.nets import MLP, loc_and_scale
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import ROW_NUMBERS
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense, MaskedDecoder

__all__ = ["acn"]


@recipe(
    "Graves, Menick and van den Oord",
    "Associative Compression Networks for Representation Learning",
    2018,
    needs=[ROW_NUMBERS],
    only={"channels": {"decoder": "convolution"}},
    tiny=[tiny("numbered", latent_dim=3, hidden=[20], prior_hidden=[12])],
)
def acn(
    spec: DataSpec,
    *,
    latent_dim: int = 16,
    num_neighbours: int = 5,
    prior_hidden: list[int] | tuple[int, ...] = (200, 200),
    decoder: Literal["mlp", "convolution"] = "mlp",
    channels: int = 32,
    dense: Dense = Dense(),
) -> Pair:
    """Codes z ~ N(m(x), I) whose prior is told the code of a neighbour, p(z | c): what is alike comes to lie together.

    Trained is the cost E_c[KL(q(z | x) || p(z | c))] - E_q[log p(x | z)], c one of the k training codes nearest to m(x) in a
    table that is written as data are seen. Training reports -cost - log((N - 1) / k), in nats, which is a bound; the cost
    alone is none. Evaluation has p(z) = (1/N) sum_n p(z | c_n), exact.

    Args:
        num_neighbours: k.
        prior_hidden: sizes of the hidden layers from a neighbour's code to p(z | c).
        decoder: 'mlp', of independent values, or 'convolution', of masked ones: each value given those above and to the left.
        channels: of the masked convolutions, five layers.
        hidden: sizes of the hidden layers of the encoder, and reversed of an mlp decoder.

    References: Graves, Menick and van den Oord, Associative Compression Networks for Representation Learning, 2018.
    """
    encoder, num_codes = dense.encoder(latent_dim), spec.keys["row"].size or 0
    network = MLP(latent_dim, prior_hidden, 2 * latent_dim, dense.activation)
    prior = NeighbourPrior(encoder, network, loc_and_scale, num_codes, latent_dim, num_neighbours)
    masked = decoder == "convolution"
    parts = (nn.Identity(), MaskedDecoder(spec, channels, latent_dim)) if masked else dense.decoder(latent_dim)
    return models.ACN(*parts, prior), guides.IsotropicGaussian(encoder, 1.0)
