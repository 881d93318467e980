"""Linear-Gaussian cells: z_t ~ N(a z_t-1, q), x_t ~ N(c z_t, r), scalars, with Kalman's log p(x) and the exact smoother."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from pyrovae.core.steps import unroll

A, C, Q, R = 0.9, 1.0, 1.0, 0.5


class Walk(nn.Module):
    """The model in steps; ``w`` is a parameter that is a at first."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(A))

    def init(self, x):
        return {"z": x.new_zeros(len(x), 1)}

    def step(self, state, x):
        z = pyro.sample("z", dist.Normal(self.w * state["z"], math.sqrt(Q)).to_event(1))
        pyro.sample("x", dist.Normal(C * z, math.sqrt(R)).to_event(1), obs=x)
        return {"z": z}


class Filtering(nn.Module):
    """q(z_t | z_t-1, x_t), a bit off."""

    def __init__(self, scale=0.7):
        super().__init__()
        self.w, self.log_scale = nn.Parameter(torch.tensor([0.3, 0.5])), nn.Parameter(torch.tensor(math.log(scale)))

    def init(self, x):
        return {}

    def step(self, state, x):
        pyro.sample("z", dist.Normal(self.w[0] * state["z"] + self.w[1] * x, self.log_scale.exp()).to_event(1))
        return {}


class Smoother(nn.Module):
    """The exact q(z_t | z_t-1, x_t:T): p(x_t:T | z_t) is proportional to exp(-g z^2 / 2 + h z), found from T back to t."""

    def init(self, x, lengths=None):
        size, steps, _ = x.shape
        lengths = torch.full((size,), steps) if lengths is None else lengths
        g, h, found = x.new_zeros(size, 1), x.new_zeros(size, 1), []
        for t in reversed(range(steps)):
            shrink = 1 + Q * g
            g, h = A**2 * g / shrink, A * h / shrink
            here = (t < lengths).unsqueeze(1)
            g, h = torch.where(here, g + C**2 / R, 0.0), torch.where(here, h + C * x[:, t] / R, 0.0)
            found.append(torch.cat([g, h], -1))
        return {"each": {"beta": torch.stack(found[::-1], 1)}}

    def step(self, state, x):
        g, h = state["beta"].chunk(2, -1)
        variance = 1 / (1 / Q + g)
        pyro.sample("z", dist.Normal(variance * (A * state["z"] / Q + h), variance.sqrt()).to_event(1))
        return {}


def kalman(x, lengths=None):
    """log p(x_1:T) of each datum, (B,), float64."""
    x = x.double()
    size, steps, _ = x.shape
    lengths = torch.full((size,), steps) if lengths is None else lengths
    mean, variance, total = x.new_zeros(size), x.new_zeros(size), x.new_zeros(size)
    for t in range(steps):
        mean, variance = A * mean, A**2 * variance + Q
        spread = C**2 * variance + R
        error = x[:, t, 0] - C * mean
        total = total + torch.where(t < lengths, -0.5 * (error**2 / spread + spread.log() + math.log(2 * math.pi)), 0.0)
        gain = variance * C / spread
        mean, variance = mean + gain * error, (1 - gain * C) * variance
    return total


def draw(rows, steps, seed=0):
    """x, (B, T, 1), of the model."""
    noise = torch.randn(2, rows, steps, generator=torch.Generator().manual_seed(seed))
    z, x = torch.zeros(rows), []
    for t in range(steps):
        z = A * z + math.sqrt(Q) * noise[0, :, t]
        x.append(C * z + math.sqrt(R) * noise[1, :, t])
    return torch.stack(x, 1).unsqueeze(-1)


def walk(guide=Filtering):
    return unroll(Walk(), guide())
