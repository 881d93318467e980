"""The nested bound: exact with the exact q(zeta | z), rising with K', and what it refuses."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.errors import ContractError, OptionError

A, S, Q, R = 0.8, 0.6, 0.5, 0.7  # zeta ~ N(0, 1), z ~ N(A zeta, S^2), q(z | x) = N(x / 2, Q^2), x ~ N(z, R^2)
X = torch.tensor([[0.4], [-1.3]])


class Model(nn.Module):
    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            zeta = pyro.sample("zeta", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            z = pyro.sample("z", dist.Normal(A * zeta, S).to_event(1))
            pyro.sample("x", dist.Normal(z, R).to_event(1), obs=x)


class Guide(nn.Module):
    """With the posterior of zeta, or one that is off; ``w`` is a parameter of q(z | x)."""

    def __init__(self, off=0.0, first=False):
        super().__init__()
        self.off, self.first, self.w = off, first, nn.Parameter(torch.tensor(0.5))

    def upper(self, z):
        gain = A / (A**2 + S**2)
        pyro.sample("zeta", dist.Normal(gain * z + self.off, S / math.sqrt(A**2 + S**2)).to_event(1))

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            if self.first:
                zeta = pyro.sample("zeta", dist.Normal(self.w * x, 1.0).to_event(1))
                pyro.sample("z", dist.Normal(zeta, Q).to_event(1))
            else:
                self.upper(pyro.sample("z", dist.Normal(self.w * x, Q).to_event(1)))


def marginal_elbo(x):
    """E_q(z|x)[log p(x | z) + log p(z) - log q(z | x)] with p(z) = N(0, A^2 + S^2), by its moments."""
    mean, variance = x[:, 0] / 2, Q**2
    likelihood = -0.5 * (math.log(2 * math.pi * R**2) + ((x[:, 0] - mean).square() + variance) / R**2)
    prior = A**2 + S**2
    return likelihood - 0.5 * ((variance + mean.square()) / prior - 1 + math.log(prior / variance))


def bound(guide, size, draws=20_000):
    torch.manual_seed(0)
    objective = pv.objectives.get(f"nested:site=zeta,num_nested={size},num_particles={draws}")
    with torch.no_grad():
        return objective.evaluate(Model(), guide, {"x": X})


def test_with_the_exact_posterior_of_zeta_it_is_the_marginals_elbo_for_every_size():
    for size in (1, 4):
        torch.testing.assert_close(bound(Guide(), size), marginal_elbo(X), atol=0.03, rtol=0)


def test_it_rises_with_its_draws_from_the_elbo_of_the_pair_to_that_of_the_marginal():
    values = [bound(Guide(off=1.0), size).mean() for size in (1, 4, 64)]
    elbo = pv.objectives.get("elbo:num_particles=20000").evaluate(Model(), Guide(off=1.0), {"x": X}).mean().detach()
    assert float(values[0]) == pytest.approx(float(elbo), abs=0.05)
    assert values[0] + 0.3 < values[1] and values[1] + 0.05 < values[2] < marginal_elbo(X).mean() + 0.02


def test_its_value_is_the_formula_of_its_draws_and_the_decoder_runs_once_a_code():
    torch.manual_seed(0)
    objective, guide = pv.objectives.get("nested:num_nested=5,num_particles=3"), Guide(off=0.3)
    traced = objective.trace(pv.objectives.Given(Model(), guide, [{"x": X}]))
    z, zeta = traced.latents["z"], traced.latents["zeta"]
    assert z.shape == (3, 2, 1) and zeta.shape == (5, 3, 2, 1) and traced.log_p["x"].shape == (3, 2)
    gain = A / (A**2 + S**2)
    upper = dist.Normal(gain * z + 0.3, S / math.sqrt(A**2 + S**2)).log_prob(zeta)
    inner = dist.Normal(0.0, 1.0).log_prob(zeta) + dist.Normal(A * zeta, S).log_prob(z) - upper
    prior = inner.logsumexp(0) - math.log(5)
    expected = dist.Normal(z, R).log_prob(X) + prior - dist.Normal(0.5 * X, Q).log_prob(z)
    torch.testing.assert_close(traced.log_weight, expected[..., 0], atol=2e-6, rtol=1e-5)
    half = pv.objectives.get("nested:num_nested=5,num_particles=3,beta=0.5").terms(traced)
    likelihood = dist.Normal(z, R).log_prob(X)[..., 0]
    torch.testing.assert_close(half.surrogate, (likelihood + 0.5 * (traced.log_weight - likelihood)).mean(0))
    (grad,) = torch.autograd.grad(half.surrogate.sum(), guide.w)
    assert bool(grad.isfinite()) and float(grad) != 0


def test_what_it_refuses():
    batch = {"x": X}
    with pytest.raises(OptionError, match="latent site"):
        pv.objectives.get("nested:site=eta").evaluate(Model(), Guide(), batch)
    with pytest.raises(ContractError, match="site 'z' of the guide depends on 'zeta'"):
        pv.objectives.get("nested:site=zeta").evaluate(Model(), Guide(first=True), batch)
    with pytest.raises(ContractError, match="what is observed depends on the nested site"):
        pv.objectives.get("nested:beta=0.5").evaluate(Model(), Guide(first=True), batch)
    assert trace_pair(Model(), Guide(first=True), batch).log_weight.shape == (1, 2)
