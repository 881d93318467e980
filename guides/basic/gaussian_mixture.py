"""A posterior with several modes."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae import distributions

__all__ = ["GaussianMixture"]


class GaussianMixture(nn.Module):
    """q(z | x) = sum_c w_c(x) N(z; loc_c(x), diag scale_c(x)^2), one site with its exact density.

    Draws are reparameterized implicitly, through the conditional distribution functions of the mixture, so that every
    objective serves it: no component is sampled with a score function, none is enumerated.

    Site: ``z``, (d,).

    Args:
        encoder: x to (..., C (2 d + 1)): the logits of the C weights, the means, the logarithms of the scales.
        num_components: C.

    References: Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, 2018; Morningstar et al., Automatic
    Differentiation Variational Inference with Mixtures, 2021.
    """

    def __init__(self, encoder: nn.Module, num_components: int) -> None:
        super().__init__()
        self.encoder, self.num_components = encoder, num_components

    @staticmethod
    def num_features(latent_dim: int, num_components: int) -> int:
        """How many features the encoder must give."""
        return num_components * (2 * latent_dim + 1)

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        features = self.encoder(x)
        logits, rest = features[..., : self.num_components], features[..., self.num_components :]
        loc, log_scale = (part.unflatten(-1, (self.num_components, -1)) for part in rest.chunk(2, -1))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", distributions.GaussianMixture(loc, log_scale.exp(), logits))
