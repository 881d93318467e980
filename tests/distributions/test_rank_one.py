"""The Gaussian of rank-one precision beside torch's own of the whole matrix, and as the exact posterior of such a model."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyrovae.core.trace import trace_pair
from pyrovae.distributions import RankOnePrecisionGaussian


def made(scale=1.0, batch=(3,), d=4):
    torch.manual_seed(0)
    loc, log_diagonal, factor = (torch.randn(*batch, d, dtype=torch.float64) for _ in range(3))
    fn = RankOnePrecisionGaussian(loc, log_diagonal, scale * factor)
    precision = torch.diag_embed(log_diagonal.exp()) + scale**2 * factor.unsqueeze(-1) * factor.unsqueeze(-2)
    return fn, torch.distributions.MultivariateNormal(loc, precision_matrix=precision)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 30.0])
def test_density_moments_entropy_and_kl_are_those_of_the_whole_matrix(scale):
    fn, whole = made(scale)
    z = torch.randn(7, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(fn.log_prob(z), whole.log_prob(z))
    torch.testing.assert_close(fn.entropy(), whole.entropy())
    torch.testing.assert_close(fn.variance, whole.variance)
    prior = dist.Normal(0.3 * torch.ones(4, dtype=torch.float64), 1.7).to_event(1)
    other = torch.distributions.MultivariateNormal(prior.mean, torch.diag(prior.variance))
    expected = torch.distributions.kl_divergence(whole, other)
    torch.testing.assert_close(torch.distributions.kl_divergence(fn, prior), expected)
    wide = fn.expand([2, 3])
    assert wide.batch_shape == (2, 3) and torch.equal(wide.log_prob(z[0]), fn.log_prob(z[0]).expand(2, 3))


def test_draws_have_the_covariance_and_gradients_reach_every_parameter():
    fn, whole = made(batch=(), d=3)
    z = fn.rsample(torch.Size([200_000]))
    torch.testing.assert_close(z.T.cov(), whole.covariance_matrix, rtol=0.03, atol=0.02)
    torch.testing.assert_close(z.mean(0), fn.mean, rtol=0, atol=0.02)
    parameters = [torch.zeros(3, requires_grad=True) for _ in range(3)]
    drawn = RankOnePrecisionGaussian(*parameters).rsample(torch.Size([5]))  # at u = 0, where 0 / 0 would be
    grads = torch.autograd.grad(drawn.square().sum(), parameters)
    assert all(bool(grad.isfinite().all()) for grad in grads)


def test_it_is_the_posterior_of_a_model_whose_data_see_one_direction():
    """z ~ N(0, I), x | z ~ N(w'z, s^2): the posterior's precision is I + w w' / s^2."""
    w, s = torch.tensor([1.0, -0.5, 2.0]), 0.7

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
            pyro.sample("x", dist.Normal((z * w).sum(-1), s), obs=x)

    def guide(x):
        factor = w / s
        loc = x.unsqueeze(-1) * w / s**2 / (1 + factor.square().sum())
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", RankOnePrecisionGaussian(loc, torch.zeros(3), factor))

    x = torch.randn(6)
    weights = trace_pair(model, guide, {"x": x}, 4).log_weight
    truth = torch.distributions.Normal(0.0, float((w.square().sum() + s**2).sqrt())).log_prob(x)
    torch.testing.assert_close(weights, truth.expand(4, 6), rtol=1e-4, atol=1e-4)
