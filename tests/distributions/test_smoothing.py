"""Smoothings of bits: densities, distribution functions, the mixture's inverse and its gradient; the relaxed machine."""

from __future__ import annotations

import math

import pytest
import torch
from quadrature import points_of

from pyrovae.distributions import RBM, SMOOTHINGS, BoltzmannMachine, KnownBits, RelaxedRBM, SmoothedBernoulli, SmoothedBits
from pyrovae.errors import OptionError

NAMES = list(SMOOTHINGS)


@pytest.mark.parametrize("name", NAMES)
def test_densities_integrate_to_one_and_draws_have_their_distribution_function(name):
    smoothing = SMOOTHINGS.build(f"{name}:beta=5")
    points, weights = points_of(smoothing)
    torch.manual_seed(0)
    for at, log_r, cdf in ((0, smoothing.log_zero, smoothing.cdf_zero), (1, smoothing.log_one, smoothing.cdf_one)):
        mass = log_r(points).exp() * weights
        assert float(mass.sum()) == pytest.approx(1, abs=1e-8)
        for zeta in (0.2, 0.5, 0.8):
            between = torch.linspace(0.1, zeta, 20_001, dtype=torch.float64)  # a trapezium from .1 on
            inner = torch.trapezoid(log_r(between).exp(), between)
            assert float(cdf(between[-1]) - cdf(between[0])) == pytest.approx(float(inner), abs=1e-6)
        drawn = smoothing.draw(torch.full((40_000,), float(at)))
        for zeta in (0.02, 0.3, 0.7, 0.98):
            expected = float(cdf(torch.tensor(zeta)))
            assert abs(float((drawn <= zeta).double().mean()) - expected) < 4.5 * (0.25 / 40_000) ** 0.5
        assert bool(torch.isfinite(log_r(drawn)).all())
        moment = float((points * mass).sum())
        assert abs(float(drawn.double().mean()) - moment) <= 4.5 * float(drawn.double().std()) / 200


def inverse(smoothing, q, rho):
    """The mixture's inverse distribution function, by bisection."""
    low, high = torch.full_like(rho, -9.0), torch.full_like(rho, 10.0)
    if len(smoothing.atoms) or "Gaussian" not in type(smoothing).__name__:
        low, high = low.clamp_min(0), high.clamp_max(1)
    for _ in range(60):
        middle = (low + high) / 2
        below = (1 - q) * smoothing.cdf_zero(middle) + q * smoothing.cdf_one(middle) < rho
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_a_draw_is_that_of_the_mixtures_inverse_distribution_function(name):
    smoothing = SMOOTHINGS.build(f"{name}:beta=3")
    q = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64).unsqueeze(1)
    rho = torch.linspace(0.03, 0.96, 19, dtype=torch.float64).expand(3, -1)
    zeta, step = inverse(smoothing, q, rho), 1e-5
    expected = (inverse(smoothing, q + step, rho) - inverse(smoothing, q - step, rho)) / (2 * step)
    zeta = torch.where(zeta.abs() < 1e-12, 0.0, zeta)
    torch.testing.assert_close(smoothing.slope(q.logit(), zeta), expected, rtol=1e-4, atol=1e-6)
    if name in ("exponential", "spike-exponential"):  # the closed inverses of the papers
        beta, e = 3.0, math.exp(-3.0)
        if name == "exponential":
            b = (rho + e * (q - rho)) / (1 - q) - 1
            c = -q * e / (1 - q)
            closed = -(((-b + (b.square() - 4 * c).sqrt()) / 2).log()) / beta
        else:
            closed = (((rho + q - 1) / q).clamp_min(0) * math.expm1(beta) + 1).log() / beta
        torch.testing.assert_close(zeta, closed, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_draws_of_the_mixture_and_their_gradient(name):
    smoothing = SMOOTHINGS.build(f"{name}:beta=4")
    points, weights = points_of(smoothing)
    logits = torch.tensor([-1.0, 0.3, 1.5], requires_grad=True)
    torch.manual_seed(1)
    fn = SmoothedBernoulli(logits, smoothing).with_path()
    zeta = fn.rsample((40_000,))
    mass = [log_r(points).exp() * weights for log_r in (smoothing.log_zero, smoothing.log_one)]
    zero, one = (float((m * points.cos()).sum()) for m in mass)
    q = logits.detach().sigmoid()
    errors = zeta.detach().cos().std(0) / 200
    assert bool(((zeta.detach().cos().mean(0) - ((1 - q) * zero + q * one)).abs() < 4.5 * errors).all())
    (each,) = torch.autograd.grad(zeta.cos().sum(), zeta, retain_graph=True)
    by_draw = each * smoothing.slope(logits.detach(), zeta.detach()) * (q * (1 - q))
    (grad,) = torch.autograd.grad(zeta.cos().mean(0).sum(), logits)
    torch.testing.assert_close(grad, by_draw.mean(0), rtol=1e-3, atol=1e-5)
    assert bool(((grad - q * (1 - q) * (one - zero)).abs() < 4.5 * by_draw.std(0) / 200).all())


@pytest.mark.parametrize("name", NAMES)
def test_the_score_of_a_mixture_and_the_bits_given_it(name):
    smoothing = SMOOTHINGS.build({"name": name})
    torch.manual_seed(2)
    logits = torch.randn(50, 3)
    fn = SmoothedBernoulli(logits, smoothing)
    zeta = fn.sample()
    both = [SmoothedBits(torch.full((50, 3), z), smoothing).expand((2, 50)).log_prob(zeta) for z in (0.0, 1.0)]
    assert both[0].shape == (2, 50)
    bits = torch.bernoulli(logits.sigmoid()) if smoothing.overlapping else (zeta > 0).float()
    joint = SmoothedBits(bits, smoothing).log_prob(zeta) + torch.distributions.Bernoulli(logits=logits).log_prob(bits).sum(-1)
    if not smoothing.overlapping:
        assert bool(torch.isinf(SmoothedBits(1 - bits, smoothing).log_prob(zeta)).all())
    posterior = torch.distributions.Bernoulli(logits=fn.posterior_logits(zeta))
    # p(z) r(zeta | z) = q(zeta) p(z | zeta)
    torch.testing.assert_close(fn.log_prob(zeta) + posterior.log_prob(bits).sum(-1), joint, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fn.bit_entropy(), torch.distributions.Bernoulli(logits=logits).entropy().sum(-1))


def test_bad_smoothings_are_refused():
    for text, message in (
        ("exponential:beta=0", "beta is 0; expected a number above 0 and at most 80"),
        ("power:beta=1", "beta is 1; expected a number above 1 for Power"),
        ("spike-exponential:beta=100", "at most 80"),
        ("gaussian-integral:beta=-1.0", "above 0 for GaussianIntegral"),
        ("exponentiel", "did you mean 'exponential'"),
    ):
        with pytest.raises(OptionError, match=message):
            SMOOTHINGS.build(text)
    assert SMOOTHINGS.build("power:beta=5") == SMOOTHINGS.build("power:beta=5.0") != SMOOTHINGS.build("power:beta=6")


# ------------------------------------------------------------------------------------------------ the Gaussian integral
def machine(sizes, scale=0.8):
    torch.manual_seed(3)
    made = BoltzmannMachine(sizes, num_chains=500, num_sweeps=10)
    with torch.no_grad():
        for p in made.parameters():
            p.normal_(0, scale)
    return made.eval()


@pytest.mark.parametrize("sizes", [(3, 2), (2, 3)])
def test_the_relaxed_machines_density_is_the_sum_over_its_bits(sizes):
    made = machine(sizes)
    prior, relaxed = RBM(made), RelaxedRBM(made, 6.0, (4,))
    n = sizes[0]
    precision = 6.0 * torch.eye(5)
    precision[:n, n:], precision[n:, :n] = made.weight.detach(), made.weight.detach().T
    z = prior.enumerate_support(expand=False)
    torch.manual_seed(4)
    zeta = relaxed.sample()
    assert zeta.shape == (4, 5)
    normal = torch.distributions.MultivariateNormal(z, precision_matrix=precision)
    expected = (prior.log_prob(z) + normal.log_prob(zeta.unsqueeze(1))).logsumexp(-1)
    torch.testing.assert_close(relaxed.log_prob(zeta), expected, rtol=1e-4, atol=1e-4)
    assert relaxed.log_normalizer() == made.log_normalizer()
    many = RelaxedRBM(made, 6.0).sample((40_000,))
    masses = prior.log_prob(z).exp().unsqueeze(-1)
    mean = (masses * z).sum(0)
    cov = (masses.unsqueeze(-1) * (z.unsqueeze(-1) * z.unsqueeze(-2))).sum(0) - mean.outer(mean) + precision.inverse()
    torch.testing.assert_close(many.mean(0), mean.detach(), rtol=0, atol=0.03)  # 1,000 chains, which each serve 40 draws
    torch.testing.assert_close(many.T.cov(), cov.detach(), rtol=0, atol=0.03)


def test_weights_beyond_beta_are_refused():
    made = machine((3, 2))
    with pytest.raises(OptionError, match=r"beta is 0.1; expected more than [\d.]+, to which the weights"):
        RelaxedRBM(made, 0.1).log_prob(torch.zeros(5))


def test_bits_that_a_spike_tells_do_not_depend_on_a_draw(monkeypatch):
    """torch.bernoulli draws a 1 about once in 2^25, however small its probability: here always, and always the wrong one."""
    monkeypatch.setattr(torch, "bernoulli", lambda probs, *args, **kwargs: (probs < 0.5).to(probs.dtype))
    fn = KnownBits(logits=torch.tensor([-80.0, 80.0, 1.0])).expand((4, 3))
    assert isinstance(fn, KnownBits) and fn.sample().tolist() == [[0.0, 1.0, 0.0]] * 4
    assert fn.sample((2,)).shape == (2, 4, 3) and torch.isfinite(fn.log_prob(fn.sample())).all()
