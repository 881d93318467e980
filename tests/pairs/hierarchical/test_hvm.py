"""An auxiliary latent: with the exact r, weights are those of the mixture; on a bent posterior it beats a Gaussian."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae import guides, models
from pyrovae.core.trace import trace_pair
from pyrovae.nets import JointMLP


class Map(nn.Module):
    """A function of tensors as a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def gaussian(loc, *scales):
    """What ``loc_and_scale`` makes loc and scale of."""
    raw = [torch.full_like(loc[..., :1], math.log(math.expm1(scale - 1e-3))) for scale in scales]
    return torch.cat([loc, *raw], -1)


def unit_normal(params):
    return dist.Normal(params, 1.0).to_event(1)


def test_with_the_exact_r_the_weights_are_those_of_the_marginal_guide():
    """q(lam | x) = N(x, .8^2), q(z | lam, x) = N(lam / 2, .6^2): q(z | x) = N(x / 2, .52), r(lam | z, x) by Bayes."""
    variance = 0.25 * 0.64 + 0.36
    gain, spread = 0.5 * 0.64 / variance, math.sqrt(0.64 - (0.5 * 0.64) ** 2 / variance)
    model = models.HVM(Map(lambda z: z), Map(unit_normal), 1, Map(lambda x, z: gaussian(x + gain * (z - x / 2), spread)))
    guide = guides.AuxiliaryGaussian(Map(lambda x: gaussian(x, 0.8)), Map(lambda x, lam: gaussian(lam / 2, 0.6)))
    x = torch.tensor([[0.3], [-2.0]])
    traced = trace_pair(model, guide, {"x": x}, 50)
    z = traced.latents["z"]
    mixture = dist.Normal(x / 2, math.sqrt(variance)).log_prob(z)
    expected = dist.Normal(0.0, 1.0).log_prob(z) + dist.Normal(z, 1.0).log_prob(x) - mixture
    torch.testing.assert_close(traced.log_weight, expected[..., 0], atol=2e-6, rtol=1e-5)


class Banana(nn.Module):
    """x = z_2 + z_1^2 and noise of .2: p(z | x) is bent."""

    def forward(self, z):
        return z[..., 1:] + z[..., :1].square()


def narrow(params):
    return dist.Normal(params, 0.2).to_event(1)


def log_evidence(x):
    grid = torch.linspace(-6, 6, 801, dtype=torch.float64)
    z = torch.cartesian_prod(grid, grid)
    joint = dist.Normal(0.0, 1.0).log_prob(z).sum(-1) + narrow(Banana()(z)).log_prob(x.double())
    return float(joint.logsumexp(0)) + 2 * math.log(float(grid[1] - grid[0]))


def elbo(pair, x, num_particles):
    return pv.objectives.get(f"elbo:num_particles={num_particles}").evaluate(*pair, {"x": x}).mean()


def test_it_beats_mean_field_on_a_banana():
    """z_1 = lam and little noise, z_2 = x - lam^2 and noise, r(lam | z) of z_1 by Bayes; beside a trained Gaussian."""
    x, wide, thin = torch.tensor([[1.0]]), 0.7, 0.1
    gain, spread = wide**2 / (wide**2 + thin**2), wide * thin / math.hypot(wide, thin)
    encode = Map(lambda x, lam: gaussian(torch.cat([lam, x - lam.square()], -1), thin, 0.2))
    model = models.HVM(Banana(), Map(narrow), 2, Map(lambda x, z: gaussian(gain * z[..., :1], spread)))
    hvm = (model, guides.AuxiliaryGaussian(Map(lambda x: gaussian(torch.zeros_like(x), wide)), encode))
    torch.manual_seed(0)
    plain = (models.VAE(Banana(), Map(narrow), 2), guides.DiagonalGaussian(JointMLP([1], [8], 4)))
    optimizer = torch.optim.Adam(plain[1].parameters(), 0.03)
    for _ in range(300):
        optimizer.zero_grad()
        (-elbo(plain, x, 64)).backward()
        optimizer.step()
    bounds = [float(elbo(pair, x, 20_000).detach()) for pair in (plain, hvm)]
    assert bounds[0] + 0.5 < bounds[1] < log_evidence(x)


def test_evidence_is_that_of_the_vae():
    """Whatever r is: here a bad one."""
    torch.manual_seed(0)
    model = models.HVM(Banana(), Map(narrow), 2, JointMLP([1, 2], [4], 4))
    pair = (model, guides.AuxiliaryGaussian(JointMLP([1], [4], 4), JointMLP([1, 2], [4], 4)))
    x = torch.tensor([[0.5]])
    found = pv.log_evidence(pair, {"x": x}, num_samples=50_000)
    assert float(found.value) == pytest.approx(log_evidence(x), abs=0.1)
