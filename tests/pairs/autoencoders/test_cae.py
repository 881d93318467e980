"""The contraction: its closed form, and what it does."""

from __future__ import annotations

import torch
from making import made, penalty, traced
from torch.func import jacrev, vmap

import pyrovae as pv


def test_the_contraction_in_closed_form_is_that_of_autograd_and_of_jacrev(grey):
    pair = made("cae", grey.spec, latent_dim=7)
    x = grey.train["x"][:5]
    jacobian = vmap(jacrev(pair.guide.encoder))(x).flatten(2)
    expected = jacobian.square().sum((1, 2))
    for how in ("closed-form", "autograd"):
        objective, trace, update = traced({"name": "contraction", "weight": 0.7, "jacobian": how}, pair, {"x": x})
        torch.testing.assert_close(penalty(objective, trace, pair), expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(-update.loss, (update.bound - 0.7 * expected).mean(), rtol=1e-4, atol=1e-4)
    grads = []
    for how in ("closed-form", "autograd"):
        objective, trace, _ = traced({"name": "contraction", "jacobian": how}, pair, {"x": x})
        grads.append(torch.autograd.grad(penalty(objective, trace, pair).sum(), pair.guide.encoder.weight)[0])
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-6)
    with torch.no_grad():  # what is reported is the energy alone
        plain = traced("energy", pair, {"x": x})[2].bound
        assert torch.equal(traced("contraction:weight=9", pair, {"x": x})[2].bound, plain)


def test_the_contraction_contracts(digits):
    norms = []
    for weight in (0.0, 3.0):
        pair = made("cae", digits.spec, latent_dim=20, weight=weight)
        pv.fit(pair, digits, epochs=10, lr=3e-3, progress=False, validate=False, compile=False)
        norms.append(float(pair.guide.squared_jacobian(digits.test["x"]).mean().detach()))
    assert norms[1] < 0.2 * norms[0]
