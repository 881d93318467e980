"""The neural variational document model."""

from __future__ import annotations

from dataclasses import replace

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["nvdm"]


@recipe(
    "Miao, Yu and Blunsom",
    "Neural Variational Inference for Text Processing",
    2016,
    kinds=["count"],
    tiny=[tiny("counts", latent_dim=3, hidden=[20]), tiny("counts", latent_dim=3, hidden=[20], likelihood="multinomial")],
)
def nvdm(
    spec: DataSpec,
    *,
    latent_dim: int = 50,
    dense: Dense = Dense(hidden=(500,), activation="tanh", likelihood="bag-of-words"),
) -> Pair:
    """A VAE of documents whose words are softmax(R h + b), h ~ N(0, I_d): its decoder is one layer, whatever ``hidden``.

    log p(x) is of the words in their order; likelihood='multinomial' has the coefficient that counts alone would have. The
    encoder sees log(1 + x), of raw counts its scales overflow; both parts are trained at once, where the authors' code
    alternates between them every ten epochs.

    Args:
        spec: description of counts of words, (V,), ``data.spec``.

    References: Miao, Yu and Blunsom, Neural Variational Inference for Text Processing, 2016, Section 3.
    """
    decoder, likelihood = replace(dense, hidden=()).decoder(latent_dim)
    return models.VAE(decoder, likelihood, latent_dim), guides.DiagonalGaussian(dense.count_encoder(2 * latent_dim))
