"""The beta-TCVAE: a VAE with weights on the three parts of its KL."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["beta_tcvae"]


@recipe(
    "Chen et al.",
    "Isolating Sources of Disentanglement in Variational Autoencoders",
    2018,
    objective="tc",
    tiny=[tiny("digits", latent_dim=3, hidden=[20]), tiny("digits", latent_dim=3, hidden=[20], weighting="stratified")],
)
def beta_tcvae(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    dense: Dense = Dense(),
    alpha: float = 1.0,
    beta: float = 6.0,
    gamma: float = 1.0,
    weighting: str = "minibatch",
) -> Pair:
    """E_q[log p(x | z)] - alpha I(x; z) - beta TC(z) - gamma sum_j KL(q(z_j) || p(z_j)): a VAE trained by this objective.

    The pair is the VAE's; what is reported stays the ELBO.

    Args:
        alpha: weight of the mutual information.
        beta: weight of the total correlation.
        gamma: weight of the dimension-wise KL.
        weighting: of the batch in the estimate of the aggregate posterior: "minibatch", as published, or "stratified".

    References: Chen, Li, Grosse and Duvenaud, Isolating Sources of Disentanglement, 2018, Eq. (4).
    """
    guide = guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    return Pair(model, guide, {"name": "tc", "alpha": alpha, "beta": beta, "gamma": gamma, "weighting": weighting})
