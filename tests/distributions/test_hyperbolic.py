"""The wrapped normal of the Poincare ball: its density, draws, and walks that stay in the ball."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import biject_to

import pyrovae as pv
from pyrovae.distributions import WrappedNormal
from pyrovae.distributions.hyperbolic import from_origin, mobius_add, poincare_ball, to_origin
from pyrovae.nets import Gyroplanes


def vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize(("loc", "scale"), [((0.0, 0.0), (1.0, 1.0)), ((0.5, -0.3), (0.6, 0.3)), ((-0.9, 0.2), (0.3, 0.5))])
def test_densities_integrate_to_one_and_are_those_of_draws(loc, scale):
    torch.manual_seed(0)
    grid = torch.linspace(-1, 1, 1201, dtype=torch.float64)
    z = torch.cartesian_prod(grid, grid)
    z = z[z.norm(dim=-1) < 1 - 1e-9]
    fn = WrappedNormal(vector(*loc), vector(*scale))
    mass = fn.log_prob(z).exp() * (grid[1] - grid[0]) ** 2
    assert float(mass.sum()) == pytest.approx(1, abs=1e-6)
    draws = fn.sample((40_000,))
    assert bool((draws.norm(dim=-1) < 1).all())
    for f in (lambda z: z[:, 0], lambda z: z.square().sum(-1)):
        values = f(draws)
        assert abs(float(values.mean() - (mass * f(z)).sum())) < 4 * float(values.std()) / 200


def test_addition_distance_and_the_bijection():
    torch.manual_seed(0)
    x, y = from_origin(torch.randn(2, 6, 3, dtype=torch.float64))
    torch.testing.assert_close(mobius_add(-x, mobius_add(x, y)), y)
    transform = biject_to(poincare_ball)
    v = torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(transform.inv(transform(v)), v)
    jacobians = torch.stack([torch.autograd.functional.jacobian(transform, each) for each in v])
    torch.testing.assert_close(transform.log_abs_det_jacobian(v, transform(v)), jacobians.det().abs().log())
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert bool(torch.autograd.grad(transform.log_abs_det_jacobian(zero, transform(zero)), zero)[0].isfinite().all())


def test_gradients_are_finite_at_the_middle_and_at_the_rim():
    for point in ((0.0, 0.0), (0.9999990, 0.0)):
        loc = torch.tensor([0.3, 0.1], requires_grad=True)
        z = torch.tensor(point, requires_grad=True)
        for fn in (WrappedNormal(loc, torch.ones(2)), WrappedNormal(z, torch.ones(2))):
            score = fn.log_prob(z)
            grads = torch.autograd.grad(score, [z, loc], allow_unused=True)
            assert bool(score.isfinite()) and all(g is None or bool(g.isfinite().all()) for g in grads)
    far = WrappedNormal(torch.zeros(2), torch.full((2,), 50.0))
    assert bool(far.log_prob(far.sample((1000,))).isfinite().all())


def test_gyroplanes_are_distances_to_hyperplanes():
    """Of the plane through the origin with normal e_1: its distance to exp_0(r e_1) is r."""
    planes = Gyroplanes(2, 1)
    with torch.no_grad():
        planes.offsets.zero_()
        planes.normals.copy_(torch.tensor([[0.5, 0.0]]))
    r = torch.tensor([0.3, 1.7])
    points = from_origin(torch.stack([r, torch.zeros(2)], -1))
    torch.testing.assert_close(planes(points)[:, 0].detach(), 2 * 0.5 * r)  # lambda_0 = 2
    assert float(planes(from_origin(torch.tensor([0.0, 2.0]))).detach()) == pytest.approx(0, abs=1e-6)


def test_a_hyperbolic_vae_walks_in_the_ball_and_chains_agree_with_importance(digits):
    torch.manual_seed(0)
    pair = pv.pairs.poincare_vae(digits.spec, latent_dim=2, planes=6, hidden=[8])
    seen = []
    pair.model.decoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pv.traverse(pair, digits.test[:1])
    pv.interpolate(pair, digits.test[:1], digits.test[1:2])
    assert all(bool((z.norm(dim=-1) < 1).all()) for z in seen)
    walk = next(z for z in seen if len(z.reshape(-1, 2)) == 22).reshape(2, 11, 2)
    torch.testing.assert_close(to_origin(walk[0])[:, 0], torch.arange(-5, 6) * 0.6, atol=1e-4, rtol=1e-4)
    x = digits.test[:4]
    importance = pv.log_evidence(pair, x, num_samples=20_000)
    ais = pv.log_evidence(pair, x, method="ais", num_chains=30, num_distributions=60)
    error = (importance.stderr.square() + ais.stderr.square()).sqrt()
    assert bool(((ais.value - importance.value).abs() < 4 * error + 0.02).all()) and float(error.max()) < 0.5
