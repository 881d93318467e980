"""Smoothed bits in groups, each given x and the groups before, and the bits given them; Gaussians after them."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.distributions import KnownBits, SmoothedBernoulli, Smoothing
from pyrovae.nets import loc_and_scale

__all__ = ["GroupedBits"]


class GroupedBits(nn.Module):
    """q(zeta, z, y | x) = prod_g q(zeta_g | x, zeta_<g) p(z_g | zeta_g) prod_l q(y_l | x, zeta, y_<l).

        q(zeta_g | .) = prod_i (1 - q_i) r(zeta_i | 0) + q_i r(zeta_i | 1),   logit q = encoder_g(x, 2 zeta_1 - 1, ...)
        z_i | zeta_i ~ Bernoulli(sigmoid(logit q_i + log r(zeta_i | 1) - log r(zeta_i | 0)))

    so that q(z_g | x, zeta_<g) is a product of Bernoulli(q_i), smoothed by the model's r.

    Sites: ``zeta1``, ..., ``zetaG``, (n_g,); ``z``, (sum_g n_g,) bits; ``y1``, ..., ``yL``, (d,).

    Args:
        encoders: of the groups, x and the 2 zeta - 1 of each group before to (..., n_g).
        smoothing: r.
        layers: of y, x, 2 zeta - 1 and the y before to (..., 2 d), for :func:`~pyrovae.nets.loc_and_scale`.

    References: Rolfe, Discrete Variational Autoencoders, 2017, Sections 3 and 4; Vahdat et al., DVAE++, 2018.
    """

    def __init__(self, encoders: Sequence[nn.Module], smoothing: Smoothing, layers: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.encoders, self.smoothing, self.layers = nn.ModuleList(encoders), smoothing, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        before: list[Tensor] = []
        posterior: list[Tensor] = []
        with pyro.plate("data", x.shape[0], dim=-1):
            for number, encoder in enumerate(self.encoders, 1):
                q_zeta = SmoothedBernoulli(encoder(x, *before), self.smoothing)
                zeta = pyro.sample(f"zeta{number}", q_zeta)
                posterior.append(q_zeta.posterior_logits(zeta))
                before.append(2 * zeta - 1)
            pyro.sample("z", KnownBits(logits=torch.cat(posterior, -1)).to_event(1))
            seen = [torch.cat(before, -1)]
            for number, layer in enumerate(self.layers, 1):
                seen.append(pyro.sample(f"y{number}", dist.Normal(*loc_and_scale(layer(x, *seen))).to_event(1)))
