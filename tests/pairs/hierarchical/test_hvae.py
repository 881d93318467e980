"""The two-level VAE against quadrature."""

from __future__ import annotations

import pytest
import torch
from exact import quadrature

import pyrovae as pv
from pyrovae.data import DataSpec

SPEC = DataSpec("toy", (6,), "binary")


def test_two_levels_agree_with_quadrature():
    torch.manual_seed(2)
    pair = pv.pairs.hvae(SPEC, latent_dim=1, lower_dim=1, hidden=[8, 8], pseudo_inputs=3, pseudo_std=1.0)
    x = torch.bernoulli(torch.full((5, 6), 0.5))
    truth = quadrature(pair.model, x, {"z2": 1, "z1": 1}, points=401)
    importance = pv.log_evidence(pair, x, num_samples=5000)
    assert ((importance.value - truth).abs() < 4.5 * importance.stderr + 1e-3).all()
    assert (importance.elbo < truth + 4.5 * importance.elbo_stderr).all()


def test_an_unknown_prior_is_refused():
    with pytest.raises(ValueError, match="no prior is called 'vamp'; did you mean 'vampprior'"):
        pv.pairs.hvae(SPEC, prior="vamp")
