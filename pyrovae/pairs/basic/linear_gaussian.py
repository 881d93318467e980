"""Probabilistic PCA and factor analysis as a pair."""

from __future__ import annotations

import math
from typing import Literal

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.nets import FactorAnalysis
from pyrovae.pairs.catalogue import recipe
from pyrovae.pairs.tiny import tiny

__all__ = ["linear_gaussian"]


@recipe(
    "Tipping and Bishop",
    "Probabilistic Principal Component Analysis",
    1999,
    tiny=[tiny("grey", latent_dim=3), tiny("grey", latent_dim=3, noise="diagonal")],
)
def linear_gaussian(spec: DataSpec, *, latent_dim: int = 10, noise: Literal["shared", "diagonal"] = "shared") -> Pair:
    """z ~ N(0, I), x | z ~ N(W z + m, Psi), with the exact posterior as guide: the ELBO is log p(x).

    Args:
        noise: 'shared' for one variance (probabilistic PCA), 'diagonal' for one a dimension (factor analysis).

    References: Tipping and Bishop, Probabilistic Principal Component Analysis, 1999, Eq. (2) and (6).
    """
    parameters = FactorAnalysis(latent_dim, math.prod(spec.shape), noise)
    if spec.mean is not None:
        parameters.loc.data.copy_(spec.mean.flatten())
    return models.LinearGaussian(parameters), guides.LinearGaussian(parameters)
