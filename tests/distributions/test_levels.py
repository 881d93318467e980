"""Distributions and likelihoods: masses sum to one, samples agree with densities, expand and gradients work."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import kl_divergence

from pyrovae.distributions import DiscretizedLogistic, GreyBernoulli, LevelsCategorical, is_density, likelihoods
from pyrovae.errors import OptionError

LEVELS = 17
DISTRIBUTIONS = {
    "discretized-logistic": DiscretizedLogistic(torch.tensor([0.1, 0.5, 0.99]), torch.tensor([0.3, 0.02, 0.1]), LEVELS),
    "narrow discretized-logistic": DiscretizedLogistic(torch.tensor([0.1, 0.5, 0.99]), torch.full((3,), 1e-3), LEVELS),
    "levels-categorical": LevelsCategorical(torch.randn(3, LEVELS)),
}
GRID = torch.arange(LEVELS) / (LEVELS - 1)


@pytest.mark.parametrize("fn", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_masses_sum_to_one_and_give_the_mean(fn):
    masses = fn.log_prob(GRID.unsqueeze(1).expand(LEVELS, 3)).exp()
    torch.testing.assert_close(masses.sum(0), torch.ones(3))
    torch.testing.assert_close((masses * GRID.unsqueeze(1)).sum(0), fn.mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fn", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_sample_frequencies_match_the_masses(fn):
    draws = fn.sample((20000,))
    assert fn.support.check(draws).all()
    masses = fn.log_prob(GRID.unsqueeze(1).expand(LEVELS, 3)).exp()
    counts = torch.stack([(draws == g).float().mean(0) for g in GRID])
    z = (counts - masses) / (masses * (1 - masses) / 20000).sqrt().clamp_min(1e-4)
    assert z.abs().max() < 4.5


@pytest.mark.parametrize("fn", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_expand_keeps_the_distribution_and_support_refuses_what_lies_between_levels(fn):
    wide = fn.expand(torch.Size([4, 3]))
    value = GRID[[2, 5, 9]]
    torch.testing.assert_close(wide.log_prob(value)[3], fn.log_prob(value))
    assert wide.sample().shape == wide.mean.shape == (4, 3)
    assert not fn.support.check(torch.tensor(0.5 / (LEVELS - 1)))
    assert not fn.support.check(torch.tensor(1.0 + 1 / (LEVELS - 1)))


def test_discretized_logistic_against_float64_differences_of_the_cdf_and_finite_far_out():
    loc, scale = torch.tensor(0.3, dtype=torch.float64), torch.tensor(0.05, dtype=torch.float64)
    fn = DiscretizedLogistic(loc, scale, 256)
    inner = torch.arange(1, 255, dtype=torch.float64) / 255
    half = 0.5 / 255
    direct = (torch.sigmoid((inner + half - loc) / scale) - torch.sigmoid((inner - half - loc) / scale)).log()
    torch.testing.assert_close(fn.log_prob(inner), direct, rtol=1e-9, atol=1e-9)
    far = DiscretizedLogistic(torch.tensor(0.0), torch.tensor(1e-3), 256)
    value = far.log_prob(torch.tensor(200 / 255))
    assert torch.isfinite(value) and float(value) == pytest.approx(-784, abs=5)


@pytest.mark.parametrize("p", [0.02, 0.4999, 0.5, 0.7, 0.999])
def test_continuous_bernoulli_integrates_to_one(p):
    h = torch.full((1, 1), math.log(p / (1 - p)))
    fn = likelihoods.ContinuousBernoulli((1,))(h)
    x = torch.linspace(0, 1, 20001)
    density = fn.log_prob(x.unsqueeze(-1)).exp()
    assert float(torch.trapezoid(density, x)) == pytest.approx(1, abs=1e-3)


def test_grey_bernoulli_is_an_energy():
    fn = GreyBernoulli(torch.zeros(3)).expand((2, 3)).to_event(1)
    assert not is_density(fn) and is_density(dist.Bernoulli(0.5))
    assert fn.log_prob(torch.full((2, 3), 0.3)).shape == (2,)
    x = torch.linspace(0, 1, 1001)
    integral = torch.trapezoid(GreyBernoulli(torch.tensor(0.3)).log_prob(x).exp(), x)
    assert abs(float(integral) - 1) > 0.1


SHAPES = [(5,), (3, 4), (3, 2, 4)]
FLAT = ("multinomial", "bag-of-words")
ANY = [name for name in likelihoods.LIKELIHOODS if name != "ms-ssim"]  # which compares images
SHAPED = [(name, shape) for name in ANY for shape in (SHAPES[:1] if name in FLAT else SHAPES)]


@pytest.mark.parametrize(("name", "shape"), SHAPED)
@pytest.mark.parametrize("scale", ["shared", "predicted"])
def test_likelihoods_score_and_draw_any_shape_that_they_take(name, scale, shape):
    kind = next(k for k in ("binary", "levels", "unit", "real", "count") if k in likelihoods.LIKELIHOODS[name].kinds)
    own = {"scale": scale} if "scale" in likelihoods.LIKELIHOODS.options(name) else {}
    likelihood = likelihoods.build(name, shape, kind, levels=2, **own)
    h = torch.randn(6, 7, likelihood.num_params, *shape, requires_grad=True)
    fn = likelihood(h)
    assert fn.batch_shape == (6, 7) and fn.event_shape == shape
    draw = fn.sample()
    assert draw.shape == (6, 7, *shape)
    fn.log_prob(draw).sum().backward()
    assert (h.grad != 0).any() and all(p.grad is not None for p in likelihood.parameters())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("bernouli", (3,), "binary"), "did you mean 'bernoulli'"),
        (("bernoulli", (3,), "levels"), "ask for 'bernoulli-grey', which is an energy"),
        (("categorical", (3,), "real"), "does not score real data"),
        (("bernoulli", (3,), "binary", None, 0.3), "likelihood 'bernoulli' has no option 'scale', which is 0.3; leave it out"),
        (("gaussian", (3,), "real", None, "wide"), "expected a positive number"),
        (("gaussian", (3,), "real", None, -1.0), "expected a positive number"),
        (("discretized-logistic", (3,), "levels", 256, 0.1), "expected 'shared' or 'predicted'"),
    ],
)
def test_unfit_likelihoods_are_refused(args, message):
    with pytest.raises(OptionError, match=message):
        likelihoods.build(*args)


def test_kl_of_a_correlated_from_a_factorized_gaussian():
    torch.manual_seed(0)
    tril = torch.randn(5, 3, 3).tril(-1) + torch.diag_embed(torch.rand(5, 3) + 0.5)
    q = dist.MultivariateNormal(torch.randn(5, 3), scale_tril=tril)
    p = dist.Normal(torch.randn(3), torch.rand(3) + 0.5).expand([5, 3]).to_event(1)
    full = dist.MultivariateNormal(p.mean, torch.diag_embed(p.variance))
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(q, full))
    torch.testing.assert_close(kl_divergence(q.expand((2, 5)), p.expand((2, 5)))[1], kl_divergence(q, full))
