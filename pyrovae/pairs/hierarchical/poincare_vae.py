"""The VAE whose latent space is a hyperbolic one."""

from __future__ import annotations

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.distributions import BallPrior
from pyrovae.nets import Gyroplanes
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["poincare_vae"]


@recipe(
    "Mathieu, Le Lan, Maddison, Tomioka and Teh",
    "Continuous Hierarchical Representations with Poincare Variational Auto-Encoders",
    2019,
    tiny=[tiny("digits", latent_dim=3, planes=9, hidden=[20])],
)
def poincare_vae(
    spec: DataSpec, *, latent_dim: int = 10, planes: int = 200, dense: Dense = Dense(hidden=(200,), activation="relu")
) -> Pair:
    """Latents in the Poincare ball of curvature -1, with a wrapped normal prior and posterior.

    Args:
        planes: hyperplanes, the distances to which are what the decoder sees.

    References: Mathieu et al., Continuous Hierarchical Representations with Poincare VAEs, 2019, Section 4.
    """
    guide = guides.PoincareNormal(dense.encoder(2 * latent_dim))
    decoder, likelihood = dense.decoder(planes)
    decoder = nn.Sequential(Gyroplanes(latent_dim, planes), decoder)
    return models.VAE(decoder, likelihood, latent_dim, BallPrior(latent_dim)), guide
