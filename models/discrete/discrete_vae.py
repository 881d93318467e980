"""The discrete VAE: bits of a Boltzmann machine, smoothed, and layers of Gaussians below them."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.distributions import RBM, BoltzmannMachine, SmoothedBits, Smoothing
from pyrovae.nets import loc_and_scale

__all__ = ["DiscreteVAE"]


class DiscreteVAE(nn.Module):
    """p(x, y, zeta, z) = RBM(z) r(zeta | z) prod_l p(y_l | zeta, y_<l) p(x | zeta, y), of which x and y see zeta alone.

        y_l ~ N(loc, diag scale^2),   loc and scale from layer_l(2 zeta - 1, y_1, ..., y_l-1)

    Sites: ``z``, (n + m,) bits; ``zeta1``, ..., ``zetaG``, their smoothed values in G groups, (n_g,); ``y1``, ..., ``yL``,
    (d,); ``x``, the shape of a datum.

    Args:
        machine: the prior's parameters, chains and log Z.
        smoothing: r.
        sizes: n_g, of the groups.
        decoder: 2 zeta - 1 and all y to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.
        layers: of y, from 2 zeta - 1 and the y before to (..., 2 d), for :func:`~pyrovae.nets.loc_and_scale`; none for bits
            alone.

    References: Rolfe, Discrete Variational Autoencoders, 2017, Sections 2 to 4; Vahdat, Macready, Bian, Khoshaman and
    Andriyash, DVAE++, 2018, Section 2.
    """

    def __init__(
        self,
        machine: BoltzmannMachine,
        smoothing: Smoothing,
        sizes: Sequence[int],
        decoder: nn.Module,
        likelihood: nn.Module,
        layers: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.machine, self.smoothing, self.sizes = machine, smoothing, list(sizes)
        self.layers, self.decoder, self.likelihood = nn.ModuleList(layers), decoder, likelihood

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", RBM(self.machine))
            groups = enumerate(z.split(self.sizes, -1), 1)
            zeta = torch.cat([pyro.sample(f"zeta{g}", SmoothedBits(bits, self.smoothing)) for g, bits in groups], -1)
            seen = [2 * zeta - 1]
            for number, layer in enumerate(self.layers, 1):
                seen.append(pyro.sample(f"y{number}", dist.Normal(*loc_and_scale(layer(*seen))).to_event(1)))
            pyro.sample("x", self.likelihood(self.decoder(*seen)), obs=x)
