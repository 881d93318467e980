"""Factorized variational autoencoders."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.needs import ENTRIES
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["fvae"]


@recipe(
    "Deng, Navarathna, Carr, Mandt, Yue, Matthews and Mori",
    "Factorized Variational Autoencoders for Modeling Audience Reactions to Movies",
    2017,
    objective="map",
    density=False,
    needs=[ENTRIES],
    tiny=[tiny("entries", latent_dim=3, hidden=[16])],
)
def fvae(spec: DataSpec, *, latent_dim: int = 16, noise: float = 0.05, dense: Dense = Dense()) -> Pair:
    """Entries of a table, x with its ``row`` and ``column``, whose codes lie about products of the row's and column's factors.

    Entries that are missing are left out of the data; ``pair.model.expected(row, column)`` is the code of any. There is no
    log p(x): the factors are points that all data share.

    Args:
        latent_dim: d, of codes and of the factors.
        noise: the standard deviation of codes about the products.

    References: Deng et al., Factorized Variational Autoencoders for Modeling Audience Reactions to Movies, 2017.
    """
    size = tuple(spec.keys[key].size or 0 for key in ("row", "column"))
    model = models.FVAE(*dense.decoder(latent_dim), size, latent_dim, noise)
    return model, guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
