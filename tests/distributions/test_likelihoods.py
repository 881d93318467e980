"""Likelihoods of counts, tables and colours: densities against SciPy, masses of one, draws, gradients at extremes, kinds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from pyrovae import distributions as own
from pyrovae.distributions import likelihoods
from pyrovae.distributions.likelihoods import LIKELIHOODS, build
from pyrovae.errors import OptionError

F64 = torch.float64
COUNTS = torch.tensor([0.0, 1, 2, 10, 100, 1e4, 1e6], dtype=F64)
POSITIVE = torch.tensor([1e-8, 0.01, 0.5, 0.99, 1.0, 30, 1e5], dtype=F64)
UNIT = torch.tensor([1e-8, 0.01, 0.5, 0.99, 1 - 1e-9], dtype=F64)
REAL = torch.tensor([-1e6, -3, 0.0, 0.5, 20, 1e6], dtype=F64)


def grid(*values):
    """Every combination, each a float64 vector."""
    return [each.flatten() for each in torch.meshgrid(*[torch.tensor(v, dtype=F64) for v in values], indexing="ij")]


def beta(h, n):
    return scipy.stats.beta(n * scipy.special.expit(h), n * scipy.special.expit(-h))


SCIPY = {
    "Poisson": (own.Poisson, grid([1e-6, 0.1, 3, 100, 1e6]), COUNTS, lambda m: scipy.stats.poisson(m)),
    "NegativeBinomial": (
        own.NegativeBinomial,
        grid([0.1, 3, 100, 1e6], [1e-3, 0.5, 7.9, 8.1, 1e3]),
        COUNTS,
        lambda m, r: scipy.stats.nbinom(r, r / (r + m)),
    ),
    "Gamma": (own.Gamma, grid([1e-3, 1, 1e3], [1e-3, 1, 30, 1e6]), POSITIVE, lambda m, k: scipy.stats.gamma(k, scale=m / k)),
    "Beta": (own.Beta, grid([-5.0, 0, 3], [1e-2, 1, 2, 1e5]), UNIT, beta),
    "LogNormal": (own.LogNormal, grid([-2.0, 1], [0.1, 2]), POSITIVE, lambda m, s: scipy.stats.lognorm(s, scale=np.exp(m))),
    "StudentT": (
        own.StudentT,
        grid([0.5, 2, 15.9, 16.1, 1e4, 1e9], [-1.0, 3], [0.1, 10]),
        REAL,
        lambda df, m, s: scipy.stats.t(df, m, s),
    ),
}


@pytest.mark.parametrize("name", SCIPY)
def test_log_densities_are_those_of_scipy_and_expand_keeps_them(name):
    make, parameters, values, reference = SCIPY[name]
    x = values.unsqueeze(-1)
    found = make(*parameters).log_prob(x)
    right = torch.from_numpy(
        (lambda fn: getattr(fn, "logpmf" if hasattr(fn.dist, "pmf") else "logpdf"))(
            reference(*[p.numpy() for p in parameters])
        )(x.numpy())
    )
    torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-9)
    wide = make(*parameters).expand(torch.Size([2, len(parameters[0])]))
    torch.testing.assert_close(wide.log_prob(x.unsqueeze(1))[:, 1], found)
    assert wide.support.check(x).all() and not wide.support.check(torch.tensor(-0.5 if name != "StudentT" else math.nan))


@pytest.mark.parametrize("name", [name for name in SCIPY if name not in ("LogNormal", "StudentT")])
def test_float32_loses_nothing_where_numbers_are_large(name):
    make, parameters, values, _ = SCIPY[name]
    x = values[values.float() < 1] if name == "Beta" else values
    # both are given the same parameters and values: those that float32 holds
    single, double = ([each.to(F64 if wide else torch.float32) for each in rounded(parameters)] for wide in (False, True))
    x32 = x.to(torch.float32).unsqueeze(-1)
    found, right = make(*single).log_prob(x32), make(*double).log_prob(x32.to(F64))
    finite = torch.isfinite(right)
    torch.testing.assert_close(found.to(F64)[finite], right[finite], rtol=1e-5, atol=2e-3)


def rounded(parameters):
    return [each.to(torch.float32) for each in parameters]


# ------------------------------------------------------------------------------------------------ counts
def test_masses_of_counts_are_one_and_give_mean_and_variance():
    x = torch.arange(4000, dtype=F64).unsqueeze(-1)
    mean, r = grid([0.01, 2.0, 40.0], [0.5, 3.0, 1e6])
    for fn in (own.Poisson(mean), own.NegativeBinomial(mean, r)):
        masses = fn.log_prob(x).exp()
        torch.testing.assert_close(masses.sum(0), torch.ones_like(mean), rtol=0, atol=1e-6)
        torch.testing.assert_close((masses * x).sum(0), fn.mean, rtol=1e-6, atol=0)
        torch.testing.assert_close((masses * x**2).sum(0) - fn.mean**2, fn.variance, rtol=1e-6, atol=1e-9)


def test_a_negative_binomial_of_large_dispersion_is_a_poisson():
    mean, x = torch.tensor([0.1, 3.0, 500.0], dtype=F64), COUNTS[:5].unsqueeze(-1)
    right = own.Poisson(mean).log_prob(x)
    torch.testing.assert_close(
        own.NegativeBinomial(mean, torch.tensor(1e12, dtype=F64)).log_prob(x), right, rtol=1e-6, atol=1e-6
    )
    single = own.NegativeBinomial(mean.float(), torch.tensor(1e12)).log_prob(x.float())
    torch.testing.assert_close(single, right.float(), rtol=1e-4, atol=1e-4)


def test_multinomial_masses_are_one_for_each_total_and_are_scipys():
    logits = torch.randn(3, dtype=F64)
    fn = own.Multinomial(logits, torch.tensor(5.0, dtype=F64))
    every = torch.cartesian_prod(*[torch.arange(6.0, dtype=F64)] * 3)
    for total in (1, 5):
        x = every[every.sum(-1) == total]
        torch.testing.assert_close(fn.log_prob(x).exp().sum(), torch.tensor(1.0, dtype=F64))
        right = scipy.stats.multinomial(total, logits.softmax(-1).numpy()).logpmf(x.numpy())
        torch.testing.assert_close(fn.log_prob(x), torch.from_numpy(right))
    drawn = fn.expand(torch.Size([20000])).sample()
    assert (drawn.sum(-1) == 5).all()
    torch.testing.assert_close(drawn.mean(0), fn.mean, rtol=0, atol=0.05)


def test_the_gate_of_zero_inflation_and_its_gradient_are_those_of_the_mixture():
    h = torch.tensor([0.7, -1.0], dtype=F64).reshape(2, 1).requires_grad_()
    x = torch.arange(60, dtype=F64).unsqueeze(-1)
    for name, base in (("zero-inflated-poisson", "poisson"), ("zero-inflated-negative-binomial", "negative-binomial")):
        found = build(name, (1,), "count").double()(h.expand(60, 2, 1)).log_prob(x)
        plain = build(base, (1,), "count").double()(h[:1].expand(60, 1, 1)).log_prob(x)
        gate = h[1, 0].sigmoid()
        right = (gate * (x[:, 0] == 0) + (1 - gate) * plain.exp()).log()
        torch.testing.assert_close(found, right)
        torch.testing.assert_close(found.exp().sum(), torch.tensor(1.0, dtype=F64), rtol=0, atol=1e-6)
        for i in (0, 3):
            (ours,), (exact,) = (torch.autograd.grad(each[i], h, retain_graph=True) for each in (found, right))
            torch.testing.assert_close(ours, exact)


# ------------------------------------------------------------------------------------------------ levels
@pytest.mark.parametrize("levels", [2, 3, 256])
def test_ordinal_masses_are_one_and_give_the_mean(levels):
    likelihood = build("ordinal", (2,), "levels", levels).double()
    fn = likelihood(torch.tensor([[[-3.0, 2.0]]], dtype=F64))
    x = torch.arange(levels, dtype=F64).unsqueeze(-1) / (levels - 1)
    masses = fn.base_dist.log_prob(x.expand(levels, 2).unsqueeze(1)).exp().squeeze(1)
    torch.testing.assert_close(masses.sum(0), torch.ones(2, dtype=F64), rtol=0, atol=1e-6)
    torch.testing.assert_close((masses * x).sum(0), fn.mean[0])
    cumulative = torch.sigmoid(likelihood.thresholds - torch.tensor([[-3.0], [2.0]], dtype=F64)).T
    torch.testing.assert_close(masses.cumsum(0)[:-1], cumulative)
    assert fn.base_dist.support.check(fn.sample()).all()
    assert (masses[0, 0] > masses[0, 1]).all()  # the larger h, the higher the level


@pytest.mark.parametrize("autoregressive", [True, False])
def test_the_masses_of_all_colours_sum_to_one(autoregressive):
    levels = 8
    likelihood = build(f"logistic-mixture:num_components=3,autoregressive={autoregressive}", (3, 1, 1), "levels", levels)
    torch.manual_seed(0)
    fn = likelihood.double()(torch.randn(likelihood.num_params, 3, 1, 1, dtype=F64))
    one = torch.arange(levels, dtype=F64) / (levels - 1)
    colours = torch.cartesian_prod(one, one, one)
    masses = fn.log_prob(colours.reshape(-1, 3, 1, 1)).exp()
    torch.testing.assert_close(masses.sum(), torch.tensor(1.0, dtype=F64), rtol=0, atol=1e-6)
    drawn = fn.expand(torch.Size([20000])).sample()
    assert fn.support.check(drawn).all()
    exact = masses @ colours
    torch.testing.assert_close(drawn.reshape(-1, 3).mean(0), exact, rtol=0, atol=0.015)
    red_green = (masses * colours[:, 0] * colours[:, 1]).sum()
    torch.testing.assert_close((drawn[:, 0] * drawn[:, 1]).mean(), red_green, rtol=0, atol=0.015)
    if autoregressive:
        with pytest.raises(NotImplementedError):
            _ = fn.mean
    else:
        torch.testing.assert_close(fn.mean.flatten(), exact)


def test_the_masses_of_256_grey_levels_and_of_a_pixels_last_channel_sum_to_one():
    torch.manual_seed(0)
    one = torch.arange(256, dtype=F64) / 255
    grey = build("logistic-mixture", (2,), "levels", 256).double()
    fn = grey(torch.randn(grey.num_params, 2, dtype=F64))
    masses = fn.base_dist.log_prob(one.unsqueeze(-1).expand(256, 2)).exp()
    torch.testing.assert_close(masses.sum(0), torch.ones(2, dtype=F64), rtol=0, atol=1e-6)
    torch.testing.assert_close((masses * one.unsqueeze(-1)).sum(0), fn.mean)
    colour = build("logistic-mixture:num_components=1", (3, 1, 1), "levels", 256).double()
    fn = colour(torch.randn(colour.num_params, 3, 1, 1, dtype=F64))
    for channel in range(3):  # of one component, the masses of each channel given the others before it
        x = torch.full((256, 3, 1, 1), 0.4, dtype=F64)
        x[:, channel, 0, 0] = one
        after = fn.expand(torch.Size([256]))
        loc = after.loc.squeeze(1) + after._shift(after.coefficients, x.unsqueeze(1)).squeeze(1)
        parts = own.DiscretizedLogistic(loc, after.scale.squeeze(1)).log_prob(x)[:, : channel + 1].sum(1).exp()
        before = own.DiscretizedLogistic(loc, after.scale.squeeze(1)).log_prob(x)[:, :channel].sum(1).exp()
        torch.testing.assert_close((parts / before).sum(), torch.tensor(1.0, dtype=F64), rtol=0, atol=1e-6)
        torch.testing.assert_close(
            fn.log_prob(x), own.DiscretizedLogistic(loc, after.scale.squeeze(1)).log_prob(x).sum((1, 2, 3))
        )


# ------------------------------------------------------------------------------------------------ all of them
EDGES = {
    "count": [0.0, 1.0, 1e6],
    "binary": [0.0, 1.0],
    "levels": [0.0, 1.0],
    "unit": [1e-6, 1 - 1e-6],
    "real": [1e-6, 1e6],  # positive, as some of them ask
}
OF_VECTORS = [name for name in LIKELIHOODS if name != "ms-ssim"]  # which compares images
KIND = {name: next(k for k in EDGES if k in LIKELIHOODS[name].kinds) for name in LIKELIHOODS}


@pytest.mark.parametrize("name", OF_VECTORS)
def test_gradients_are_finite_at_extremes(name):
    likelihood = build(name, (3,), KIND[name], levels=2 if KIND[name] != "levels" else 5)
    for size in (1.0, 30.0, 300.0):
        for sign in (-1.0, 1.0):
            h = torch.full((likelihood.num_params, 3), sign * size, requires_grad=True)
            for value in EDGES[KIND[name]]:
                score = likelihood(h).log_prob(torch.full((3,), value))
                gradients = torch.autograd.grad(score.sum(), [h, *likelihood.parameters()])
                assert torch.isfinite(score).all() or KIND[name] == "real", (size, sign, value)
                assert all(torch.isfinite(each).all() for each in gradients), (size, sign, value)


@pytest.mark.parametrize("name", OF_VECTORS)
def test_draws_lie_in_the_support_and_agree_with_the_mean(name):
    torch.manual_seed(0)
    likelihood = build(name, (3,), KIND[name], levels=2 if KIND[name] != "levels" else 5)
    start = likelihood.start(torch.tensor([0.3, 0.5, 0.6]))
    h = start if start is not None else 0.5 * torch.randn(likelihood.num_params, 3)
    fn = likelihood(h)
    drawn = fn.expand(torch.Size([4000])).sample()
    if not likelihood.is_density:
        return
    assert fn.support.check(drawn).all()
    error = drawn.std(0) / 4000**0.5
    assert ((drawn.mean(0) - fn.mean).abs() < 5 * error + 1e-3).all()


@pytest.mark.parametrize(
    "name", [name for name in OF_VECTORS if LIKELIHOODS[name](shape=(3,)).start(torch.ones(3)) is not None]
)
def test_decoders_start_at_the_mean(name):
    likelihood, mean = build(name, (3,), KIND[name], levels=2 if KIND[name] != "levels" else 5), torch.tensor([0.3, 0.5, 0.6])
    found = likelihood(likelihood.start(mean)).mean
    if name == "multinomial":
        mean = mean / mean.sum()  # of one count
    torch.testing.assert_close(found, mean, rtol=0.3, atol=0.05)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("poisson", (3,), "real"), "likelihood 'poisson' does not score real data (it takes count)"),
        (("gaussian", (3,), "count"), "likelihood 'gaussian' does not score count data (it takes binary, levels, unit, real)"),
        (("beta", (3,), "real"), "likelihood 'beta' does not score real data (it takes unit)"),
        (("multinomial", (3, 2), "count"), "takes x of shape (D,), one count for each thing; x is (3, 2)"),
        (("negative-binomial:dispersion=wide", (3,), "count"), "dispersion is 'wide'; expected a positive number, 'shared'"),
        (("negative-binomial:disperson=1", (3,), "count"), "did you mean 'dispersion'"),
        (("negative-binomial", (3,), "count", None, 0.3), "likelihood 'negative-binomial' has no option 'scale'"),
        (("logistic-mixture:autoregressive=true", (3,), "levels"), "expected colours, (3, H, W): leave it out"),
        (("neg-binomial", (3,), "count"), "did you mean 'negative-binomial'"),
    ],
)
def test_unfit_likelihoods_are_refused(args, message):
    with pytest.raises(OptionError) as refused:
        build(*args)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["log-normal", "gamma", "beta", "poisson", "negative-binomial", "student-t"])
def test_values_that_are_masked_may_be_anything(name):
    likelihood = build(name, (2,), KIND[name])
    h = torch.zeros(1, likelihood.num_params, 2, requires_grad=True)
    seen = torch.tensor([[True, False]])
    filler = torch.tensor([[0.5, 0.0]]) if KIND[name] != "count" else torch.tensor([[2.0, -1.0]])
    fn = own.mask_distribution(likelihood(h), seen)
    assert (fn.support.check(filler).all() and not fn.support.check(-filler.flip(-1) - 3.0).all()) or name == "student-t"
    score = fn.log_prob(filler)
    torch.testing.assert_close(score, likelihood(h).base_dist.log_prob(filler[:, :1].expand(1, 2))[:, 0])
    (gradient,) = torch.autograd.grad(score.sum(), h)
    assert torch.isfinite(gradient).all() and (gradient[..., 1] == 0).all()


def test_options_of_a_likelihood_are_given_with_its_name():
    assert isinstance(build("gamma:concentration=predicted", (2,), "real"), likelihoods.Gamma)
    assert build("gamma:concentration=predicted", (2,), "real").num_params == 2
    fixed = build("negative-binomial:dispersion=5", (2,), "count")
    assert fixed(torch.zeros(1, 2)).base_dist.dispersion.tolist() == [5, 5] and not list(fixed.parameters())
    assert isinstance(build(None, (2,), "count"), nn.Module)
