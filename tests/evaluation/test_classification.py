"""Accuracy, its interval and calibration against known values; classifiers of features; training in stages."""

from __future__ import annotations

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch

import pyrovae as pv
from pyrovae.data import DataSpec
from pyrovae.errors import ContractError, DataError, OptionError
from pyrovae.evaluation.classification import Classification, calibration_error, class_probabilities

SPEC = DataSpec("toy", (4,), "binary", classes=3)


# ------------------------------------------------------------------------------------------------ figures
def test_figures_of_known_predictions():
    right = torch.tensor([0.7, 0.2, 0.1])
    probabilities = torch.stack([right] * 8 + [right.roll(1)] * 2)
    found = Classification(probabilities, torch.zeros(10, dtype=torch.long))
    figures = found.to_json()
    assert figures["accuracy"] == 0.8 and figures["error_percent"] == pytest.approx(20)
    # Wilson: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    z, n, p = 1.959964, 10, 0.8
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    expected = [(p + z * z / (2 * n) + sign * half) / (1 + z * z / n) for sign in (-1, 1)]
    assert figures["accuracy_interval_95"] == pytest.approx(expected, abs=1e-5)
    assert figures["log_loss"] == pytest.approx(-(8 * math.log(0.7) + 2 * math.log(0.1)) / 10, rel=1e-5)
    assert figures["calibration_error"] == pytest.approx(0.1, rel=1e-5)
    assert "accuracy = 80.00% (95% interval 49.02 to 94.33; 10 data), log loss" in repr(found)
    sure = Classification(torch.eye(3)[[0, 1]], torch.tensor([0, 2]))
    assert sure.certain and "log_loss" not in sure.to_json() and "log loss" not in repr(sure)


def test_calibrated_probabilities_have_no_calibration_error_and_overconfident_ones_do():
    confidence = 0.5 + 0.5 * torch.rand(200_000)
    assert calibration_error(confidence, torch.rand(200_000) < confidence) < 0.01
    assert calibration_error(confidence, torch.rand(200_000) < confidence - 0.2) == pytest.approx(0.2, abs=0.01)
    assert calibration_error(torch.ones(10), torch.ones(10, dtype=torch.bool)) == 0


# ------------------------------------------------------------------------------------------------ guides
def test_m2s_probabilities_are_its_classifiers():
    torch.manual_seed(0)
    pair = pv.pairs.m2(SPEC, latent_dim=2, hidden=[5])
    x = torch.bernoulli(torch.full((7, 4), 0.5))
    torch.testing.assert_close(class_probabilities(pair, x), pair.guide.classifier(x).softmax(-1).detach())


def test_what_is_drawn_before_the_class_is_averaged_over():
    torch.manual_seed(0)
    pair = pv.pairs.adgm(SPEC, latent_dim=2, auxiliary_dim=2, hidden=[5])
    x = torch.bernoulli(torch.full((7, 4), 0.5))
    found = class_probabilities(pair, x, num_samples=4000)
    with torch.no_grad():
        loc, raw = pair.guide.auxiliary(x).chunk(2, -1)
        a = loc + (torch.nn.functional.softplus(raw) + 1e-3) * torch.randn(4000, 7, 2)
        expected = pair.guide.classifier(x, a).softmax(-1)
    error = expected.std(0) / 4000**0.5
    assert ((found - expected.mean(0)).abs() < 7 * error + 1e-4).all()


def test_rows_without_labels_do_not_count():
    torch.manual_seed(0)
    pair = pv.pairs.m2(SPEC, latent_dim=2, hidden=[5])
    x, y = torch.bernoulli(torch.full((7, 4), 0.5)), torch.tensor([0, -1, 1, 2, -1, 0, 1])
    found = pv.classify(pair, {"x": x, "y": y})
    assert found.labels.tolist() == [0, 1, 2, 0, 1]
    with pytest.raises(DataError, match="no labels y"):
        pv.classify(pair, {"x": x, "y": torch.full((7,), -1)})
    with pytest.raises(DataError, match="no labels y"):
        pv.classify(pair, x)
    with pytest.raises(ContractError, match="no latent site 'y'"):
        pv.classify(pv.pairs.vae(SPEC), {"x": x, "y": y.clamp_min(0)})


# ------------------------------------------------------------------------------------------------ features
@pytest.mark.parametrize("classifier", ["logistic", "knn", "svm", "self-training", "label-spreading"])
def test_classifiers_of_features_learn_from_few_labels(classifier):
    data = pv.data.load("digits", binarization="none", transforms=["few-labels:num_labels=100"])
    pair = pv.pairs.linear_gaussian(data.spec, latent_dim=10)
    torch.manual_seed(0)
    pv.fit(pair, data, epochs=15, lr=0.02, validate=False, progress=False)
    found = pv.classify_features(pair, data.train, data.test, classifier)
    assert len(found.labels) == 250 and found.accuracy > 0.75, found
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(250, dtype=torch.float64))


def test_what_a_classifier_of_features_needs():
    data = pv.data.load("digits", transforms=["few-labels:num_labels=100"])
    pair = pv.pairs.m1(data.spec, latent_dim=2, hidden=[5])
    with pytest.raises(OptionError, match="site 'z1' is no vector of this guide, which has z"):
        pv.classify_features(pair, data.train, data.test, site="z1")
    with pytest.raises(DataError, match="no labels y"):
        pv.classify_features(pair, data.train["x"], data.test)
    with pytest.raises(OptionError, match="needs a run"):
        pv.evaluate(pair, data.test, num_samples=2, classifier="svm")


@pytest.mark.parametrize("classifier", ["knn", "svm", "logistic", "label-spreading"])
def test_latent_dimensions_out_of_use_do_not_drown_the_others(classifier):
    """Two dimensions tell the three classes; thirty more hold what is left of the prior's noise."""
    torch.manual_seed(0)
    y = torch.arange(3).repeat(100)
    corners = torch.tensor([[0.0, 1.0], [0.9, -0.5], [-0.9, -0.5]])
    x = torch.cat([corners[y] + 0.2 * torch.randn(300, 2), 0.02 * torch.randn(300, 30)], 1)

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(32), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 0.1).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 0.1).to_event(1))

    labels = torch.where(torch.arange(300) < 15, y, -1)
    found = pv.classify_features((model, guide), {"x": x, "y": labels}, {"x": x, "y": y}, classifier)
    assert found.accuracy > 0.97


# ------------------------------------------------------------------------------------------------ stages
def test_stages_stand_still_in_the_pair_that_is_built_on_them(tmp_path, caplog):
    data = pv.data.load("digits", transforms=["few-labels:num_labels=50"])
    sizes = {"latent_dim": 2, "hidden": [10], "feature_dim": 3, "feature_hidden": [10]}

    def train(out):
        torch.manual_seed(0)
        pair = pv.pairs.m1_m2(data.spec, **sizes)
        first = {name: p.detach().clone() for name, p in pair.stages[0].guide.named_parameters()}
        options = {"epochs": 2, "progress": False, "tensorboard": False, "lr": 3e-3}
        run = pv.fit_stages(pair, data, out=out, stage_options={"epochs": 3}, **options)
        return pair, first, run

    pair, first, run = train(tmp_path / "run")
    assert "stages" not in caplog.text and not pair.untrained_stages and not copy.deepcopy(pair).untrained_stages
    pv.fit(pv.pairs.m1_m2(data.spec, **sizes), data, steps=1, progress=False)
    assert "built on 1 of 1 stages (pair.stages) whose parameters stand still in it, and are those that it was" in caplog.text
    stage = pv.load(tmp_path / "run-stage-1")
    assert stage.pair.recipe["name"] == "m1" and len(stage.history) == 3 and len(run.history) == 2
    for name, parameter in pair.guide.features.named_parameters(prefix="encoder"):
        assert torch.equal(parameter, stage.guide.get_parameter(name)) and not parameter.requires_grad
        assert not torch.equal(parameter, first[name]) or name.endswith("bias")
    again = pv.load(tmp_path / "run")
    assert not any(p.requires_grad for p in again.guide.features.parameters())
    # a second call with the stage in place takes it as it is, and ends with the same pair
    (tmp_path / "run-stage-1").rename(tmp_path / "other-stage-1")
    other, _, _ = train(tmp_path / "other")
    for one, two in zip(pair.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(one, two)
