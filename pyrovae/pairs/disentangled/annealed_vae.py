"""The annealed VAE: the KL is held to a capacity that grows in training."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import OptionError
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["annealed_vae"]


@recipe(
    "Burgess et al.",
    "Understanding Disentangling in beta-VAE",
    2018,
    objective={"name": "meanfield", "capacity": 25.0, "gamma": 1000.0},
    tiny=[tiny("digits", latent_dim=3, hidden=[20], capacity=2.0, gamma=10.0)],
)
def annealed_vae(
    spec: DataSpec, *, latent_dim: int = 10, dense: Dense = Dense(), capacity: float = 25.0, gamma: float = 1000.0
) -> Pair:
    """E_q[log p(x | z)] - gamma |KL(q || p) - capacity|, the capacity growing from 0 by ``fit(kl_warmup=epochs)``.

    The KL is the mean of the batch, as in the paper. A capacity above the factors' entropy, 13.5 nats of dSprites, buys noise.

    Args:
        capacity: the KL that is aimed at in the end, nats per datum.
        gamma: weight of the distance from it.

    References: Burgess et al., Understanding Disentangling in beta-VAE, 2018, Eq. (8).
    """
    for name, value in (("capacity", capacity), ("gamma", gamma)):
        if value <= 0:
            raise OptionError(f"{name} is {value!r}; expected a number above 0.")
    guide = guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    return Pair(model, guide, {"name": "meanfield", "capacity": capacity, "gamma": gamma})
