"""The linear-Gaussian pair: its bound is log p(x), its checkpoints keep their names."""

from __future__ import annotations

import pytest
import torch
from making import made

import pyrovae as pv
from pyrovae.core.parameters import parameters


def test_the_elbo_is_log_p_of_x(grey):
    """With the exact guide, ELBO = log p(x) to float precision."""
    pair = made("linear_gaussian", grey.spec, latent_dim=5)
    pv.fit(pair, grey, epochs=3, progress=False, compile=False)
    x = grey.test["x"]
    truth = pair.model.log_evidence(x)
    elbo = -pv.objectives.ELBO().loss(pair.model, pair.guide, x=x) / len(x)
    assert elbo == pytest.approx(float(truth.mean().detach()), abs=2e-4)
    estimate = pv.log_evidence(pair, x, num_samples=10)
    torch.testing.assert_close(estimate.value.float(), truth.detach(), rtol=0, atol=2e-3)


def test_parameters_keep_the_names_of_saved_runs(grey):
    pair = made("linear_gaussian", grey.spec)
    assert set(parameters(pair.model, pair.guide)) == {"model.law.weight", "model.law.loc", "model.law.log_scale"}
