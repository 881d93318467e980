"""Probabilistic PCA and factor analysis as a pair."""

from __future__ import annotations

import math
from typing import Literal

from pyrovae import guides
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.models import LinearGaussian
from pyrovae.nets.factor_analysis import FactorAnalysis
from pyrovae.pairs.catalogue import recipe

__all__ = ["linear_gaussian"]


@recipe("linear-gaussian", "Tipping and Bishop, Probabilistic Principal Component Analysis", 1999)
def linear_gaussian(spec: DataSpec, *, latent_dim: int = 10, noise: Literal["shared", "diagonal"] = "shared") -> Pair:
    """z ~ N(0, I), x | z ~ N(W z + m, Psi), with the exact posterior as guide: the ELBO is log p(x).

    Args:
        noise: 'shared' for one variance (probabilistic PCA), 'diagonal' for one a dimension (factor analysis).

    References: Tipping and Bishop, Probabilistic Principal Component Analysis, 1999, Eq. (2) and (6).
    """
    law = FactorAnalysis(latent_dim, math.prod(spec.shape), noise)
    if spec.mean is not None:
        law.loc.data.copy_(spec.mean.flatten())
    return Pair(LinearGaussian(law), guides.LinearGaussian(law))
