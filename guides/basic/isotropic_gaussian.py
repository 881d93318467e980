"""A Gaussian of one fixed scale around an encoder: the relaxation that gives a deterministic autoencoder a density."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

__all__ = ["IsotropicGaussian"]


class IsotropicGaussian(nn.Module):
    """q(z | x) = N(z; f(x), scale^2 I), which shrinks to the point f(x) as scale goes to 0.

    With the prior N(0, I) its KL is ||f(x)||^2 / 2 and a constant: the bound of log p(x) is the autoencoder's energy under
    noise of its code, with a quadratic penalty of the code.

    Site: ``z``, (d,).

    Args:
        encoder: f, x to (..., d).
        scale: fixed.

    References: Ghosh et al., From Variational to Deterministic Autoencoders, 2020, Section 2.
    """

    def __init__(self, encoder: nn.Module, scale: float) -> None:
        super().__init__()
        self.encoder, self.scale = encoder, scale

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc = self.encoder(x)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, self.scale).to_event(1))
