"""Leapfrog steps as a flow: inverse, determinant, a density that integrates to 1, and no steps at all."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyrovae import guides, models
from pyrovae.core.trace import trace_pair
from pyrovae.distributions.flows import Leapfrog


def bent(z):
    """A potential without symmetry."""
    return (z.sum(-1) - 0.3).square() + 0.2 * z[..., 0].pow(4)


def leapfrog(num_steps, d):
    steps = torch.linspace(0.1, 0.3, d, dtype=torch.float64)
    return Leapfrog(bent, steps, num_steps, torch.tensor(0.4, dtype=torch.float64))


def test_the_determinant_is_that_of_the_jacobian_and_the_inverse_goes_back():
    torch.manual_seed(0)
    flow, x = leapfrog(3, 2), torch.randn(4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(flow, x)
    torch.testing.assert_close(flow.log_abs_det_jacobian(x, x), jacobian.det().abs().log())
    torch.testing.assert_close(flow._inverse(flow(x)), x)
    with torch.no_grad():
        torch.testing.assert_close(flow(x), leapfrog(3, 2)(x.requires_grad_()).detach())


def test_its_gradient_has_second_derivatives_of_the_potential():
    torch.manual_seed(1)
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(leapfrog(2, 2), (x,))


class UnitNormal(nn.Module):
    """N(params, I)."""

    def forward(self, params):
        return dist.Normal(params, 1.0).to_event(1)


def pair_of(num_steps, seed=2):
    """x = decoder(z) and noise, z of one dimension."""
    torch.manual_seed(seed)
    decoder = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 2))
    likelihood, encoder = UnitNormal(), nn.Linear(2, 2)
    plain = models.VAE(decoder, likelihood, 1), guides.DiagonalGaussian(encoder)
    guide = guides.HamiltonianGaussian(encoder, decoder, likelihood, 1, num_steps)
    return plain, (models.HamiltonianVAE(decoder, likelihood, 1), guide)


def test_the_density_of_position_and_momentum_integrates_to_1():
    _, (model, guide) = pair_of(3)
    x, axis = torch.tensor([[0.5, -1.0]]), torch.linspace(-8, 8, 401)
    q = trace_pair(model, guide, {"x": x}, 1).guide_sites["z"]["fn"]
    with torch.no_grad():
        density = q.log_prob(torch.cartesian_prod(axis, axis).unsqueeze(1)).exp()
    assert float(density.sum()) * 0.04**2 == pytest.approx(1, abs=1e-3)


def test_with_no_steps_it_is_the_vae():
    plain, hamiltonian = pair_of(0)
    x = torch.randn(5, 2)
    traced = trace_pair(*hamiltonian, {"x": x}, 3)
    z = traced.latents["z"][..., :1]
    log_p = plain[0].likelihood(plain[0].decoder(z)).log_prob(x) - 0.5 * z.square().sum(-1)
    loc, log_scale = plain[1].encoder(x).chunk(2, -1)
    log_q = (-0.5 * ((z - loc) / log_scale.exp()).square() - log_scale).sum(-1)
    torch.testing.assert_close(traced.log_weight, log_p - log_q)


def test_without_cooling_the_steps_keep_the_bound():
    """They keep energy and volume, so that only cooling can gain: at b = 1 a weight is that of z0."""
    weights = []
    for num_steps in (0, 20):
        _, (model, guide) = pair_of(num_steps)
        if num_steps:
            nn.init.constant_(guide.step, -4.0)
            nn.init.constant_(guide.temperature, 30.0)
        torch.manual_seed(5)
        weights.append(trace_pair(model, guide, {"x": torch.tensor([[0.5, -1.0]])}, 6).log_weight)
    torch.testing.assert_close(*weights, atol=1e-4, rtol=0)
