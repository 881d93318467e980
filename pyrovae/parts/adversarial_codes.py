"""What codes of an adversarial autoencoder are, and what they shall be distributed as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from pyrovae import guides
from pyrovae.distributions import PetalsPrior, SwissRollPrior
from pyrovae.errors import OptionError, nearest
from pyrovae.parts.networks import Dense
from pyrovae.parts.options import Options

__all__ = ["AdversarialCodes"]

POSTERIORS = ("deterministic", "gaussian", "universal")
PRIORS = ("normal", "petals", "swiss-roll")


@dataclass(frozen=True, kw_only=True)
class AdversarialCodes(Options):
    """Codes that a discriminator tells from a prior.

    Attributes:
        posterior: the guide, a point at e(x), a Gaussian around it, or a network e(x, noise).
        noise_dim: m, the dimension of that noise.
        prior: N(0, I), or in the plane (latent_dim=2) ten Gaussian petals or a swiss roll.
        blur: standard deviation of the blur of the swiss roll, which has no density in the plane without one.
        labels: tell the discriminator the class y of each datum (-1 where unknown); a class gets a petal, or a slice of the
            roll.
    """

    posterior: Literal["deterministic", "gaussian", "universal"] = "deterministic"
    noise_dim: int = 10
    prior: Literal["normal", "petals", "swiss-roll"] = "normal"
    blur: float = 0.05
    labels: bool = False

    def guide(self, networks: Dense, latent_dim: int) -> nn.Module:
        """The guide."""
        if self.posterior not in POSTERIORS:
            raise nearest("posterior of aae", self.posterior, POSTERIORS)
        if self.posterior == "universal":
            if self.noise_dim < 1:
                raise OptionError(f"noise_dim is {self.noise_dim!r}; expected a whole number of at least 1.")
            encoder = networks.encoder(latent_dim, [self.noise_dim])
            return guides.ImplicitPosterior(encoder, self.noise_dim, latent_dim)
        if self.posterior == "gaussian":
            return guides.DiagonalGaussian(networks.encoder(2 * latent_dim))
        return guides.Deterministic(networks.encoder(latent_dim))

    def own_prior(self, latent_dim: int) -> nn.Module | None:
        """The module of p(z); None for N(0, I)."""
        if self.prior not in PRIORS:
            raise nearest("prior of aae", self.prior, PRIORS)
        if self.prior == "normal":
            return None
        if latent_dim != 2:
            raise OptionError(f"prior={self.prior!r} lies in the plane, and latent_dim is {latent_dim}; give latent_dim=2.")
        return SwissRollPrior(self.blur) if self.prior == "swiss-roll" else PetalsPrior(self.num_classes or 10)

    @property
    def num_classes(self) -> int | None:
        """C, of a discriminator that is told the class; None for one that is not."""
        if not self.labels:
            return None
        if self.prior == "normal":
            raise OptionError("labels=True needs a prior with a part for each class: give prior='petals' or 'swiss-roll'.")
        if self.spec.classes is None:
            raise OptionError(f"labels=True needs labels y, and {self.spec.name} has none; leave labels out.")
        return self.spec.classes
