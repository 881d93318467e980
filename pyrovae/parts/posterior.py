"""The families of q(z | x) that recipes of one latent vector choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from pyrovae import guides, models
from pyrovae.distributions import SpherePrior
from pyrovae.errors import OptionError
from pyrovae.parts.networks import Convolutional, Dense
from pyrovae.parts.options import Options
from pyrovae.registry import Registry

__all__ = ["POSTERIORS", "Posterior"]

Encoder = Callable[..., nn.Module]  # from how many features it must give, and the sizes of inputs beside x
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


@POSTERIORS.enter("auxiliary")
def auxiliary(encoder: Encoder, latent_dim: int, auxiliary_dim: int) -> nn.Module:
    """A mixture of Gaussians without end, over an auxiliary latent that the model accounts for."""
    return guides.AuxiliaryGaussian(encoder(2 * auxiliary_dim), encoder(2 * latent_dim, [auxiliary_dim]))


@dataclass(frozen=True, kw_only=True)
class Posterior(Options):
    """A family of q(z | x).

    Attributes:
        posterior: family of q(z | x).
        num_components: of a mixture.
        auxiliary_dim: of the auxiliary latent lam.
    """

    posterior: Literal[tuple(POSTERIORS)] = "diagonal"  # type: ignore[valid-type]
    num_components: int = 5
    auxiliary_dim: int = 20

    def guide(self, networks: Dense | Convolutional, latent_dim: int) -> nn.Module:
        """The guide, whose encoder has as many features as the family needs."""
        own = self.own(POSTERIORS, self.posterior)
        if self.posterior == "auxiliary" and not isinstance(networks, Dense):
            raise OptionError(
                "posterior 'auxiliary' needs encoders of x and lam together, which convolutional networks lack; use pair vae."
            )
        return POSTERIORS.build(self.posterior, networks.encoder, latent_dim, **own)

    def model(self, networks: Dense | Convolutional, latent_dim: int) -> nn.Module:
        """The VAE; with a prior uniform on the sphere for a hyperspherical family, and r(lam | z, x) for an auxiliary one."""
        decoder, likelihood = networks.decoder(latent_dim)
        if self.posterior == "auxiliary" and isinstance(networks, Dense):
            after = networks.encoder(2 * self.auxiliary_dim, [latent_dim])
            return models.HVM(decoder, likelihood, latent_dim, after)
        prior = SpherePrior(latent_dim) if self.posterior == "hyperspherical" else None
        return models.VAE(decoder, likelihood, latent_dim, prior)
