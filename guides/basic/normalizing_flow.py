"""A Gaussian posterior bent by a normalizing flow."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import Flow, FlowDistribution

__all__ = ["NormalizingFlow"]


class NormalizingFlow(nn.Module):
    """log q(z | x) = log N(z0; loc(x), diag scale(x)^2) - sum_i log |det dT_i / dz_i-1|, z = T_n(... T_1(z0)).

    Site: ``z``, (d,). With planar, radial and Sylvester flows, which have no inverse, only its own draws can be scored.

    Args:
        encoder: x to (..., 2d + c): the means and logarithms of the scales of z0, and the flow's c = ``flow.num_features``.
        flow: T_1, ..., T_n (:mod:`pyrovae.distributions.flows`), of each datum, or shared where c is 0.
        latent_dim: d.

    References: Rezende and Mohamed, Variational Inference with Normalizing Flows, 2015, Eq. (13).
    """

    def __init__(self, encoder: nn.Module, flow: Flow, latent_dim: int) -> None:
        super().__init__()
        self.encoder, self.flow, self.latent_dim = encoder, flow, latent_dim

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        sizes = [self.latent_dim, self.latent_dim, self.flow.num_features]
        loc, log_scale, features = self.encoder(x).split(sizes, -1)
        base = dist.Normal(loc, log_scale.exp()).to_event(1)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", FlowDistribution(base, self.flow.transforms(features)))
