"""The beta-VAE in its two forms: a fixed weight of the KL, and a capacity that it is held to."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["beta_vae"]

DEFAULT_BETA = 2.0


@recipe(
    "Higgins et al.",
    "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework",
    2017,
    objective={"name": "meanfield", "beta": DEFAULT_BETA},
    only={"gamma": "capacity"},
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20]),
        tiny("digits", latent_dim=3, hidden=[20], capacity=2.0, gamma=10.0),
    ],
)
def beta_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    dense: Dense = Dense(),
    beta: float | None = None,
    capacity: float | None = None,
    gamma: float = 1000.0,
) -> Pair:
    """E_q[log p(x | z)] - beta KL(q || p), or E_q[log p(x | z)] - gamma |KL(q || p) - capacity|: a VAE trained by these.

    The pair is the VAE's, since beta is no part of a model or a guide: the recipe chooses the objective, whose reported bound
    stays the ELBO. For the capacity to grow in training, as in Burgess et al., give ``fit(kl_warmup=epochs)``.

    Args:
        beta: weight of the KL, by default 2 where no capacity is given; the paper's 4 is for images of 64 x 64, and turns off
            every latent dimension on 8 x 8 digits.
        capacity: the KL that is aimed at, nats per datum, in place of beta.
        gamma: weight of the distance from it.

    References: Higgins et al., beta-VAE, 2017, Eq. (4); Burgess et al., Understanding Disentangling in beta-VAE, 2018.
    """
    guide = guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    if capacity is None:
        return Pair(model, guide, {"name": "meanfield", "beta": DEFAULT_BETA if beta is None else beta})
    weights = {"capacity": capacity, "gamma": gamma, **({} if beta is None else {"beta": beta})}
    return Pair(model, guide, {"name": "meanfield", **weights})
