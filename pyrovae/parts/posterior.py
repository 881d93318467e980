"""The families of q(z | x) that recipes of one latent vector choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from pyrovae import guides
from pyrovae.distributions import SpherePrior
from pyrovae.parts.options import Options
from pyrovae.registry import Registry

__all__ = ["POSTERIORS", "Posterior"]

Encoder = Callable[[int], nn.Module]  # from how many features it must give
POSTERIORS: Registry[Callable[..., nn.Module]] = Registry("posterior", given=2)


@POSTERIORS.enter("diagonal")
def diagonal(encoder: Encoder, latent_dim: int) -> nn.Module:
    """A Gaussian without correlations."""
    return guides.DiagonalGaussian(encoder(2 * latent_dim))


@POSTERIORS.enter("full-rank")
def full_rank(encoder: Encoder, latent_dim: int) -> nn.Module:
    """A Gaussian with correlations."""
    return guides.FullRankGaussian(encoder(guides.FullRankGaussian.num_features(latent_dim)), latent_dim)


@POSTERIORS.enter("rank-one")
def rank_one(encoder: Encoder, latent_dim: int) -> nn.Module:
    """A Gaussian with one direction of correlation."""
    return guides.RankOneGaussian(encoder(3 * latent_dim))


@POSTERIORS.enter("hyperspherical")
def hyperspherical(encoder: Encoder, latent_dim: int) -> nn.Module:
    """A von Mises-Fisher distribution of unit vectors, whose prior is uniform on the sphere."""
    return guides.Hyperspherical(encoder(latent_dim + 1))


@POSTERIORS.enter("mixture")
def mixture(encoder: Encoder, latent_dim: int, num_components: int) -> nn.Module:
    """A mixture of Gaussians."""
    features = guides.GaussianMixture.num_features(latent_dim, num_components)
    return guides.GaussianMixture(encoder(features), num_components)


@dataclass(frozen=True, kw_only=True)
class Posterior(Options):
    """A family of q(z | x).

    Attributes:
        posterior: family of q(z | x).
        num_components: of a mixture.
    """

    posterior: Literal[tuple(POSTERIORS)] = "diagonal"  # type: ignore[valid-type]
    num_components: int = 5

    def prior(self, latent_dim: int) -> nn.Module | None:
        """p(z) where it is not N(0, I): on the sphere that a hyperspherical posterior lives on."""
        return SpherePrior(latent_dim) if self.posterior == "hyperspherical" else None

    def guide(self, encoder: Encoder, latent_dim: int) -> nn.Module:
        """The guide of an encoder that is made with as many features as the family needs."""
        return POSTERIORS.build(self.posterior, encoder, latent_dim, **self.own(POSTERIORS, self.posterior))
