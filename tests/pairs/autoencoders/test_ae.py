"""Reconstruction errors and Jacobians of autoencoders against formulas and autograd."""

from __future__ import annotations

import pytest
import torch
from making import made, penalty, traced
from torch.distributions import Bernoulli
from torch.func import jacrev, vmap

import pyrovae as pv


def test_reconstruction_errors_are_the_formulas(digits):
    pair = made("ae", digits.spec, hidden=[20])
    x = digits.test["x"]
    again = pv.reconstruct(pair, x)
    error = pv.reconstruction_error(pair, digits.test, batch_size=7)
    torch.testing.assert_close(error.squared.float(), (x - again).square().flatten(1).sum(1), rtol=1e-4, atol=1e-4)
    entropy = -Bernoulli(again).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(error.cross_entropy.float(), entropy, rtol=1e-4, atol=1e-3)
    run_energy = -pv.objectives.get("energy").loss(pair.model, pair.guide, x=x) / len(x)
    assert run_energy == pytest.approx(-float(entropy.mean()), rel=1e-4)  # no prior: the energy is the reconstruction


@pytest.mark.parametrize("relax", [0, 0.3])
def test_jacobians_of_deep_encoders_and_decoders_are_exact(digits, relax):
    pair = made("ae", digits.spec, latent_dim=4, hidden=[20], relax=relax)
    x, base = digits.train["x"][:5], "meanfield" if relax else "energy"
    objective, trace, _ = traced({"name": "contraction", "base": base}, pair, {"x": x})
    encoder = vmap(jacrev(pair.guide.encoder))(x).flatten(1).square().sum(1)
    torch.testing.assert_close(penalty(objective, trace, pair), encoder, rtol=1e-4, atol=1e-6)
    objective, trace, _ = traced({"name": "contraction", "of": "decoder", "base": base}, pair, {"x": x})
    decoder = vmap(jacrev(lambda z: pair.model.decoder(z).sigmoid()))(trace.latents["z"][0]).flatten(1).square().sum(1)
    torch.testing.assert_close(penalty(objective, trace, pair), decoder, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("of", ["encoder", "decoder"])
def test_probes_estimate_the_jacobians_norm_without_bias(digits, of):
    pair, x = made("ae", digits.spec, latent_dim=4, hidden=[20]), digits.train["x"][:3]
    objective, trace, _ = traced({"name": "contraction", "of": of}, pair, {"x": x})
    truth = penalty(objective, trace, pair).detach()
    objective, trace, _ = traced({"name": "contraction", "of": of, "num_probes": 2}, pair, {"x": x})
    torch.manual_seed(0)
    estimates = torch.stack([penalty(objective, trace, pair).detach() for _ in range(2000)])
    error = estimates.std(0) / len(estimates) ** 0.5
    assert ((estimates.mean(0) - truth).abs() < 4.5 * error).all() and (error < 0.05 * truth).all()
