"""Whole numbers, single numbers and outcomes called y: what is estimated is of the values that were given."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from structures import BY_NAME

import pyrovae as pv
from pyrovae.errors import ContractError
from pyrovae.evidence import bdmc


@pytest.mark.parametrize("name", ["classes of x", "counts of x", "beta-binomial"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float64])
def test_whole_numbers_are_what_they_are(name, dtype):
    structure = BY_NAME[name]
    truth = structure.log_p()
    evidence = pv.log_evidence(structure.pair(), structure.x.to(dtype), num_samples=3000)
    assert ((evidence.value - truth) / evidence.stderr).abs().max() < 4


@pytest.mark.parametrize("name", ["counts of x"])
def test_both_sides_hold_on_simulated_whole_numbers(name):
    lower, upper, gap = BY_NAME[name].sides(200, num_chains=4, num_distributions=10, num_leapfrog=2)
    assert lower < 4 and upper < 4 and 0 < gap + 0.05 < 0.2


def test_one_number_a_datum():
    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x)), 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(0.6 * x, 0.6))

    torch.manual_seed(0)
    x = torch.randn(5)
    truth = dist.Normal(0.0, 1.25**0.5).log_prob(x)
    for options in ({}, {"method": "smc", "num_distributions": 5, "num_leapfrog": 1}):
        evidence = pv.log_evidence((model, guide), x, **options)
        assert ((evidence.value - truth) / evidence.stderr).abs().max() < 4
    assert bdmc((model, guide), 30, like={"x": x[:1]}, num_distributions=3, num_leapfrog=1).data["x"].shape == (30,)


@pytest.mark.parametrize("real", [False, True])
def test_an_outcome_called_y_is_an_outcome(real):
    def outcome(z):
        return dist.Normal(z, 0.7) if real else dist.Bernoulli(logits=z)

    def model(x, y):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1) + 0 * x, 0.5).to_event(1), obs=x)
            pyro.sample("y", outcome(z), obs=y)

    def guide(x, y):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(0.8 * x.mean(-1), 0.4))

    torch.manual_seed(0)
    data = {"x": torch.randn(4, 2), "y": torch.randn(4) if real else torch.tensor([1.0, 0.0, 1.0, 1.0])}
    z = torch.linspace(-8, 8, 4001).unsqueeze(-1)
    joint = dist.Normal(0.0, 1.0).log_prob(z) + outcome(z).log_prob(data["y"])
    joint = joint + dist.Normal(z.unsqueeze(-1), 0.5).log_prob(data["x"]).sum(-1)
    truth = joint.logsumexp(0) + math.log(16 / 4000)
    for options in ({"num_samples": 5000}, {"method": "ais", "num_distributions": 5, "num_chains": 64, "num_leapfrog": 1}):
        evidence = pv.log_evidence((model, guide), data, **options)
        assert ((evidence.value - truth) / evidence.stderr).abs().max() < 4


def test_a_missing_class_is_imputed_by_the_most_probable_one():
    theta = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Bernoulli(0.4))
            p = torch.where(z.bool()[..., None, None], theta[1], theta[0]).expand(*z.shape, 3, 3)
            pyro.sample("x", dist.Categorical(p).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Bernoulli(torch.full((len(x),), 0.5)))

    x, mask = torch.tensor([[0.0, 0.0, 1.0], [2.0, 2.0, 0.0], [0.0, 1.0, 1.0]]), torch.tensor([1.0, 1.0, 0.0]).expand(3, 3)
    scores = torch.tensor([0.6, 0.4]).log() + (theta.log()[:, x.long()] * mask).sum(-1).T
    probable = (scores.softmax(-1) @ theta).argmax(-1)
    filled = pv.impute((model, guide), {"x": x, "mask": mask}, num_samples=2000)
    assert filled[:, :2].equal(x[:, :2]) and filled[:, 2].tolist() == probable.tolist() and probable.unique().numel() == 2


@pytest.mark.parametrize("door", ["log_evidence", "evaluate"])
def test_a_model_that_can_score_whole_numbers_and_not_be_drawn_from_them_has_evidence(door):
    """Its prior is ``x.new_zeros``, of whole numbers where x is, which no normal draw takes; replayed it scores."""
    weight = torch.tensor([[0.3, -0.2, 0.1]])

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Poisson((1.0 + z @ weight).exp()).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).expand([len(x), 1]).to_event(1))

    x = torch.poisson(torch.full((5, 3), 2.7, dtype=torch.float64)).long()
    z = torch.linspace(-6, 6, 4001, dtype=torch.float64).unsqueeze(1)
    rates = (1 + z @ weight.double()).exp()
    joint = dist.Poisson(rates.unsqueeze(1)).log_prob(x.double()).sum(-1) + dist.Normal(0.0, 1.0).log_prob(z)
    truth = joint.logsumexp(0) + math.log(12 / 4000)
    verb = pv.log_evidence if door == "log_evidence" else lambda *args, **options: pv.evaluate(*args, **options).evidence
    found = verb((model, guide), x, num_samples=20_000)
    assert ((found.value - truth) / found.stderr).abs().max() < 4
    with pytest.raises(ContractError, match=r"model fails on a batch of .*int64.*NotImplementedError: \"normal_kernel_cpu\""):
        pv.gaps((model, guide), x, num_samples=10, num_steps=2)  # which draws from the prior
