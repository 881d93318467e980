"""DIP-VAE's objective: its penalty against closed forms, and where it stands still."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from steppers import assert_same_steps, steppers

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import DIP, Given
from pyrovae.objectives.covariance import code_covariance


def model(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z.sum(-1, keepdim=True).expand(*z.shape[:-1], 3), 1.0).to_event(1), obs=x)


def linear(weight, scale):
    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x @ weight.T, scale).to_event(1))

    return guide


def loss(objective, guide, x, seed=0):
    torch.manual_seed(seed)
    (update,) = list(objective.updates(Given(model, guide, [{"x": x}])))
    return update


X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
WEIGHT = torch.tensor([[1.0, 0.5, -0.3], [0.2, -0.7, 0.4]], dtype=torch.float64)
SCALE = torch.tensor([0.6, 0.3], dtype=torch.float64)


@pytest.mark.parametrize("form", ["I", "II"])
def test_the_penalty_of_a_linear_encoder_is_in_closed_form(form):
    of_x = torch.cov(X.T, correction=0)
    covariance = WEIGHT @ of_x @ WEIGHT.T + (torch.diag(SCALE**2) if form == "II" else 0)
    expected = 2 * 3.0 * covariance[0, 1] ** 2 + 5.0 * (covariance.diagonal() - 1).square().sum()
    found = loss(DIP(form, 3.0, 5.0), linear(WEIGHT, SCALE), X)
    torch.testing.assert_close(found.loss + found.bound.mean(), expected, rtol=1e-6, atol=1e-6)
    plain = loss(pv.objectives.MeanField(), linear(WEIGHT, SCALE), X)
    torch.testing.assert_close(found.bound, plain.bound)


def test_a_code_of_unit_covariance_feels_no_penalty():
    root = torch.linalg.cholesky(torch.linalg.inv(torch.cov(X[:, :2].T, correction=0)))  # L' Cov L = I
    weight = torch.cat([root.T, torch.zeros(2, 1)], 1).requires_grad_()
    found = loss(DIP("I", 3.0, 5.0), linear(weight, SCALE), X)
    (own,) = torch.autograd.grad(found.loss, weight)
    (plain,) = torch.autograd.grad(loss(pv.objectives.MeanField(), linear(weight, SCALE), X).loss, weight)
    torch.testing.assert_close(own, plain, rtol=0, atol=1e-9)


def test_correlations_of_the_guide_count_and_what_has_no_covariance_is_refused():
    tril = torch.tensor([[0.5, 0.0], [0.3, 0.7]], dtype=torch.float64)

    def full(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal(x @ WEIGHT.T, scale_tril=tril))

    traced = trace_pair(model, full, {"x": X}, 2)
    between = code_covariance(traced, "I")
    torch.testing.assert_close(code_covariance(traced, "II") - between, tril @ tril.T)

    def cauchy(x):
        with pyro.plate("data", len(x), dim=-1):
            shift = dist.transforms.AffineTransform(0.0, 1.0)
            pyro.sample("z", dist.TransformedDistribution(dist.Normal(x @ WEIGHT.T, 1.0), shift).to_event(1))

    with pytest.raises(ContractError, match="site 'z' .* has no mean and variance in closed form"):
        loss(DIP(kl="sampled"), cauchy, X)
    with pytest.raises(OptionError, match="no form of dip is called 'III'"):
        DIP("III")
    with pytest.raises(OptionError, match="off_diagonal is -1"):
        DIP(off_diagonal=-1)


def test_the_recipe_chooses_published_weights(digits):
    found = [pv.pairs.dip_vae(digits.spec, latent_dim=2, hidden=[4], form=form, off_diagonal=3.0) for form in ("I", "II")]
    assert [pair.objective["diagonal"] for pair in found] == [30.0, 3.0]


def test_training_whitens_the_codes(digits):
    torch.manual_seed(0)
    pair = pv.pairs.dip_vae(digits.spec, latent_dim=3, hidden=[16], off_diagonal=50.0)
    run = pv.fit(pair, digits, steps=200, lr=1e-2, batch_size=200, progress=False, tensorboard=False, compile=False)
    with torch.no_grad():
        found = code_covariance(trace_pair(run.model, run.guide, digits.test[:250]), "II")
    assert (found - torch.eye(3)).abs().max() < 0.15


def test_a_compiled_step_is_the_eager_one(digits):
    torch.manual_seed(0)
    pair = pv.pairs.dip_vae(digits.spec, latent_dim=3, hidden=[16])
    batch = digits.train[torch.arange(20)]
    assert_same_steps(*steppers(pair.model, pair.guide, batch, pair.objective), batch)
