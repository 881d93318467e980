"""Particles as rows: the numbers of the plate where both work, and networks that only rows serve."""

from __future__ import annotations

import copy

import exact
import pyro
import pyro.distributions as dist
import pytest
import steppers
import torch
from pyro import poutine
from torch import nn

import pyrovae as pv
from pyrovae.core.contract import check_batch
from pyrovae.core.layout import settle_particles
from pyrovae.core.pair import as_pair
from pyrovae.core.run import has_rows, set_rows
from pyrovae.core.trace import trace_pair
from pyrovae.errors import ContractError

PAIRS = ["sigmoid-decoder 2d", "chain wrong", "gamma-poisson log-normal"]
DISCRETE = ["gaussian-mixture enumerated", "gaussian-mixture summed", "gaussian-mixture drawn"]


def both(name, ask):
    """What is asked of a pair with its particles on the left, and as rows."""
    answers = []
    for rows in (False, True):
        pair = exact.PAIRS[name]()
        assert not settle_particles(pair.model, pair.guide, pair.batch)
        set_rows(rows, pair.model, pair.guide)
        torch.manual_seed(0)
        answers.append(ask(pair))
    return answers


def value_and_gradient(objective):
    def ask(pair):
        made = pv.objectives.get(objective)
        loss = made.differentiable_loss(pair.model, pair.guide, **pair.batch)
        params = [p for module in (pair.model, pair.guide) for p in module.parameters()]
        return [loss, *torch.autograd.grad(loss, tuple(dict.fromkeys(params)), allow_unused=True, materialize_grads=True)]

    return ask


@pytest.mark.parametrize(
    "objective", ["elbo:num_particles=3", "meanfield:num_particles=2", "iwae:num_particles=5", "stl", "dreg:num_particles=4"]
)
@pytest.mark.parametrize("name", PAIRS)
def test_objectives_have_the_plates_value_and_gradient(name, objective):
    torch.testing.assert_close(*both(name, value_and_gradient(objective)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("objective", ["elbo:num_particles=3", "iwae:num_particles=4", "rws:num_particles=3"])
@pytest.mark.parametrize("name", DISCRETE)
def test_enumerated_and_drawn_sites_have_them_too(name, objective):
    torch.testing.assert_close(*both(name, value_and_gradient(objective)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gaussian-mixture summed", {"num_samples": 60, "max_rows": 100}),
        ("sigmoid-decoder 2d", {"num_samples": 40, "defensive": 0.25}),
        ("sigmoid-decoder 2d", {"method": "ais", "num_chains": 3, "num_distributions": 3}),
        ("gaussian-mixture summed", {"method": "smc", "num_chains": 4, "num_distributions": 3}),
    ],
)
def test_evidence_is_the_plates(name, options):
    torch.testing.assert_close(
        *both(name, lambda pair: pv.log_evidence(pair, pair.batch, **options).value), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "verb",
    [
        lambda pair: pv.reconstruct(pair, pair.batch, 7),
        lambda pair: pv.posterior(pair, pair.batch, 7)["z"],
        lambda pair: pv.evaluation.kl_per_dim(pair, pair.batch)["z"].per_dim,
        lambda pair: pv.evaluation.posterior_moments(pair, pair.batch)["z"].scale,
    ],
)
def test_other_verbs_give_the_plates_answers(verb):
    torch.testing.assert_close(*both("sigmoid-decoder 2d", verb), rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------------------------ what only rows serve
class Convolutional(nn.Module):
    """A decoder that views its codes as images, and batch norm on the way; ``network`` is "view", "norm" or "recurrent"."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.linear = nn.Linear(2, 8)
        self.layer = {
            "view": nn.ConvTranspose2d(2, 1, 1),
            "norm": nn.BatchNorm1d(8),
            "recurrent": nn.GRU(2, 8, batch_first=True),
        }[network]
        self.out = nn.Linear(8, 4)

    def decode(self, z):
        if self.network == "view":
            return self.layer(self.linear(z).view(-1, 2, 2, 2)).view(-1, 4)
        if self.network == "norm":
            return self.out(self.layer(self.linear(z)))
        return self.out(self.layer(z.unsqueeze(1))[0][:, 0])

    def forward(self, x):
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(self.decode(z), 0.5).to_event(1), obs=x)


class Guide(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 2)

    def forward(self, x):
        with pyro.plate("images", len(x)):
            pyro.sample("z", dist.Normal(self.net(x), 0.7).to_event(1))


@pytest.mark.parametrize("network", ["view", "norm", "recurrent"])
def test_networks_that_do_not_broadcast_score_as_one_by_one(network):
    model, guide, x = Convolutional(network).eval(), Guide(), torch.randn(6, 4)
    assert "particles as rows" in str(check_batch(as_pair((model, guide)), {"x": x}))
    traced = trace_pair(model, guide, {"x": x}, 5)
    for k in range(5):
        z = traced.latents["z"][k]
        alone = dist.Normal(model.decode(z), 0.5).to_event(1).log_prob(x) + dist.Normal(0.0, 1.0).log_prob(z).sum(-1)
        torch.testing.assert_close(traced.log_joint[k], alone, rtol=1e-5, atol=1e-5)
    assert pv.log_evidence((model, guide), x, method="ais", num_chains=2, num_distributions=3).value.isfinite().all()
    assert pv.sample((model, guide), 3)["x"].shape == (3, 4)


@pytest.mark.parametrize(("network", "objective"), [("view", "elbo"), ("norm", "iwae:num_particles=3")])
def test_compiled_steps_are_the_eager_ones_running_statistics_too(network, objective):
    model, guide, batch = Convolutional(network), Guide(), {"x": torch.randn(6, 4)}
    pair = (model, guide)
    assert check_batch(as_pair(pair), batch).rows
    # by SGD: a bias before batch norm has a gradient of rounding, which Adam would make as long as any other
    step, eager = steppers.steppers(model, guide, batch, objective, optimizer="SGD")
    steppers.assert_same_steps(step, eager, batch)
    if network == "norm":
        assert int(model.layer.num_batches_tracked) == int(eager.model.layer.num_batches_tracked) == 3


def test_rows_are_not_taken_where_a_scale_counts_them():
    class Scaled(nn.Module):
        def __init__(self, program):
            super().__init__()
            self.inner = program

        def forward(self, x):
            with poutine.scale(scale=100 / len(x)):
                self.inner(x)

    x = torch.randn(6, 4)
    check_batch(as_pair((Scaled(exact.linear_gaussian(2, 4).model), Scaled(Guide()))), {"x": x})
    pair = as_pair((Scaled(Convolutional("view")), Scaled(Guide())))
    with pytest.raises(ContractError, match="is scaled by the number of rows"):
        check_batch(pair, {"x": x})


def test_a_copy_finds_out_anew():
    pair = (Convolutional("view"), Guide())
    check_batch(as_pair(pair), {"x": torch.randn(6, 4)})
    again = copy.deepcopy(pair)
    assert has_rows(again[0]) is None
    pv.objectives.get("iwae:num_particles=2").loss(*again, x=torch.randn(6, 4))
    assert has_rows(again[0])


class Labels(nn.Module):
    """y ~ one-hot, z ~ N(0, I), x | y, z by a network that flattens what stands before it."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(5, 4)

    def forward(self, x):
        with pyro.plate("images", len(x)):
            y = pyro.sample("y", dist.OneHotCategorical(x.new_ones(3)))
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            shape = torch.broadcast_shapes(y.shape[:-1], z.shape[:-1])
            both = torch.cat([y.expand(*shape, 3), z.expand(*shape, 2)], -1)
            pyro.sample("x", dist.Normal(self.net(both.reshape(-1, 5)).reshape(*shape, 4), 1.0).to_event(1), obs=x)


class LabelsGuide(Guide):
    def forward(self, x):
        with pyro.plate("images", len(x)):
            pyro.sample("y", dist.OneHotCategorical(logits=x[..., :3]), infer={"enumerate": "parallel"})
            pyro.sample("z", dist.Normal(self.net(x), 0.7).to_event(1))


def test_the_semisupervised_objective_and_the_classifier_are_the_plates():
    model, guide, x, y = Labels(), LabelsGuide(), torch.randn(6, 4), torch.tensor([0, 1, 2, -1, -1, -1])
    assert not settle_particles(model, guide, {"x": x})
    objective, losses, classes = pv.objectives.get("semisupervised:alpha=1.0,num_particles=3"), [], []
    for rows in (False, True):
        set_rows(rows, model, guide)
        torch.manual_seed(0)
        losses.append(objective.differentiable_loss(model, guide, x=x, y=y))
        classes.append(pv.classify((model, guide), {"x": x, "y": y}, num_samples=2).probabilities)
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*classes)
