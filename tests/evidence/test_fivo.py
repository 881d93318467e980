"""Particle filters over steps: unbiased for p(x), against Kalman's filter, and beside importance sampling and ais."""

from __future__ import annotations

import math

import pytest
import torch
from walks import Filtering, Smoother, draw, kalman, walk

import pyrovae as pv
from pyrovae.compile import StepCode
from pyrovae.core.step_run import compiled_steps
from pyrovae.errors import ContractError, OptionError

X, LENGTHS = draw(6, 4, seed=1), torch.tensor([4, 2, 1, 3, 4, 4])
METHODS = {
    "importance": {"num_samples": 1500},
    "fivo": {"num_samples": 100, "num_filters": 20},
    "ais": {"num_chains": 30, "num_distributions": 40, "pilot_chains": 8},
}


@pytest.mark.parametrize("method", METHODS)
def test_methods_give_kalmans_evidence_within_their_stated_errors(method):
    estimate = pv.log_evidence(walk(), {"x": X, "lengths": LENGTHS}, method, **METHODS[method])
    assert estimate.bound == "lower" and (estimate.stderr < 0.2).all()
    assert ((estimate.value - kalman(X, LENGTHS)).abs() < 4 * estimate.stderr + 1e-3).all()


def test_the_exact_smoother_needs_one_particle():
    estimate = pv.log_evidence(walk(Smoother), {"x": X}, "fivo", num_samples=1, num_filters=2)
    torch.testing.assert_close(estimate.value, kalman(X), atol=1e-4, rtol=0)
    assert (estimate.stderr < 1e-4).all()


def log_estimates(name, rows, x, guide):
    """log p-hat less log p(x) of many independent estimates of one sequence, (rows,)."""
    torch.manual_seed(0)
    pair = walk(guide)
    with torch.no_grad():
        value = pv.objectives.get(name).evaluate(pair.model, pair.guide, {"x": x.expand(rows, -1, -1)})
    return value.double() - kalman(x)


def test_exp_fivo_is_unbiased_and_varies_less_than_iwae():
    x, guide = draw(1, 12, seed=2), Filtering
    for name in ("fivo:num_particles=8", "fivo:num_particles=3,threshold=1"):
        ratio = log_estimates(name, 40_000, x, guide).exp()
        assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(len(ratio)) < 0.2
    fivo, iwae = (log_estimates(f"{name}:num_particles=8", 2000, x, guide) for name in ("fivo", "iwae"))
    assert fivo.std() < 0.7 * iwae.std() and iwae.mean() < fivo.mean() < 0


def test_without_resampling_it_is_the_importance_weighted_bound():
    pair, values = walk(), []
    for name in ("iwae:num_particles=5", "fivo:num_particles=5,threshold=0"):
        torch.manual_seed(0)
        values.append(pv.objectives.get(name).evaluate(pair.model, pair.guide, {"x": X}))
    torch.testing.assert_close(*values)


def test_one_filter_has_the_objectives_value_and_no_error():
    estimate = pv.log_evidence(walk(), X, "fivo", num_samples=8, num_filters=1)
    assert estimate.stderr.isnan().all() and estimate.elbo.isnan().all() and estimate.value.isfinite().all()


def test_compiled_steps_give_the_same_evidence():
    code, values = StepCode("graph"), []
    for run in (None, code):
        with torch.no_grad(), compiled_steps(run):
            values.append(pv.log_evidence(walk(), X, "fivo", num_samples=5, num_filters=3).value)
    torch.testing.assert_close(*values)
    assert len(code.codes) == 1 and code.reason is None


def test_what_filters_cannot_do_is_refused(digits):
    with pytest.raises(ContractError, match=r"do not run in steps of \(K, B\) scores; give a pair of step modules"):
        pv.log_evidence(pv.pairs.vae(digits.spec), digits, "fivo", num_samples=2)
    with pytest.raises(OptionError, match="threshold is 1.5; expected a share"):
        pv.objectives.get("fivo:threshold=1.5")


def test_figures_a_step_are_totals_over_totals():
    batch, pair = {"x": X, "lengths": LENGTHS}, walk(Smoother)
    found = pv.evaluate(pair, batch, num_samples=3)
    value, error = found.evidence.per(LENGTHS)
    assert value == pytest.approx(float(kalman(X, LENGTHS).sum() / LENGTHS.sum()), abs=1e-5)
    spread = (found.evidence.value - value * LENGTHS).std() * len(LENGTHS) ** 0.5 / LENGTHS.sum()
    assert error == pytest.approx(float(spread), rel=1e-6)
    told = found.to_json()
    assert told["log_evidence_per_step"] == value and told["elbo_per_step"] == pytest.approx(value, abs=1e-5)
    assert "nats a step, 18 steps: elbo " in repr(found) and "z of 4 steps: " in repr(found)
    assert pv.evaluate(pair, X, num_samples=3).steps.tolist() == [4] * 6
