"""A class and a style, a discriminator each: points of the simplex, labels, heads; killed and resumed bitwise."""

from __future__ import annotations

import math

import pytest
import torch
from fits import assert_same, comparable, quiet, state
from steppers import step_of
from tiny_pairs import build

import pyrovae as pv
from pyrovae.errors import ContractError
from pyrovae.objectives import AAEClasses, Given
from pyrovae.objectives.adversarial_classes import spread
from pyrovae.objectives.moves import moved_parameters, prepare_objective

SMALL = {"latent_dim": 2, "hidden": [12], "discriminator_hidden": 6}


@pytest.fixture(scope="module")
def labelled():
    return pv.data.load("digits", transforms=["few-labels:num_labels=100"])


def prepared(labelled, **options):
    torch.manual_seed(0)
    pair = pv.pairs.aae_semi(labelled.spec, **SMALL, **options)
    objective, batch = pv.objectives.get(pair.objective), next(iter(labelled.train.epoch(40, seed=0, epoch=0)))
    prepare_objective(objective, pair.model, pair.guide, batch)
    return pair, objective, Given(pair.model, pair.guide, [batch])


def test_the_model_gets_a_point_of_the_simplex_and_no_latent_site_is_scored(labelled):
    pair, objective, given = prepared(labelled)
    traced = objective.trace(given)
    y = traced.model_sites["y"]["value"]
    torch.testing.assert_close(y.sum(-1), torch.ones(1, 40))
    assert float(y.detach().max()) < 0.9 and y.requires_grad
    first = next(iter(objective.updates(given)))
    with torch.no_grad():  # the likelihood at those points alone
        scored = pair.model.likelihood(pair.model.decoder(traced.latents["z"], y)).log_prob(given.batch["x"])[0]
    torch.testing.assert_close(first.bound, scored)
    assert not objective.scores_latents
    with pytest.raises(ValueError, match="within the support"):
        traced.log_p["y"]  # a point of the simplex has no mass, and says so
    report = pv.check(pair, labelled)  # which sees the pair as it is: y drawn, one-hot
    assert {site.name: site.distribution for site in report.sites}["y"] == "OneHotCategorical" and not report.is_density


def test_each_update_moves_its_own_parameters_and_losses_are_those_of_the_formulas(labelled):
    pair, objective, given = prepared(labelled, head_distance=3.0, discriminator_noise=0.0)
    with torch.no_grad():
        for network in objective.networks.values():
            network[-1].weight.zero_()
            network[-1].bias.zero_()
    updates = {update.name: update for update in objective.updates(given)}
    assert list(updates) == ["reconstruct", "discriminate", "deceive", "classify", "separate"]
    assert updates["discriminate"].loss.item() == pytest.approx(4 * math.log(2), abs=1e-6)  # of two discriminators
    assert updates["deceive"].loss.item() == pytest.approx(2 * math.log(2), abs=1e-6)
    y, known = given.batch["y"], given.batch["y"] >= 0
    q = pv.evaluation.classification.class_probabilities(pair, given.batch)
    expected = -q[known, y[known]].log().mean()
    assert updates["classify"].loss.item() == pytest.approx(float(expected), rel=1e-5)
    heads = pair.model.decoder.heads
    apart = torch.pdist(heads.detach()).clamp_max(3.0).sum()
    assert updates["separate"].loss.item() == pytest.approx(-float(apart), rel=1e-6)
    moved = moved_parameters(objective, pair.model, pair.guide)
    assert len(moved["separate"]) == 1 and moved["separate"][0] is heads
    assert {id(p) for p in moved["classify"]} == {id(p) for p in pair.guide.parameters()}
    assert float(spread(torch.tensor([[0.0, 0.0], [3.0, 4.0], [30.0, 40.0]]), 10.0)) == 25.0


@pytest.mark.parametrize("backend", ["eager", "graph"])
def test_without_labels_that_are_known_the_fourth_update_leaves_the_guide_as_the_third_did(labelled, backend):
    """Cross-entropy of no rows is 0, with a gradient of 0, and Adam does not move from rest."""
    results = []
    for classify in (True, False):
        torch.manual_seed(0)
        pair = pv.pairs.aae_semi(labelled.spec, **SMALL)
        batch = {**labelled.train[torch.arange(30)], "y": torch.full((30,), -1)}
        torch.manual_seed(5)
        step = step_of(pair, batch, AAEClasses(6, classify=classify), backend)
        for seed in range(3):
            torch.manual_seed(seed)
            step(batch)
        results.append(state(pair))
        if classify:
            assert float(step.sums["classify"]) == 0
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, msg=name)


def test_labels_train_the_class_and_log_p_sums_it_out(labelled):
    torch.manual_seed(0)
    pair = pv.pairs.aae_semi(labelled.spec, **{**SMALL, "hidden": [32]})
    before = pv.classify(pair, labelled.test).accuracy
    slow = {"deceive": {"lr": 1e-4}}  # few steps are for the labels
    run = quiet(pair, labelled, epochs=6, lr=1e-2, compile=False, optimizers=slow)
    assert pv.classify(run, labelled.test).accuracy > max(0.4, before)
    few = {"x": labelled.test["x"][:2]}
    annealed = pv.log_evidence(run, few, method="ais", start="prior", num_chains=30, num_distributions=60)
    z, eye = torch.randn(20_000, 1, 1, 2), torch.eye(10).unsqueeze(1)
    with torch.no_grad():  # log (1/10) sum_y E_p(z)[p(x | y, z)]
        scores = pair.model.likelihood(pair.model.decoder(z, eye)).log_prob(few["x"])
    truth = scores.logsumexp((0, 1)) - math.log(10 * len(z))
    torch.testing.assert_close(annealed.value, truth.double(), atol=0.2, rtol=0)


@pytest.mark.parametrize("name", ["aae", "aae-style", "aae-semi", "aae-cluster"])
def test_a_resumed_run_of_three_to_five_optimizers_is_the_whole_one(name, tmp_path):
    row = pv.pairs.get(name).tiny[-1]
    how = {"tensorboard": False, "compile": False, "seed": 3}
    for folder, epochs in (("whole", 2), ("half", 1)):
        pair, data = build(name, row.form, dict(row.options))
        quiet(pair, data, epochs=epochs, out=tmp_path / folder, **how)
    pv.resume(tmp_path / "half", data=data, epochs=2, progress=False)
    whole = comparable(tmp_path / "whole")
    assert_same(comparable(tmp_path / "half"), whole)
    assert len(whole["optimizers"]) == {"aae": 3, "aae-style": 3, "aae-semi": 5, "aae-cluster": 4}[name]


def test_what_it_cannot_train_is_refused(labelled, digits):
    pair = pv.pairs.aae_semi(labelled.spec, **SMALL)
    with pytest.raises(ContractError, match="head_distance separates the heads of model.decoder, and it has none"):
        quiet(pair, labelled, AAEClasses(6, head_distance=1.0), epochs=1)
    with pytest.raises(ContractError, match=r"trains a class 'y' by labels, and the guide's sites are \['k', 'z'\]"):
        quiet(pv.pairs.aae_cluster(digits.spec, num_clusters=3, **SMALL), digits, AAEClasses(6), epochs=1)
    with pytest.raises(ContractError, match="needs y in the batch"):
        quiet(pair, pv.data.load({"x": digits.train["x"][:50]}), epochs=1)
