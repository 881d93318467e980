"""Pairs in steps: their ordinary programs, their traces by steps, lengths, and what is refused."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from walks import Filtering, Smoother, Walk, draw, kalman, walk

import pyrovae as pv
from pyrovae.core.step_run import trace_steps
from pyrovae.core.steps import unroll
from pyrovae.core.trace import trace_pair
from pyrovae.errors import ContractError

X, LENGTHS = draw(5, 6), torch.tensor([6, 3, 1, 5, 6])
PARTS = {"x": X, "lengths": LENGTHS}


def both(pair, batch, num_particles=3):
    """The unrolled pair's trace and that by steps, of the same noise."""
    traces = []
    for run in (trace_pair, trace_steps):
        torch.manual_seed(0)
        traces.append(run(pair.model, pair.guide, batch, num_particles))
    return traces


@pytest.mark.parametrize("batch", [{"x": X}, PARTS], ids=["whole", "lengths"])
def test_steps_side_by_side_score_as_the_unrolled_pair(batch):
    unrolled, steps = both(walk(), batch)
    torch.testing.assert_close(steps.log_weight, unrolled.log_weight, atol=1e-5, rtol=1e-6)
    for name, which in (("z", "log_q"), ("z", "log_p"), ("x", "log_p")):
        parts = [score for site, score in getattr(unrolled, which).items() if site.startswith(f"{name}_")]
        torch.testing.assert_close(getattr(steps, which)[name], sum(parts), atol=1e-5, rtol=1e-6)
    assert torch.equal(steps.latents["z"][..., 3, :], unrolled.latents["z_4"])
    assert steps.observed == ["x"] and list(steps.guide_sites) == ["z"]


OBJECTIVES = [
    "elbo:num_particles=3",
    "elbo:beta=0.5",
    "meanfield:num_particles=2",
    "iwae:num_particles=3",
    "stl",
    "miwae:num_particles=4,num_groups=2",
]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_have_the_unrolled_pairs_bound_and_gradient(name, monkeypatch):
    pair, objective = walk(), pv.objectives.get(name)
    params = [*pair.model.parameters(), *pair.guide.parameters()]
    found = []
    for in_steps in (True, False):
        if not in_steps:
            monkeypatch.setattr("pyrovae.objectives.objective.in_steps", lambda *args: False)
        torch.manual_seed(0)
        given = pv.objectives.Given(pair.model, pair.guide, [PARTS])
        update = next(objective.updates(given))
        found.append([update.bound, *torch.autograd.grad(update.loss, params)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def test_the_exact_smoother_has_constant_weights_that_are_kalmans():
    pair = walk(Smoother)
    for batch, truth in (({"x": X}, kalman(X)), (PARTS, kalman(X, LENGTHS))):
        traced = trace_steps(pair.model, pair.guide, batch, 4)
        torch.testing.assert_close(traced.log_weight.double(), truth.expand(4, 5), atol=1e-5, rtol=1e-5)


def test_values_beyond_the_lengths_change_no_score_and_no_gradient_bit_for_bit():
    pair, beyond = walk(), torch.arange(6) >= LENGTHS.unsqueeze(1)
    params = [*pair.model.parameters(), *pair.guide.parameters()]
    found = []
    for fill in (0.0, 1e4):
        batch = {**PARTS, "x": torch.where(beyond.unsqueeze(-1), torch.tensor(fill), X)}
        torch.manual_seed(0)
        traced = trace_steps(pair.model, pair.guide, batch, 3)
        scores = [*traced.log_p.values(), *traced.log_q.values()]
        torch.manual_seed(0)
        bound = pv.objectives.get("fivo:num_particles=3").evaluate(pair.model, pair.guide, batch)
        found.append([*scores, bound, *torch.autograd.grad(traced.log_weight.sum(), params)])
    assert all(torch.equal(*pairs) for pairs in zip(*found, strict=True))


class OneStep(nn.Module):
    """A linear VAE of x (B, D), and of one step x (B, 1, D)."""

    def __init__(self, guide):
        super().__init__()
        self.guide, self.net = guide, nn.Linear(4, 6) if guide else nn.Linear(3, 4)

    def init(self, x):
        return {}

    def step(self, state, x):
        if self.guide:
            loc, log_scale = self.net(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
        else:
            z = pyro.sample("z", dist.Normal(x.new_zeros(3), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.net(z)).to_event(1), obs=x)
        return {}

    def forward(self, x):
        with pyro.plate("data", x.shape[0], dim=-1):
            self.step({}, x)


@pytest.mark.parametrize("name", ["elbo", "meanfield", "iwae:num_particles=3", "fivo:num_particles=3"])
def test_one_step_is_a_vae_bit_for_bit(name):
    torch.manual_seed(1)
    parts, x = (OneStep(False), OneStep(True)), torch.bernoulli(torch.full((7, 4), 0.5))
    pair, params = unroll(*parts), [p for part in parts for p in part.parameters()]
    found = []
    for model, guide, batch, which in (
        (*parts, {"x": x}, name.replace("fivo", "iwae")),
        (pair.model, pair.guide, {"x": x[:, None]}, name),
    ):
        torch.manual_seed(0)
        bound = pv.objectives.get(which).evaluate(model, guide, batch)
        found.append([bound, *torch.autograd.grad(bound.sum(), params)])
    assert all(torch.equal(*each) for each in zip(*found, strict=True))


class Ends(nn.Module):
    """Walks without data at the steps, whose last place is observed: a canvas."""

    num_steps = 3

    def init(self, x):
        return {"z": x.new_zeros(len(x), 1)}

    def step(self, state):
        return {"z": pyro.sample("z", dist.Normal(state["z"], 1.0).to_event(1))}

    def last(self, state, x):
        pyro.sample("x", dist.Normal(state["z"], 0.5).to_event(1), obs=x)


class Bridges(nn.Module):
    """The exact q(z_t | z_t-1, x): x is N(z_t, 3 - t + .25)."""

    def init(self, x):
        return {"t": x.new_zeros(len(x), 1)}

    def step(self, state, x):
        rest = 2.25 - state["t"]
        share = 1 / (1 + rest)
        pyro.sample("z", dist.Normal(state["z"] + share * (x - state["z"]), (rest * share).sqrt()).to_event(1))
        return {"t": state["t"] + 1}


def test_what_is_observed_once_after_the_last_step():
    x, pair = torch.randn(4, 1), unroll(Ends(), Bridges())
    truth = dist.Normal(0.0, math.sqrt(3.25)).log_prob(x[:, 0])
    for batch_run in (trace_pair, trace_steps):
        torch.testing.assert_close(
            batch_run(pair.model, pair.guide, {"x": x}, 2).log_weight, truth.expand(2, 4), atol=1e-5, rtol=0
        )
    torch.testing.assert_close(
        pv.objectives.FIVO(3, threshold=0).evaluate(pair.model, pair.guide, {"x": x}), truth, atol=1e-5, rtol=0
    )
    assert str(pv.check(pair, {"x": x})).splitlines()[0].startswith("latent z (1,) at each of 3 steps: Normal")
    assert pv.sample(pair, 2)["x"].shape == (2, 1)


def test_keys_and_their_steps_go_together():
    pair = walk()
    assert str(pv.check(pair, PARTS)).splitlines()[1] == "observed x (1,) at each of 6 steps: Normal"
    drawn = pv.sample(pair, 3, like={"lengths": torch.tensor([4])})
    assert torch.equal(drawn["x"][:, 2], drawn["x_3"]) and not drawn["x"][:, 4:].any()
    assert pv.reconstruct(pair, PARTS).shape == X.shape
    arviz = pv.to_arviz(pair, PARTS, num_samples=4, num_chains=1)
    assert torch.equal(torch.tensor(arviz.observed_data["x_2"].values), X[:, 1])
    held = pv.sample(
        pair, 200, given={"x_1": torch.tensor([2.0]), "z_1": torch.tensor([1.0])}, like={"lengths": torch.tensor([6])}
    )
    assert abs(float(held["z_2"].mean()) - 0.9) < 0.25 and (held["x"][:, 0] == 2).all()


def wrong(**methods):
    """A walk with other methods."""
    return type("Wrong", (Walk,), methods)()


REFUSED = {
    "Linear has no method init; a step module has": lambda: unroll(nn.Linear(1, 1), Filtering()),
    "returns the state .* and init gave": lambda: unroll(wrong(step=lambda self, state, x: {"h": x}), Filtering()),
    "step returns NoneType; expected the state": lambda: unroll(wrong(step=lambda self, state, x: None), Filtering()),
    "gives the state 'z' the shape": lambda: unroll(wrong(init=lambda self, x: {"z": x.new_zeros(1)}), Filtering()),
    "takes no key, so that nobody knows": lambda: unroll(wrong(step=lambda self, state: state), Filtering()),
    "both programs have a state 'z'": lambda: unroll(Walk(), wrong()),
    "latent site 'z' of the model's step has no counterpart": lambda: unroll(Walk(), NoSite()),
}


class NoSite(Filtering):
    def step(self, state, x):
        return {}


@pytest.mark.parametrize("message", REFUSED)
def test_modules_that_are_no_steps_are_told(message):
    with pytest.raises(ContractError, match=message):
        pv.check(REFUSED[message](), {"x": X})


def test_padding_that_is_scored_is_found():
    class Careless(Smoother):
        def init(self, x, lengths=None):
            return super().init(x)

    with pytest.raises(ContractError, match=r"site 'z_1' of the guide: datum . scores .* with other values beyond its length"):
        pv.check(walk(Careless), PARTS)


def test_objectives_of_one_distribution_refuse_many():
    pair, objective = walk(), pv.objectives.get("meanfield:free_bits=1,free_bits_per=dimension")
    with pytest.raises(ContractError, match="site 'z' has a distribution for each step"):
        objective.evaluate(pair.model, pair.guide, {"x": X})
    with pytest.raises(ContractError, match=r"give a pair of step modules, unroll\(model, guide\)"):
        pv.objectives.FIVO().evaluate(OneStep(False), OneStep(True), {"x": torch.ones(3, 4)})
