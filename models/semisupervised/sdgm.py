"""The skip deep generative model: a class, a style, and a latent between them and the data."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor

from pyrovae.models.semisupervised.adgm import ADGM
from pyrovae.nets import float_zeros, loc_and_scale

__all__ = ["SDGM"]


class SDGM(ADGM):
    """p(x, y, z, a) = Cat(y; 1/C) N(z; 0, I_d) N(a; loc(z, y), diag scale(z, y)^2) p(x | decoder(a, z, y)).

    Sites: ``y``, one-hot, (C,); ``z``, (d,); ``a``, (e,); ``x``, the shape of a datum.

    Args:
        decoder: (..., e), (..., d) and (..., C) to the parameters of the likelihood, (..., P, *shape).
        auxiliary: z and y to (..., 2e), for :func:`~pyrovae.nets.loc_and_scale`, of a.
        likelihood, latent_dim, num_classes: as of :class:`~pyrovae.models.ADGM`.

    References: Maaloe et al., Auxiliary Deep Generative Models, 2016.
    """

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.OneHotCategorical(logits=float_zeros(x, self.num_classes)))
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            loc, scale = loc_and_scale(self.auxiliary(z, y))
            a = pyro.sample("a", dist.Normal(loc, scale).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(a, z, y)), obs=x)
