"""A von Mises-Fisher posterior on the sphere of unit vectors."""

from __future__ import annotations

import pyro
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyrovae.distributions import VonMisesFisher, onto_sphere

__all__ = ["Hyperspherical"]


class Hyperspherical(nn.Module):
    """q(z | x) = vMF(z; m(x), k(x)), of a unit vector m and a concentration k > 1.

    Site: ``z``, (d,), of length 1.

    Args:
        encoder: x to (..., d + 1), the direction before it is normalized, and the concentration before 1 + softplus.

    References: Davidson et al., Hyperspherical Variational Auto-Encoders, 2018, Section 3.2 and Appendix D.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        features = self.encoder(x)
        q = VonMisesFisher(onto_sphere(features[..., :-1]), 1 + softplus(features[..., -1]))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", q)
