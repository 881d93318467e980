"""The auxiliary deep generative model: M2 with an auxiliary latent that leaves p(x, y, z) as it is."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros, loc_and_scale

__all__ = ["ADGM"]


class ADGM(nn.Module):
    """p(x, y, z, a) = Cat(y; 1/C) N(z; 0, I_d) p(x | decoder(z, y)) N(a; loc(x, z, y), diag scale(x, z, y)^2).

    a comes after x, so that it changes no p(x, y, z), and makes the guide's q(y, z | x) a mixture over a.

    Sites: ``y``, one-hot, (C,); ``z``, (d,); ``x``, the shape of a datum; ``a``, (e,).

    Args:
        decoder: (..., d) and (..., C) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        auxiliary: x, z and y to (..., 2e), for :func:`~pyrovae.nets.loc_and_scale`, of a.
        latent_dim: d.
        num_classes: C.

    References: Maaloe et al., Auxiliary Deep Generative Models, 2016.
    """

    def __init__(
        self, decoder: nn.Module, likelihood: nn.Module, auxiliary: nn.Module, latent_dim: int, num_classes: int
    ) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.auxiliary = decoder, likelihood, auxiliary
        self.latent_dim, self.num_classes = latent_dim, num_classes

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.OneHotCategorical(logits=float_zeros(x, self.num_classes)))
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            x = pyro.sample("x", self.likelihood(self.decoder(z, y)), obs=x)
            loc, scale = loc_and_scale(self.auxiliary(x, z, y))
            pyro.sample("a", dist.Normal(loc, scale).to_event(1))
