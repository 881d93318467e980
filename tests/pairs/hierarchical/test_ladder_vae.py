"""The ladder: exact on a linear-Gaussian chain, the prior where the data say nothing, each datum by itself."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.errors import OptionError
from pyrovae.guides import LadderGaussian

A, S, B, T = 0.8, 0.6, 1.3, 0.5  # z2 ~ N(0, 1), z1 ~ N(a z2, s^2), x ~ N(b z1, t^2)


def raw(scale):
    """What softplus and the least scale make the scale of."""
    return math.log(math.expm1(scale - 1e-3))


class Says(nn.Module):
    """What x says of each level of the chain: of z1 the likelihood, of z2 its posterior."""

    def forward(self, x):
        variance = B**2 * (A**2 + S**2) + T**2
        upper_loc, upper_scale = A * B * x / variance, math.sqrt(1 - (A * B) ** 2 / variance)
        lower = torch.cat([x / B, torch.full_like(x, raw(T / B))], -1)
        return [lower, torch.cat([upper_loc, torch.full_like(x, raw(upper_scale))], -1)]


class Expects(nn.Module):
    def forward(self, z):
        return torch.cat([A * z, torch.full_like(z, raw(S))], -1)


def chain(x):
    with pyro.plate("data", len(x), dim=-1):
        z2 = pyro.sample("z2", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        z1 = pyro.sample("z1", dist.Normal(A * z2, S).to_event(1))
        pyro.sample("x", dist.Normal(B * z1, T).to_event(1), obs=x)


def test_on_a_linear_gaussian_chain_the_guide_is_the_posterior():
    torch.manual_seed(0)
    x = 2 * torch.randn(8, 1)
    weights = trace_pair(chain, LadderGaussian(Says(), [Expects()]), {"x": x}, 5).log_weight
    variance = B**2 * (A**2 + S**2) + T**2
    truth = torch.distributions.Normal(0.0, math.sqrt(variance)).log_prob(x[:, 0])
    torch.testing.assert_close(weights, truth.expand(5, 8), rtol=1e-4, atol=1e-4)


def test_it_shares_the_models_networks_and_trains(digits):
    torch.manual_seed(0)
    pair = pv.pairs.ladder_vae(digits.spec, latent_dims=[6, 4, 3], widths=[32, 16, 16], hidden=[32])
    assert [id(a) for a in pair.model.top_down] == [id(b) for b in pair.guide.top_down]
    assert set(pv.posterior(pair, digits.test[:2])) == {"z1", "z2", "z3"}
    run = pv.fit(pair, digits, epochs=6, lr=5e-3, kl_warmup=4, seed=0, progress=False)
    assert run.records[-1]["valid"] > run.records[0]["valid"]
    assert pv.evaluation.kl_per_dim(run, digits.test)["z1"].total > 1


def test_layers_and_widths_go_together(digits):
    with pytest.raises(OptionError, match="latent_dims has 5 layers and widths 2; give one width for each"):
        pv.pairs.ladder_vae(digits.spec, widths=[4, 4])
