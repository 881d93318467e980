"""The guide of a deterministic autoencoder, and its relaxation to a density."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pyrovae import guides, models
from pyrovae.core.pair import Pair
from pyrovae.errors import OptionError
from pyrovae.parts.options import Options

__all__ = ["Relaxation"]


@dataclass(frozen=True, kw_only=True)
class Relaxation(Options):
    """A point as code, or a Gaussian around it.

    Attributes:
        relax: scale of a Gaussian around the code, which makes of the pair a density (``ae``); 0 for a point.
    """

    relax: float = 0.0

    def guide(self, encoder: nn.Module) -> nn.Module:
        """q(z | x), a point at the encoder's output or a Gaussian around it."""
        if isinstance(self.relax, bool) or not self.relax >= 0:
            raise OptionError(f"relax is {self.relax!r}; expected the scale of a Gaussian around the code, or 0 for a point.")
        return guides.IsotropicGaussian(encoder, float(self.relax)) if self.relax else guides.Deterministic(encoder)

    def autoencoder(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, encoder: nn.Module) -> Pair:
        """A decoder without a prior, and an encoder; relaxed, a VAE and a Gaussian around the encoder."""
        guide = self.guide(encoder)
        if self.relax:
            return Pair(models.VAE(decoder, likelihood, latent_dim), guide, "meanfield")
        return Pair(models.AE(decoder, likelihood, latent_dim), guide, "energy")
