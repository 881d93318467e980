"""The DIP-VAE: a VAE whose codes are asked for the covariance of the prior."""

from __future__ import annotations

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny
from pyrovae.parts import Dense

__all__ = ["dip_vae"]


@recipe(
    "Kumar, Sattigeri and Balakrishnan",
    "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations",
    2018,
    objective="dip",
    tiny=[tiny("digits", latent_dim=3, hidden=[20])],
)
def dip_vae(
    spec: DataSpec,
    *,
    latent_dim: int = 10,
    dense: Dense = Dense(),
    form: str = "II",
    off_diagonal: float = 10.0,
    diagonal: float | None = None,
) -> Pair:
    """ELBO - off_diagonal sum_{i != j} S_ij^2 - diagonal sum_i (S_ii - 1)^2, S a covariance of codes: a VAE trained by it.

    The pair is the VAE's; what is reported stays the ELBO.

    Args:
        form: "I", S of the posterior means, or "II", S of the codes.
        off_diagonal: weight of the covariances.
        diagonal: weight of the variances' distance from 1; by default 10 times the other in form I, as much in form II.

    References: Kumar, Sattigeri and Balakrishnan, 2018, Eq. (6) and (7).
    """
    guide = guides.DiagonalGaussian(dense.encoder(2 * latent_dim))
    model = models.VAE(*dense.decoder(latent_dim), latent_dim)
    if diagonal is None:
        diagonal = 10 * off_diagonal if form == "I" else off_diagonal
    return Pair(model, guide, {"name": "dip", "form": form, "off_diagonal": off_diagonal, "diagonal": diagonal})
