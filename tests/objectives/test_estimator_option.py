"""Estimators in use: traced, scheduled and resumed; validation of the hard pair; what is refused before training."""

from __future__ import annotations

import pytest
import torch
from relaxed_pairs import Looks, LooksGuide, X, tiny_pair
from steppers import assert_same_steps, steppers

import pyrovae as pv
from pyrovae import objectives
from pyrovae.errors import ContractError, OptionError


@pytest.mark.parametrize("name", ["elbo:estimator=concrete", "iwae:num_particles=3,estimator=gumbel-straight-through"])
def test_the_traced_step_with_a_scheduled_temperature_is_the_eager_one(name):
    pair = tiny_pair()
    step, eager = steppers(pair.model, pair.guide, {"x": X}, name, schedule=["temperature"])
    schedules = [{"temperature": torch.tensor(t)} for t in (1.0, 0.8, 0.4)]
    assert_same_steps(step, eager, {"x": X}, schedules)


def test_validation_and_evidence_are_of_the_hard_pair_and_training_resumes(tmp_path):
    x, runs = X.repeat(20, 1), []
    schedule = {"temperature": "exponential:start=1,end=0.3,epochs=4"}
    for name, epochs in (("one", [4]), ("two", [2, 4])):
        pair, folder = tiny_pair(), tmp_path / name
        run = pv.fit(pair.pair, (x, x), epochs=epochs[0], batch_size=20, schedule=schedule, progress=False, out=folder)
        for more in epochs[1:]:
            run = pv.resume(folder, pair=pair.pair, data=(x, x), epochs=more, progress=False)
        runs.append(run)
    for one, other in zip(runs[0].pair.guide.parameters(), runs[1].pair.guide.parameters(), strict=True):
        assert torch.equal(one, other)
    assert runs[0].history["temperature"].iloc[-1] < 0.5 and runs[0].config["bound"] == "estimate"
    pair = runs[0].pair
    torch.manual_seed(0)
    hard = objectives.get("elbo:num_particles=7")
    relaxed = objectives.get("elbo:num_particles=7,estimator=concrete")
    values = []
    for objective in (hard, relaxed):
        with torch.no_grad():
            torch.manual_seed(5)
            values.append(objective.evaluate(pair.model, pair.guide, {"x": X}))
    assert torch.equal(*values)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("number", "site 'z' is a Categorical, of which estimator 'concrete' knows no soft value; write it as"),
        ("vector", "gives the programs soft values of their discrete sites, which they do not take"),
        ("normal", "no latent site of the guide is discrete"),
    ],
)
def test_programs_without_a_soft_value_are_refused_before_training(by, message, tmp_path):
    with pytest.raises(ContractError, match=message):
        pv.fit((Looks(by), LooksGuide(by)), X.repeat(9, 1), "elbo:estimator=concrete", out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("elbo:estimator=concret", "did you mean 'concrete'"),
        ("elbo:estimator=vimco", "no estimator of ELBO is called 'vimco'"),
        ("meanfield:estimator=concrete", "Known: enumerate"),
        ("elbo:temperature=1", "goes with estimator concrete or gumbel-straight-through"),
        ("iwae:estimator=straight-through,temperature=1", "goes with estimator concrete"),
        ("elbo:estimator=gumbel-straight-through,prior_temperature=1", "goes with estimator concrete"),
        ("elbo:estimator=concrete,temperature=0", "expected a positive number"),
        ("semisupervised:base.name=elbo,base.estimator=concrete", "no estimator of"),
    ],
)
def test_what_an_estimator_does_not_take_is_refused(name, message):
    with pytest.raises(OptionError, match=message):
        objectives.get(name)
    with pytest.raises(OptionError, match="it is the objective 'nvil'"):
        objectives.ELBO(estimator="score")
