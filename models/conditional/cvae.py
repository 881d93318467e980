"""The conditional variational autoencoder's generative model."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import mask_distribution
from pyrovae.nets import loc_and_scale

__all__ = ["CVAE"]


class CVAE(nn.Module):
    """p(x, z | c) = N(z; loc(c), diag scale(c)^2) p(x | decoder(z, c)), x scored where it is not given.

    So the log density of x is that of the values that c does not show: log p(x_rest | c), with a learned prior of z.

    Sites: ``z``, (d,); ``x``, the shape of a datum.

    Args:
        prior: c and given to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`.
        decoder: c, given and z to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).

    References: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """

    quantity = "log p(x | c)"  # what its evidence is of

    def __init__(self, prior: nn.Module, decoder: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.prior, self.decoder, self.likelihood = prior, decoder, likelihood

    def forward(self, x: Tensor, c: Tensor, given: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        loc, scale = loc_and_scale(self.prior(c, given))
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(loc, scale).to_event(1))
            pyro.sample("x", mask_distribution(self.likelihood(self.decoder(c, given, z)), given == 0), obs=x)
