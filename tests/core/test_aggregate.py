"""Scores of codes under the posteriors of other data, against double loops, closed forms and all data at once."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.core import aggregate
from pyrovae.core.trace import trace_pair
from pyrovae.errors import ContractError, OptionError


class Codes(nn.Module):
    """q(z | x) = N(x, scale^2), and beside it optionally a second site."""

    def __init__(self, scale=0.3, second=None):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.second = second

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x, self.scale).to_event(1))
            if self.second:
                pyro.sample("w", dist.Normal(z[..., 0] if self.second == "on z" else x[..., 0] * 2, 1.0))


class Prior(nn.Module):
    """z ~ N(0, I), x | z ~ N(z, 1)."""

    def __init__(self, second=None):
        super().__init__()
        self.second = second

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(x.shape[-1]), 1.0).to_event(1))
            if self.second:
                pyro.sample("w", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


def traced(num_particles=2, rows=5, second=None, seed=0):
    torch.manual_seed(seed)
    return trace_pair(Prior(second), Codes(second=second), {"x": torch.randn(rows, 3)}, num_particles)


def test_cross_scores_are_those_of_a_double_loop_and_their_diagonal_is_log_q():
    found = traced()
    scores = aggregate.cross_scores(found, "z")
    assert scores.shape == (2, 5, 5, 3)
    x, z, scale = found.batch["x"], found.latents["z"], found.guide_sites["z"]["fn"].base_dist.scale[0, 0, 0]
    for k in range(2):
        for b in range(5):
            for other in range(5):
                expected = dist.Normal(x[other], scale).log_prob(z[k, b])
                torch.testing.assert_close(scores[k, b, other], expected)
    own = scores.sum(-1).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(own, found.log_q["z"])


@pytest.mark.parametrize("weighting", aggregate.WEIGHTINGS)
def test_chunks_change_neither_value_nor_gradient(monkeypatch, weighting):
    results = []
    for chunk in (2**24, 100):
        monkeypatch.setattr(aggregate, "CHUNK", chunk)
        found = traced(num_particles=3, rows=7, second="beside")
        assert len(aggregate._row_slices(found, ["z", "w"])) == (1 if chunk > 100 else 7)
        split = aggregate.aggregate_scores(found, aggregate.mixture_weights(7, 20, weighting, found.latents["z"]))
        assert split.joint.shape == (3, 7) and split.dimensions.shape == (3, 7, 4)
        loss = split.joint.sum() - 2 * split.dimensions.square().sum()
        (grad,) = torch.autograd.grad(loss, found.guide_sites["z"]["fn"].base_dist.scale)
        results.append((*split, grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_stratified_weights_are_the_mixture_over_all_data_where_the_batch_is_all():
    found = traced(num_particles=1, rows=6)
    x, z = found.batch["x"].double(), found.latents["z"].double()
    fn = found.guide_sites["z"]["fn"].base_dist
    scores = dist.Normal(x.unsqueeze(0), fn.scale.double()[0, 0, 0]).log_prob(z[0].unsqueeze(1))
    found.guide.nodes["z"]["fn"] = dist.Normal(x.expand(1, 6, 3), fn.scale.double()).to_event(1)
    found.guide.nodes["z"]["value"] = z
    split = aggregate.aggregate_scores(found, aggregate.mixture_weights(6, 6, "stratified", z))
    torch.testing.assert_close(split.joint[0], scores.sum(-1).logsumexp(1) - math.log(6), rtol=0, atol=1e-10)
    torch.testing.assert_close(split.dimensions[0], scores.logsumexp(1) - math.log(6), rtol=0, atol=1e-10)
    low = aggregate.aggregate_scores(found, aggregate.mixture_weights(6, 6, "minibatch", z))
    torch.testing.assert_close(split.joint - low.joint, torch.full((1, 6), math.log(6)).double())


def test_stratified_weights_are_unbiased_in_q_and_sum_to_one():
    torch.manual_seed(0)
    means, estimates = torch.randn(12), []
    z = means[3] + 0.1
    truth = dist.Normal(means, 0.5).log_prob(z).exp().mean()
    log_weights = aggregate.mixture_weights(4, 12, "stratified", z)
    torch.testing.assert_close(log_weights.exp().sum(1), torch.ones(4))
    others = torch.tensor([i for i in range(12) if i != 3])
    for _ in range(4000):
        batch = torch.cat([torch.tensor([3]), others[torch.randperm(11)[:3]]])
        estimates.append((dist.Normal(means[batch], 0.5).log_prob(z) + log_weights[0]).logsumexp(0).exp())
    found = torch.stack(estimates)
    assert abs(found.mean() - truth) < 4 * found.std() / len(found) ** 0.5


@pytest.mark.parametrize("weighting", aggregate.WEIGHTINGS)
def test_the_three_terms_add_up_to_the_kl_whatever_the_weights(weighting):
    found = traced(num_particles=2, rows=8)
    split = aggregate.aggregate_scores(found, aggregate.mixture_weights(8, 100, weighting, found.latents["z"]))
    terms = aggregate.decompose(split, found.log_q["z"], found.log_p["z"])
    torch.testing.assert_close(sum(terms.values()), found.log_q["z"] - found.log_p["z"], rtol=0, atol=2e-6)


def test_the_total_correlation_of_a_gaussian_aggregate_is_that_of_its_correlation():
    torch.manual_seed(0)
    correlated = torch.linalg.cholesky(torch.tensor([[1.0, 0.8], [0.8, 1.0]]) - 0.09 * torch.eye(2))
    x = torch.randn(4000, 2) @ correlated.T
    found = pv.evaluation.aggregate_posterior((Prior(), Codes()), x)
    assert found.total_correlation.mean == pytest.approx(-0.5 * math.log(1 - 0.64), abs=0.03)
    sum_of = found.mutual_information.mean + found.total_correlation.mean + found.dimension_kl.mean
    assert found.kl.mean == pytest.approx(sum_of, abs=1e-5)
    # I(x; z) of N(x, .09) is h(z) - h(z | x), of the Gaussian whose covariance is that above
    information = 0.5 * math.log(1 - 0.64) - math.log(0.09)
    assert found.mutual_information.mean == pytest.approx(information, abs=0.06)
    assert found.dimension_kl.mean == pytest.approx(0.0, abs=0.03) and found.num_data == 4000
    assert "log N = 8.29" in repr(found)
    some = pv.evaluation.aggregate_posterior((Prior(), Codes()), x, num_rows=500)
    assert some.num_data == 4000
    for name in ("mutual_information", "total_correlation", "dimension_kl", "kl"):
        one, other = getattr(found, name), getattr(some, name)
        assert other.mean == pytest.approx(one.mean, abs=4 * other.standard_error), name
        assert 2 < other.standard_error / one.standard_error < 4, name  # by the root of 8


def test_what_has_no_score_under_other_data_is_refused_by_name():
    with pytest.raises(ContractError, match="site 'w' of the guide depends on the draw of another latent site"):
        aggregate.refuse_dependent(traced(second="on z"))
    aggregate.refuse_dependent(traced(second="beside"))

    def full(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal(x, torch.eye(3)))

    with pytest.raises(ContractError, match=r"site 'z' \(MultivariateNormal\) is no product over its dimensions"):
        pv.evaluation.aggregate_posterior((Prior(), full), torch.randn(4, 3))

    def masked(x):
        with pyro.plate("data", len(x), dim=-1), pyro.poutine.mask(mask=x[:, 0] > 0):
            pyro.sample("z", dist.Normal(x, 1.0).to_event(1))

    with pytest.raises(ContractError, match="site 'z' is masked"):
        aggregate.cross_scores(trace_pair(Prior(), masked, {"x": torch.randn(4, 3)}), "z")
    with pytest.raises(OptionError, match="data_size is 3; expected N, at least the 4 rows"):
        aggregate.mixture_weights(4, 3, "minibatch", torch.zeros(()))
    with pytest.raises(OptionError, match="no weighting is called 'stratifed'; did you mean 'stratified'"):
        aggregate.mixture_weights(4, 9, "stratifed", torch.zeros(()))
