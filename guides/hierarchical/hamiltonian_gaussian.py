"""A Gaussian that Hamiltonian dynamics carry towards the posterior."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.distributions.flows import FlowDistribution, Leapfrog

__all__ = ["HamiltonianGaussian"]

MAX_STEP = 0.5  # of the leapfrog, beyond which it is not stable on a posterior of unit scale
START_STEP = 0.1
START_TEMPERATURE = 0.5


class HamiltonianGaussian(nn.Module):
    """log q(z, r | x) = log N(z0; loc(x), diag scale(x)^2) + log N(r0; 0, I / b) - d/2 log b, (z, r) = leapfrog(z0, r0).

    The potential of the L steps is -log p(x, z), so that the guide runs the model's decoder; its step sizes e, in (0, 1/2),
    and b, in (0, 1), are learned. With L = 0 it is the diagonal Gaussian, and r ~ N(0, I).

    Site: ``z``, (2d,), position and momentum one after the other.

    Args:
        encoder: x to (..., 2d), the means and the logarithms of the scales of z0.
        decoder, likelihood: the model's own.
        latent_dim: d.
        num_steps: L.

    References: Caterini, Doucet and Sejdinovic, Hamiltonian Variational Auto-Encoder, 2018, Section 3.2 and Algorithm 1.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, num_steps: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood, self.num_steps = encoder, decoder, likelihood, num_steps
        start = START_STEP / MAX_STEP
        if num_steps:
            self.step = nn.Parameter(torch.full((latent_dim,), math.log(start / (1 - start))))
            self.temperature = nn.Parameter(torch.tensor(math.log(START_TEMPERATURE / (1 - START_TEMPERATURE))))

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""

        def potential(z: Tensor) -> Tensor:
            log_likelihood: Tensor = self.likelihood(self.decoder(z)).log_prob(x)
            return 0.5 * z.square().sum(-1) - log_likelihood

        loc, log_scale = self.encoder(x).chunk(2, -1)
        transforms, hot = [], torch.ones_like(loc)
        if self.num_steps:
            temperature = self.temperature.sigmoid()
            transforms = [Leapfrog(potential, MAX_STEP * self.step.sigmoid(), self.num_steps, temperature)]
            hot = hot * temperature.rsqrt()
        base = dist.Normal(torch.cat([loc, torch.zeros_like(loc)], -1), torch.cat([log_scale.exp(), hot], -1)).to_event(1)
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", FlowDistribution(base, transforms))
