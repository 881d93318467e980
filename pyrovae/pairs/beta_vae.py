"""The beta-VAE in its two forms: a fixed weight of the KL, and a capacity that it is held to."""

from __future__ import annotations

from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.vae import Activation, LikelihoodName, Scale, vae

__all__ = ["beta_vae"]


@recipe("beta-vae", "Higgins et al., beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", 2017)
def beta_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    hidden: list[int] | tuple[int, ...] = (200, 200),
    activation: Activation = "tanh",
    likelihood: LikelihoodName | None = None,
    scale: Scale = "shared",
    beta: float | None = None,
    capacity: float | None = None,
    gamma: float = 1000.0,
) -> Pair:
    """E_q[log p(x | z)] - beta KL(q || p), or E_q[log p(x | z)] - gamma |KL(q || p) - capacity|: a VAE trained by these.

    The pair is the VAE's, since beta is no part of a model or a guide: the recipe chooses the objective, whose reported bound
    stays the ELBO. For the capacity to grow in training, as in Burgess et al., give ``fit(kl_warmup=epochs)``.

    Args:
        beta: weight of the KL, by default 4 where no capacity is given.
        capacity: the KL that is aimed at, nats per datum, in place of beta.
        gamma: weight of the distance from it.

    References: Higgins et al., beta-VAE, 2017, Eq. (4); Burgess et al., Understanding Disentangling in beta-VAE, 2018.
    """
    options = {"hidden": hidden, "activation": activation, "likelihood": likelihood, "scale": scale}
    pair = vae(spec, latent_dim=latent_dim, **options)
    if capacity is None:
        return Pair(pair.model, pair.guide, {"name": "meanfield", "beta": 4.0 if beta is None else beta})
    weights = {"capacity": capacity, "gamma": gamma, **({} if beta is None else {"beta": beta})}
    return Pair(pair.model, pair.guide, {"name": "meanfield", **weights})
