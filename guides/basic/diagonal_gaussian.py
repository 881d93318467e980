"""The factorized Gaussian posterior of the variational autoencoder."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["DiagonalGaussian"]


class DiagonalGaussian(nn.Module):
    """q(z | x) = N(z; loc(x), diag scale(x)^2).

    Site: ``z``, (d,).

    Args:
        encoder: x to (..., 2d), the means and the logarithms of the scales.

    References: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, Eq. (9) and Appendix C.2.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, log_scale = self.encoder(x).chunk(2, -1)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
