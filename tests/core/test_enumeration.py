"""Vectors of discrete elements enumerated: every combination, exactly."""

from __future__ import annotations

import itertools

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.core.enumeration import Combinations
from pyrovae.errors import ContractError

PRIOR, W = torch.tensor([0.3, 0.6, 0.2]), torch.tensor([1.0, 2.0, -0.7])
X = torch.tensor([[0.3], [2.1], [-1.0]])


class Model(nn.Module):
    def __init__(self, mark):
        super().__init__()
        self.mark, self.weight = mark, nn.Parameter(W.clone())

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            h = pyro.sample("h", dist.Bernoulli(PRIOR).to_event(1), infer=dict(self.mark))
            pyro.sample("x", dist.Normal((h * self.weight).sum(-1, keepdim=True), 0.5).to_event(1), obs=x)

    def log_joint(self, x):
        """log p(x, h) of all eight h, (8, B)."""
        h = torch.tensor([*itertools.product([0.0, 1.0], repeat=3)])
        given = dist.Normal((h * self.weight).sum(-1, keepdim=True), 0.5).log_prob(x.T)
        return dist.Bernoulli(PRIOR).log_prob(h).sum(1, keepdim=True) + given


class Guide(nn.Module):
    def __init__(self, mark):
        super().__init__()
        self.mark, self.logits = mark, nn.Parameter(torch.tensor([0.2, -0.1, 0.4]))

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("h", dist.Bernoulli(logits=self.logits + 0 * x).to_event(1), infer=dict(self.mark))


MARK = {"enumerate": "parallel"}


def test_a_vector_of_bernoullis_is_summed_exactly_in_guide_and_model():
    truth = Model({}).log_joint(X).logsumexp(0).detach()
    for pair in ((Model({}), Guide(MARK)), (Model(MARK), lambda x: None)):
        torch.testing.assert_close(pv.log_evidence(pair, X, num_samples=2).value.float(), truth)
    torch.testing.assert_close(pv.log_evidence((Model({}), Guide({})), X, method="exact").value.float(), truth)


@pytest.mark.parametrize("objective", ["enum", "elbo", "iwae"])
def test_objectives_enumerate_it_with_value_and_gradient(objective):
    model, guide = Model({}), Guide({} if objective == "enum" else MARK)
    h = torch.tensor([*itertools.product([0.0, 1.0], repeat=3)])
    log_q = dist.Bernoulli(logits=guide.logits).log_prob(h).sum(1, keepdim=True)
    joint = model.log_joint(X)
    bound = joint.logsumexp(0) if objective == "iwae" else (log_q.exp() * (joint - log_q)).sum(0)
    expected = torch.autograd.grad(bound.sum(), [model.weight, *([guide.logits] if objective != "iwae" else [])])
    loss = pv.objectives.OBJECTIVES.build(objective)
    torch.testing.assert_close(loss.evaluate(model, guide, {"x": X}), bound)
    loss.loss_and_grads(model, guide, x=X)
    for parameter, grad in zip((model.weight, guide.logits), expected, strict=False):
        torch.testing.assert_close(-parameter.grad, grad, rtol=1e-4, atol=1e-5)


def test_shapes_and_too_many_combinations():
    fn = dist.OneHotCategorical(torch.ones(5, 2, 3) / 3).to_event(1)
    values = Combinations(fn.base_dist, 1).enumerate_support(expand=False)
    assert values.shape == (9, 1, 2, 3) and len({tuple(v.flatten().tolist()) for v in values}) == 9
    torch.testing.assert_close(fn.log_prob(values).exp().sum(0), torch.ones(5))

    def wide(x):
        with pyro.plate("data", len(x), dim=-1):
            h = pyro.sample("h", dist.Bernoulli(torch.full((20,), 0.5)).to_event(1), infer=dict(MARK))
            pyro.sample("x", dist.Normal(h.sum(-1, keepdim=True), 0.5).to_event(1), obs=x)

    with pytest.raises(ContractError, match=r"'h' is a vector of 20 elements of 2 values each, 2\^20 combinations"):
        pv.log_evidence((wide, lambda x: None), X)
