"""FactorVAE: a VAE whose codes a discriminator cannot tell from codes with independent dimensions."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["factor_vae"]


@recipe(
    "Kim and Mnih",
    "Disentangling by Factorising",
    2018,
    objective="factor",
    tiny=[tiny("digits", latent_dim=3, hidden=[20], discriminator_hidden=10, discriminator_depth=2)],
)
def factor_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    dense: Dense = Dense(),
    gamma: float = 10.0,
    discriminator_hidden: int = 1000,
    discriminator_depth: int = 6,
) -> Pair:
    """ELBO - gamma TC(z), the total correlation by a discriminator that is trained beside: a VAE trained by this objective.

    The pair is the VAE's; :class:`pyrovae.objectives.Factor` owns the discriminator and trains it on a second batch.

    Args:
        gamma: weight of the total correlation; the paper's is 35 on images of 64 x 64.
        discriminator_hidden: width of the discriminator's layers.
        discriminator_depth: how many of them.

    References: Kim and Mnih, Disentangling by Factorising, 2018, Eq. (2) and Algorithm 2.
    """
    guide = guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    objective = {"name": "factor", "gamma": gamma, "hidden": discriminator_hidden, "depth": discriminator_depth}
    return Pair(model, guide, objective)
