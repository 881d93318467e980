"""InfoVAE: a VAE with a weight on its codes' distribution over all data."""

from __future__ import annotations

from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["info_vae"]


@recipe(
    "Zhao, Song and Ermon",
    "InfoVAE: Balancing Learning and Inference in Variational Autoencoders",
    2019,
    objective="info-vae",
    tiny=[
        tiny("digits", latent_dim=3, hidden=[20]),
        tiny("grey", latent_dim=3, hidden=[20], alpha=0.5, divergence="gaussian"),
    ],
)
def info_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 8,
    dense: Dense = Dense(),
    alpha: float = 0.0,
    weight: float = 100.0,
    divergence: Literal["imq", "gaussian", "sliced-wasserstein"] = "imq",
) -> Pair:
    """A VAE whose KL is weighted by 1 - alpha for each datum, and by alpha + weight - 1 for the codes of all data together.

        E_q[log p(x | z)] - (1 - alpha) KL(q(z | x) || p(z)) - (alpha + weight - 1) D(q(z), p(z))

    With alpha = 0 and weight = 1 it is ``vae``; with alpha = 1 it is ``wae`` of a Gaussian posterior. What training reports is
    the ELBO, a lower bound whatever the weights; what it maximizes (column ``trained``) is no bound where alpha is above 0.
    Importance weights and every estimate of log p(x) exist.

    Args:
        alpha: how much of the mutual information of x and z is given back, at most 1.
        weight: lambda of the paper, at least 1 - alpha.
        divergence: D, the squared maximum mean discrepancy by the kernel "imq" or "gaussian", or "sliced-wasserstein".

    References: Zhao, Song and Ermon, InfoVAE: Balancing Learning and Inference in Variational Autoencoders, 2019, Eq. (6).
    """
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    guide = guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
    return Pair(model, guide, {"name": "info-vae", "alpha": alpha, "weight": weight, "divergence": divergence})
