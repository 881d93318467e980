"""Sets by a closed form: a Gaussian of equal correlations; order and padding change nothing, ragged sets are their parts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.core.divergence import site_kl
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import run_program, trace_pair
from pyrovae.distributions.likelihoods import build
from pyrovae.errors import ContractError, OptionError
from pyrovae.guides import StatisticianGuide
from pyrovae.models import Statistician

Z_SCALE, X_SCALE = 0.7, 0.4  # of z_i about c, of x_i about z_i


def raw(scale):
    """What loc_and_scale turns into a scale."""
    return math.log(math.expm1(scale - 1e-3))


class Linear(nn.Module):
    """weights . inputs, whose leading axes broadcast, beside a scale."""

    def __init__(self, weights, scale):
        super().__init__()
        self.weights, self.scale = weights, scale

    def forward(self, *inputs):
        loc = sum(weight * each for weight, each in zip(self.weights, inputs, strict=True))
        return torch.cat([loc, torch.full_like(loc, raw(self.scale))], -1)


class ContextOfMean(nn.Module):
    """The posterior of c given the mean of n items: precision 1 + n/v, v the variance of an item about c."""

    def forward(self, mean, log_count):
        n = torch.expm1(log_count)
        precision = 1 + n / (Z_SCALE**2 + X_SCALE**2)
        scale = precision.rsqrt().expand_as(mean)
        return torch.cat([(precision - 1) / precision * mean, torch.log(torch.expm1(scale - 1e-3))], -1)


class Value(nn.Module):
    """The last of several inputs as the mean of x, (..., 1, 1)."""

    def forward(self, *inputs):
        return inputs[-1].unsqueeze(-2)


def exact_pair():
    """c ~ N(0, 1), z_i ~ N(c, s^2), x_i ~ N(z_i, t^2), and its posterior."""
    likelihood = build("gaussian", (1,), "real", None, X_SCALE, "shared")
    model = Statistician([Linear([1.0], Z_SCALE)], Value(), likelihood, 1)
    precision = Z_SCALE**-2 + X_SCALE**-2
    posterior = Linear([X_SCALE**-2 / precision, Z_SCALE**-2 / precision], precision**-0.5)
    return model, StatisticianGuide(nn.Identity(), ContextOfMean(), [posterior])


def log_p(x):
    """log N(x; 0, (s^2 + t^2) I + 1 1') of one set, (n,)."""
    n = len(x)
    covariance = (Z_SCALE**2 + X_SCALE**2) * torch.eye(n, dtype=x.dtype) + 1
    return torch.distributions.MultivariateNormal(x.new_zeros(n), covariance).log_prob(x)


def test_the_exact_guide_has_the_log_density_of_a_compound_symmetric_gaussian_at_every_draw():
    torch.manual_seed(0)
    x, lengths = torch.randn(4, 5, 1, dtype=torch.float64), torch.tensor([5, 5, 3, 1])
    model, guide = exact_pair()
    for batch, sizes in (({"x": x}, [5] * 4), ({"x": x, "lengths": lengths}, lengths.tolist())):
        weight = trace_pair(model, guide, batch, 7).log_weight
        exact = torch.stack([log_p(values[:n, 0]) for values, n in zip(x, sizes, strict=True)])
        torch.testing.assert_close(weight, exact.expand(7, 4), rtol=1e-11, atol=1e-11)


def test_the_closed_form_is_what_quadrature_over_c_gives():
    x = torch.tensor([0.3, -1.1, 0.8], dtype=torch.float64)
    c = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    item = torch.distributions.Normal(c, math.hypot(Z_SCALE, X_SCALE))
    joint = torch.distributions.Normal(0.0, 1.0).log_prob(c) + item.log_prob(x.unsqueeze(-1)).sum(0)
    torch.testing.assert_close(log_p(x), (joint.logsumexp(0) + math.log(16 / 4000)), rtol=1e-11, atol=1e-11)


@pytest.fixture(scope="module")
def sets(digits):
    return pv.data.transform(digits, "shuffle")


def test_order_and_padding_change_no_score(sets):
    """Those of a pair as the recipe builds it, with two layers; latents of items go with them."""
    torch.manual_seed(1)
    pair = pv.pairs.statistician(sets.spec, context_dim=3, latent_dim=2, num_layers=2, hidden=[8])
    x, lengths = sets.test[:4]["x"], torch.tensor([8, 5, 2, 1])
    traced = trace_pair(pair.model, pair.guide, {"x": x, "lengths": lengths}, 3)
    order = torch.tensor([1, 0, 2, 4, 3, 7, 6, 5])  # within the first five, and beyond
    moved = {name: z if name == "c" else z[..., order, :] for name, z in traced.latents.items()}
    other = x[:, order].clone()
    other[1, 5:] = 1 - other[1, 5:]
    batch = {"x": other[:2], "lengths": lengths[:2]}
    again = trace_pair(pair.model, pair.guide, batch, 3).guide_scores({name: z[:, :2] for name, z in moved.items()})
    for name, score in again.items():
        torch.testing.assert_close(score, traced.log_q[name][:, :2], rtol=1e-5, atol=1e-5)
    alone = trace_pair(pair.model, pair.guide, {"x": x[1:2, :5]}, 3)
    cut = {name: z[:, 1:2] if name == "c" else z[:, 1:2, :5] for name, z in traced.latents.items()}
    for name, score in alone.guide_scores(cut).items():  # a ragged set is the set of the items that it has
        beyond = 0.0 if name == "c" else traced.latents[name][:, 1:2, 5:]
        normal = torch.distributions.Normal(0.0, 1.0)
        extra = 0.0 if name == "c" else normal.log_prob(beyond).sum((-1, -2))
        torch.testing.assert_close(score + extra, traced.log_q[name][:, 1:2], rtol=1e-5, atol=1e-5)


def test_a_pair_that_looks_at_the_order_is_refused_where_the_data_are_sets(digits, sets):
    vae = pv.pairs.vae(sets.spec, latent_dim=2, hidden=[8])
    with pytest.raises(ContractError, match=r"site 'z' of the guide: datum 0 scores .* come in another order, which digits"):
        pv.check(vae, sets)
    pv.check(pv.pairs.vae(digits.spec, latent_dim=2, hidden=[8]), digits)
    pair = pv.pairs.statistician(sets.spec, context_dim=8, latent_dim=2, hidden=[8])  # c is of as many numbers as items
    pv.check(pair, sets)


def test_what_is_no_set_is_refused():
    with pytest.raises(OptionError, match=r"toy has no sets: x of a set is \(n, \*shape\)"):
        pv.pairs.statistician(pv.data.DataSpec("toy", (4,), "binary"))


def test_the_closed_kl_of_a_ragged_set_is_that_of_its_items(sets):
    """At a context that is a point, so that the items' priors and posteriors do not depend on a draw."""
    torch.manual_seed(2)
    pair = pv.pairs.statistician(sets.spec, context_dim=3, latent_dim=2, hidden=[8])
    x, c = sets.test[:3]["x"], torch.zeros(1, 3, 3)
    found = []
    for batch in ({"x": x, "lengths": torch.tensor([3, 3, 3])}, {"x": x[:, :3]}):
        guide, model = (run_program(program, batch, given={"c": c[0]}) for program in (pair.guide, pair.model))
        sites = [sample_sites(trace) for trace in (guide, model)]
        found.append([site_kl(*(each[name] for each in sites)) for name in ("c", "z1")])
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
