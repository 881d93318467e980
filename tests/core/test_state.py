"""state_dict of a pair, and what a run says that its figures are."""

from __future__ import annotations

import copy
import pickle
import re

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.errors import ContractError, RunError

X = (torch.rand(40, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()


class Model(nn.Module):
    """One part in a module, one by pyro.param."""

    def __init__(self, validate=None):
        super().__init__()
        self.decoder, self.validate = nn.Linear(2, 6), validate

    def forward(self, x):
        scale = pyro.param("scale", torch.tensor(0.7), constraint=dist.constraints.positive)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), scale).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z), validate_args=self.validate).to_event(1), obs=x)


class Guide(nn.Module):
    """A Gaussian, with a loss of its own where asked."""

    def __init__(self, factor=False):
        super().__init__()
        self.encoder, self.factor = nn.Linear(6, 2), factor

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.encoder(x), 0.5).to_event(1))
            if self.factor:
                pyro.factor("penalty", z.square().sum(-1), has_rsample=True)


def made(seed, **options):
    torch.manual_seed(seed)
    return pv.Pair(Model(**options), Guide())


def bound(pair):
    return pv.evaluate(pair, X, num_samples=5).elbo


def test_a_state_dict_carries_all_parameters_to_another_pair():
    one, other = made(0), made(1)
    pv.fit(one, X, epochs=2, progress=False)
    state = one.state_dict()
    with pytest.raises(RunError, match="'param.scale' is made by pyro.param, which the pair has not run yet"):
        other.load_state_dict(state)
    assert {name.split(".")[0] for name in state} >= {"model", "guide"} and any("scale" in name for name in state)
    pv.fit(other, X, steps=1, progress=False)
    assert bound(one) != bound(other)
    other.load_state_dict(state)
    assert bound(one) == bound(other) == bound(copy.deepcopy(one)) == bound(pickle.loads(pickle.dumps(one)))
    state["model.decoder.weight"].zero_()  # copies, not the parameters themselves
    assert bound(one) == bound(other)


def test_a_state_that_does_not_fit_changes_nothing():
    pair = made(0)
    pv.fit(pair, X, steps=1, progress=False)
    before = pair.state_dict()
    scale = next(name for name in before if "scale" in name)
    bad = {
        "has no tensor 'extra'": {**before, "extra": torch.zeros(1)},
        f"what is loaded has no tensor '{scale}'": {name: value for name, value in before.items() if name != scale},
        "'model.decoder.weight' has shape": {**before, "model.decoder.weight": torch.zeros(3, 3)},
        "'model.decoder.weight' is torch.float64": {**before, "model.decoder.weight": torch.zeros(6, 2).double()},
        "'model.decoder.weight' has values that are not finite": {
            **before,
            "model.decoder.weight": torch.full((6, 2), torch.nan),
        },
    }
    for message, state in bad.items():
        with pytest.raises(RunError, match=re.escape(message)):
            pair.load_state_dict({name: value + 1 if name == scale else value for name, value in state.items()})
        assert all(torch.equal(value, before[name]) for name, value in pair.state_dict().items())


# ------------------------------------------------------------------------------------------------ what figures are called
GREY = torch.rand(40, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("pair", "data", "objective", "words"),
    [
        (lambda: made(0), X, "elbo", "bound in nats per datum"),
        (lambda: made(0, validate=False), GREY, "elbo", "objective (no bound on log p(x)) in nats per datum"),
        (lambda: made(0, validate=False), GREY, "iwae:num_particles=2", "objective (no bound on log p(x)) in nats per datum"),
        (lambda: pv.Pair(Model(), Guide(factor=True)), X, "elbo", "objective (no bound on log p(x)) in nats per datum"),
        (lambda: made(0), X, "aae:hidden=4", "objective (no bound on log p(x)) in nats per datum"),
        (lambda: made(0), X, "renyi:alpha=-1,num_particles=2", "estimate of log p(x) in nats per datum"),
    ],
)
def test_a_run_calls_a_bound_only_what_is_one(pair, data, objective, words, tmp_path, capsys):
    torch.manual_seed(0)
    pair = pair()
    run = pv.fit(pair, data, objective, epochs=1, out=tmp_path / "run")
    said = capsys.readouterr()
    assert run.quantity == words and words in repr(run)
    assert ("no bound on log p(x)" in said.out + said.err) == ("no bound" in words)
    again = pv.load(tmp_path / "run", pair=pair)
    assert again.quantity == words and f"{words}: train" in repr(again)
    assert pv.plots.learning_curves(run.history, run.quantity).axes[0].get_ylabel() == words


def test_a_figure_of_an_energy_is_never_evidence():
    pair = made(0, validate=False)
    run = pv.fit(pair, GREY, epochs=1, progress=False)
    for door in (lambda: pv.log_evidence(run, GREY[:5]), lambda: pv.gaps(run, GREY[:5])):
        with pytest.raises(ContractError, match="site 'x' is an energy|no log p\\(x\\)|no density"):
            door()
    assert pv.evaluate(run, GREY[:5]).to_json().get("elbo") is None
