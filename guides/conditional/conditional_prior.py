"""The prior of a conditional model as its guide."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["ConditionalPrior"]


class ConditionalPrior(nn.Module):
    """q(z | x, c) = p(z | c), the model's own prior: the ELBO is E_p(z|c)[log p(x | z, c)], without a KL.

    Site: ``z``, (d,).

    Args:
        prior: the module of the model.

    References: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015
    (Gaussian stochastic neural network).
    """

    def __init__(self, prior: nn.Module) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, x: Tensor, c: Tensor, given: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, scale = loc_and_scale(self.prior(c, given))
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))
