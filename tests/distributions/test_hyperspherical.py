"""The von Mises-Fisher distribution: normalizers, moments, draws and their gradients against closed forms."""

from __future__ import annotations

import math

import pytest
import scipy.special
import torch

import pyrovae as pv
from pyrovae.distributions import UniformSphere, VonMisesFisher
from pyrovae.distributions.bessel import log_bessel_over_power, mean_resultant_length
from pyrovae.errors import ContractError, OptionError

KAPPAS = torch.tensor([1e-3, 0.1, 1.0, 5.0, 30.0, 200.0, 1e4], dtype=torch.float64)


def first(dim):
    return torch.eye(dim, dtype=torch.float64)[0]


@pytest.mark.parametrize("order", [0.0, 0.5, 1.5, 4.5, 24.5, 60.0])
def test_bessel_functions_are_scipys(order):
    scaled = scipy.special.ive([[order], [order + 1]], KAPPAS.numpy())
    ratio = torch.from_numpy(scaled[1] / scaled[0])
    held = torch.from_numpy(scaled[0] > 0)
    ours = log_bessel_over_power(order, KAPPAS)
    theirs = torch.from_numpy(scaled[0]).log() + KAPPAS - order * KAPPAS.log()
    torch.testing.assert_close(ours[held], theirs[held], atol=2e-9, rtol=1e-10)
    torch.testing.assert_close(mean_resultant_length(KAPPAS, 2 * order + 2)[held], ratio[held], atol=1e-10, rtol=1e-9)
    x = KAPPAS[1:6].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: log_bessel_over_power(order, x), x, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: mean_resultant_length(x, 2 * order + 2), x, atol=1e-6)


def test_at_zero_it_is_uniform_to_the_gradient():
    kappa = torch.zeros((), dtype=torch.float64, requires_grad=True)
    q, p = VonMisesFisher(first(4), kappa), UniformSphere(4)
    torch.testing.assert_close(q.log_prob(first(4)).detach(), p.log_prob(first(4)))
    kl = torch.distributions.kl_divergence(q, p)
    assert abs(float(kl.detach())) < 1e-8 and float(torch.autograd.grad(kl, kappa)[0]) == 0
    assert float(torch.autograd.grad(mean_resultant_length(kappa, 4), kappa)[0]) == pytest.approx(1 / 4)


def test_three_dimensions_in_closed_form():
    k = KAPPAS[1:-1]
    q = VonMisesFisher(first(3).expand(5, 3), k)
    log_c = k.log() - math.log(2 * math.pi) - k - (-(-2 * k).expm1()).log()  # of k / (4 pi sinh k)
    torch.testing.assert_close(q.log_prob(first(3)), log_c + k)
    kl = torch.distributions.kl_divergence(q, UniformSphere(3))
    coth = 1 / k.tanh()
    torch.testing.assert_close(kl, k * coth - 1 + log_c + math.log(4 * math.pi))
    torch.testing.assert_close(q.mean[:, 0], coth - 1 / k)


def test_densities_integrate_to_one():
    angles = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    for dim in (2, 3, 5, 20):
        for kappa in (0.3, 4.0, 90.0):
            around = torch.stack([angles.cos(), angles.sin(), *[torch.zeros_like(angles)] * (dim - 2)], -1)
            density = VonMisesFisher(first(dim), torch.tensor(kappa, dtype=torch.float64)).log_prob(around).exp()
            ring = 2 * math.pi ** ((dim - 1) / 2) / math.gamma((dim - 1) / 2)
            total = torch.trapezoid(density * angles.sin() ** (dim - 2), angles) * ring
            assert float(total) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("dim", [2, 5, 30])
@pytest.mark.parametrize("kappa", [0.5, 2.0, 300.0])
def test_draws_have_its_moments_and_unbiased_gradients(dim, kappa):
    """d E[m'z] / dk = 1 - A^2 - (d - 1) A / k: .14739 at d = 5, k = 2, where the authors' code gives .12766."""
    concentration = torch.full((30_000,), kappa, dtype=torch.float64, requires_grad=True)
    loc = torch.full((dim,), 1 / math.sqrt(dim), dtype=torch.float64)
    q = VonMisesFisher(loc, concentration)
    z = q.rsample()
    torch.testing.assert_close(z.norm(dim=-1), torch.ones_like(concentration))
    along = (z * loc).sum(-1)
    (slopes,) = torch.autograd.grad(along.sum(), concentration)
    length = float(mean_resultant_length(torch.tensor(kappa, dtype=torch.float64), dim))
    truths = length, 1 - length**2 - (dim - 1) * length / kappa
    if (dim, kappa) == (5, 2.0):
        assert truths[1] == pytest.approx(0.14739, abs=1e-5)
    for values, truth in zip((along.detach(), slopes), truths, strict=True):
        assert abs(float(values.mean()) - truth) < 4 * float(values.std()) / math.sqrt(len(values))
    spread = z.detach().var(0)
    torch.testing.assert_close(spread, q.variance[0].detach(), rtol=0.1, atol=1e-3)


def test_gradients_by_the_direction_are_those_of_the_mean():
    loc = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    raw = loc.clone().requires_grad_()
    q = VonMisesFisher((raw / raw.norm()).expand(40_000, 3), torch.tensor(3.0, dtype=torch.float64))
    target = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    (ours,) = torch.autograd.grad((q.rsample() @ target).mean(), raw, retain_graph=True)
    (truth,) = torch.autograd.grad(q.mean[0] @ target, raw)
    torch.testing.assert_close(ours, truth, atol=0.02, rtol=0.02)


def test_float32_is_finite_everywhere():
    concentration = torch.logspace(-6, 6, 400).requires_grad_()
    q = VonMisesFisher(torch.eye(11)[0], concentration)
    z = q.rsample()
    kl = torch.distributions.kl_divergence(q, UniformSphere(11))
    (grad,) = torch.autograd.grad((q.log_prob(z) + kl + z.sum(-1)).sum(), concentration)
    assert bool(z.isfinite().all() and kl.isfinite().all() and grad.isfinite().all()) and float(kl.detach().min()) > -1e-5


def test_a_spherical_vae_moves_on_the_sphere_and_is_refused_where_chains_would_leave_it(digits):
    pair = pv.pairs.s_vae(digits.spec, latent_dim=3, hidden=[8])
    x = digits.test[:2]
    assert torch.allclose(pv.encode(pair, x)["z"].norm(dim=-1), torch.ones(2))
    seen = []
    pair.model.decoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pv.traverse(pair, digits.test[:1])
    pv.interpolate(pair, digits.test[:1], digits.test[1:2])
    assert {33, 11} <= {len(z.reshape(-1, 3)) for z in seen}
    assert all(torch.allclose(z.norm(dim=-1), torch.tensor(1.0)) for z in seen)
    with pytest.raises(OptionError, match="'z' is a unit vector, whose coordinates lie in -1 to 1"):
        pv.traverse(pair, digits.test[:1], values=[2.0])
    with pytest.raises(ContractError, match="no bijection from the reals"):
        pv.log_evidence(pair, x, method="ais")
