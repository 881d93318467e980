"""The hierarchical variational model: an auxiliary latent in the guide."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["hvm"]


@recipe(
    "Ranganath, Tran and Blei",
    "Hierarchical Variational Models",
    2016,
    sites=["lam", "z"],
    tiny=[tiny("digits", latent_dim=3, auxiliary_dim=2, hidden=[20])],
)
def hvm(spec: DataSpec, *, latent_dim: int = 50, auxiliary_dim: int = 50, dense: Dense = Dense()) -> Pair:
    """A VAE whose posterior is a continuous mixture of Gaussians, over an auxiliary latent lam.

        L = E_q(lam, z | x)[log p(x, z) + log r(lam | z, x) - log q(lam | x) - log q(z | lam, x)]

    r is a site of the model after x: every bound and estimate of log p(x) of the pair is one of the VAE alone.

    Args:
        auxiliary_dim: e, of lam.

    References: Ranganath, Tran and Blei, Hierarchical Variational Models, 2016, Eq. (7).
    """
    after = dense.encoder(2 * auxiliary_dim, [latent_dim])
    guide = guides.AuxiliaryGaussian(dense.encoder(2 * auxiliary_dim), dense.encoder(2 * latent_dim, [auxiliary_dim]))
    return models.HVM(*dense.decoder(latent_dim), latent_dim, after), guide
