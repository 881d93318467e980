"""The beta-VAE is a VAE trained by another objective."""

from __future__ import annotations

import pytest
import torch
from making import made

import pyrovae as pv
from pyrovae.objectives import Given


@pytest.mark.parametrize(
    ("options", "objective"),
    [
        ({}, {"name": "meanfield", "beta": 2.0}),
        ({"capacity": 3.0, "gamma": 20.0}, {"name": "meanfield", "capacity": 3.0, "gamma": 20.0}),
    ],
)
def test_a_beta_vae_is_a_vae_trained_by_another_objective(digits, options, objective):
    shape = {"latent_dim": 3, "hidden": [20]}
    ours, plain = made("beta_vae", digits.spec, **shape, **options), made("vae", digits.spec, **shape)
    runs = [pv.fit(ours, digits, epochs=2, progress=False), pv.fit(plain, digits, objective, epochs=2, progress=False)]
    assert [row["valid"] for row in runs[0].records] == [row["valid"] for row in runs[1].records]
    for one, other in zip(ours.guide.parameters(), plain.guide.parameters(), strict=True):
        assert torch.equal(one, other)
    batch, bound = {"x": digits.train["x"][:50]}, pv.objectives.get(ours.objective)
    torch.manual_seed(0)
    terms = bound.terms(bound.trace(Given(ours.model, ours.guide, [batch])))
    torch.manual_seed(0)
    trace = pv.objectives.MeanField().trace(Given(ours.model, ours.guide, [batch]))
    likelihood, kl = trace.log_p["x"].mean(), pv.objectives.MeanField.kl(trace, "z").mean()
    weighted = 20 * (kl - 3).abs() if options else 2 * kl
    torch.testing.assert_close(terms.surrogate.mean(), likelihood - weighted)
    torch.testing.assert_close(terms.bound.mean(), likelihood - kl)
