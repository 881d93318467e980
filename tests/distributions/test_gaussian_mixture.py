"""Mixtures of Gaussians, shared by all data or of each datum: densities of integral one, draws, unbiased gradients."""

from __future__ import annotations

import exact
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch.autograd import gradcheck
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import pyrovae as pv
from pyrovae.distributions import GaussianMixture
from pyrovae.guides import GaussianMixture as GaussianMixtureGuide

DRAWS = 100_000


def mixture(dims, dtype=torch.float64):
    """Three overlapping components, and their parameters."""
    torch.manual_seed(dims)
    logits = torch.tensor([0.3, -0.5, 0.1], dtype=dtype)
    loc = 1.2 * torch.randn(3, dims, dtype=dtype)
    scale = 0.4 + torch.rand(3, dims, dtype=dtype)
    return [value.requires_grad_() for value in (logits, loc, scale)]


def closed(logits, loc, scale, a):
    """E[cos(a . z)] and E[(a . z)^2]."""
    weight, mean = logits.softmax(0), loc @ a
    variance = (a.square() * scale.square()).sum(1)
    return (weight * mean.cos() * (-variance / 2).exp()).sum(), (weight * (mean.square() + variance)).sum()


@pytest.mark.parametrize("dims", [1, 3])
def test_density_and_moments_are_those_of_torch_and_integrate_to_one(dims):
    logits, loc, scale = mixture(dims)
    made = GaussianMixture(loc, scale, logits)
    same = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(loc, scale), 1))
    z = 2 * torch.randn(50, dims, dtype=torch.float64)
    own = GaussianMixture(*(v.expand(50, *v.shape) for v in (loc, scale, logits)))  # components of each datum
    assert own.has_rsample and not made.has_rsample
    torch.testing.assert_close((made.log_prob(z), own.log_prob(z)), (same.log_prob(z), same.log_prob(z)))
    torch.testing.assert_close((made.mean, made.variance), (same.mean, same.variance))
    torch.testing.assert_close((own.mean[7], own.variance[7]), (same.mean, same.variance))
    draws = made.sample((20_000,))
    assert ((draws.mean(0) - made.mean).abs() < 4.5 * (made.variance / 20_000).sqrt()).all()
    wide = made.expand(torch.Size([4, 5]))
    assert wide.sample().shape == (4, 5, dims) and wide.log_prob(z[:5]).shape == (4, 5)
    if dims == 1:
        grid = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
        assert float(torch.trapezoid(made.log_prob(grid.unsqueeze(1)).exp(), grid).detach()) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("dims", [1, 3])
def test_pathwise_gradients_are_unbiased(dims):
    """Of E[cos(a . z)] and E[(a . z)^2], which tie all dimensions together, by weights, means and scales."""
    params = mixture(dims)
    a = torch.linspace(0.5, 1.0, dims, dtype=torch.float64)
    torch.manual_seed(0)
    tiled = [value.detach().expand(DRAWS, *value.shape).clone().requires_grad_() for value in params]
    z = GaussianMixture(*tiled[1:], tiled[0]).rsample() @ a
    for value, truth in zip((z.cos(), z.square()), closed(*params, a), strict=True):
        assert abs(value.mean() - truth) < 4.5 * value.std() / DRAWS**0.5
        expected = torch.autograd.grad(truth, params, retain_graph=True)
        for grads, exact_grad in zip(torch.autograd.grad(value.sum(), tiled, retain_graph=True), expected, strict=True):
            error = grads.std(0) / DRAWS**0.5
            assert ((grads.mean(0) - exact_grad).abs() < 4.5 * error).all()
            assert (error < 0.03).all() and exact_grad.abs().max() > 0.01


class Free(torch.nn.Module):
    """An encoder that gives the same features for each x."""

    def __init__(self, features):
        super().__init__()
        self.features = torch.nn.Parameter(features)

    def forward(self, x):
        return self.features.expand(len(x), -1)


@pytest.mark.parametrize("objective", ["elbo", "stl"])
def test_the_gradient_of_the_bound_is_that_of_its_integral(objective):
    """A mixture on a 1-d latent, whose ELBO and gradient are integrals on a line."""
    pair = exact.linear_gaussian(1, 2, rows=1)
    torch.manual_seed(1)
    guide = GaussianMixtureGuide(Free(0.7 * torch.randn(GaussianMixtureGuide.num_features(1, 3))), 3)
    features, factors = guide.encoder.features, pair.model.factor_analysis
    grid = torch.linspace(-9, 9, 8001).unsqueeze(1)
    logits, loc, log_scale = features[:3], features[3:6].unsqueeze(1), features[6:].unsqueeze(1)
    log_q = GaussianMixture(loc, log_scale.exp(), logits).log_prob(grid)
    mean = grid @ factors.weight.T + factors.loc
    log_p = dist.Normal(0.0, 1.0).log_prob(grid[:, 0]) + dist.Normal(mean, factors.scale).log_prob(pair.batch["x"]).sum(1)
    elbo = torch.trapezoid(log_q.exp() * (log_p - log_q), grid[:, 0])
    (truth,) = torch.autograd.grad(elbo, features)
    bound = pv.objectives.get(objective, num_particles=2000)
    values, grads = [], []
    for seed in range(60):
        torch.manual_seed(seed)
        loss = bound.differentiable_loss(pair.model, guide, **pair.batch)
        values.append(-loss.detach())
        grads.append(-torch.autograd.grad(loss, features)[0])
    for estimates, expected in ((torch.stack(values), elbo.detach()), (torch.stack(grads), truth)):
        error = estimates.std(0) / len(estimates) ** 0.5
        assert ((estimates.mean(0) - expected).abs() < 4.5 * error + 1e-5).all() and (error < 0.05).all()
    assert float(elbo.detach()) < float(pair.log_evidence().detach())


def test_importance_weights_of_a_mixture_are_exact():
    pair = exact.linear_gaussian(2, 4)
    torch.manual_seed(0)
    guide = GaussianMixtureGuide(Free(0.5 * torch.randn(GaussianMixtureGuide.num_features(2, 4))), 4)
    evidence = pv.log_evidence((pair.model, guide), pair.batch, num_samples=20_000)
    z = (evidence.value - pair.log_evidence().detach()) / evidence.stderr
    assert z.abs().max() < 4.5 and evidence.stderr.max() < 0.2


class Fold(torch.nn.Module):
    """z ~ N(0, 1), x ~ N(|z|, 0.1^2)."""

    def forward(self, x):
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.abs(), 0.1).to_event(1), obs=x)


def test_two_modes_need_two_components():
    """x = |z| + noise: one Gaussian covers one mode and pays log 2, a mixture covers both."""
    x = torch.full((20, 1), 1.5)
    bounds, quiet = {}, {"validate": False, "progress": False, "compile": False}
    falling = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": 150}, "scheduler_interval": "step"}
    for components in (1, 2):
        loc = torch.tensor([1.0, -1.0])[:components]  # a component on each side, which the bound alone does not look for
        guide = GaussianMixtureGuide(
            Free(torch.cat([torch.zeros(components), loc, torch.full((components,), -1.5)])), components
        )
        pv.fit((Fold(), guide), {"x": x}, "elbo:num_particles=20", steps=150, lr=3e-2, **falling, **quiet)
        bounds[components] = -pv.objectives.get("elbo:num_particles=2500").loss(Fold(), guide, x=x) / len(x)
    grid = torch.linspace(-6, 6, 40_001)
    joint = dist.Normal(0.0, 1.0).log_prob(grid) + dist.Normal(grid.abs(), 0.1).log_prob(torch.tensor(1.5))
    log_p = float(torch.trapezoid(joint.exp(), grid).log())
    assert bounds[1] == pytest.approx(log_p - 0.693, abs=0.02) and bounds[2] == pytest.approx(log_p, abs=0.02)


# ------------------------------------------------------------------------------------------------ shared components
def shared(num, dim, narrow=1.0, dtype=torch.float32):
    loc, log_scale = torch.randn(num, dim, dtype=dtype), 0.5 * torch.randn(num, dim, dtype=dtype)
    return GaussianMixture(loc, narrow * log_scale.exp())


@pytest.mark.parametrize("dim", [1, 2])
def test_the_shared_mixture_integrates_to_one(dim):
    prior = shared(6, dim, dtype=torch.float64)
    grid = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    points = torch.cartesian_prod(*[grid] * dim).reshape(-1, dim)
    assert float(prior.log_prob(points).logsumexp(0).exp()) * 0.02**dim == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("narrow", [1.0, 0.02, 1e-3])
def test_the_shared_mixture_is_pyros_without_its_memory(narrow):
    """Against MixtureSameFamily in float64, for scales at which float32 products would be off by nats."""
    prior = shared(50, 40, narrow)
    components = dist.Normal(prior.loc.double(), prior.scale.double()).to_event(1)
    slow = dist.MixtureSameFamily(dist.Categorical(torch.ones(50, dtype=torch.float64)), components)
    z = torch.cat([prior.sample((3, 4)), prior.loc[:4].expand(1, 4, 40)]).requires_grad_()
    ours, exact = prior.log_prob(z), slow.log_prob(z.double())
    torch.testing.assert_close(ours, exact.float(), rtol=2e-7, atol=1e-4)
    grads = [torch.autograd.grad(value.sum(), z)[0] for value in (ours, exact)]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4 / narrow)
    assert prior.expand([3, 4]).log_prob(z[0, 0]).shape == (3, 4) and ours.dtype == torch.float32


def test_the_shared_mixtures_gradient_is_right():
    prior, z = shared(4, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    inputs = (prior.loc.requires_grad_(), prior.scale.requires_grad_(), z)
    assert gradcheck(lambda loc, scale, z: GaussianMixture(loc, scale).log_prob(z), inputs)


def test_draws_follow_the_shared():
    prior = shared(5, 1)
    z = prior.sample((20_000,))[:, 0]

    def cdf(value):
        return stats.norm.cdf(value[:, None], prior.loc[:, 0], prior.scale[:, 0]).mean(1)

    assert stats.kstest(z.numpy(), cdf).pvalue > 0.01
    many = shared(6, 3).expand([2])
    draws = many.sample((40_000,))
    assert draws.shape == (40_000, 2, 3) and not many.has_rsample
    error = (many.variance / 40_000).sqrt()
    assert ((draws.mean(0) - many.mean).abs() < 4.5 * error).all()
    torch.testing.assert_close(draws.var(0), many.variance, rtol=0.05, atol=0)
