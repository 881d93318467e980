"""Sparse codes: the L1 norm as a Laplace prior, and the penalty of a rate as a KL."""

from __future__ import annotations

import math

import torch
from making import made, traced
from torch.distributions import Bernoulli, kl_divergence

import pyrovae as pv
from pyrovae.objectives.penalties import rate_divergence


def test_l1_is_the_log_density_of_a_laplace_prior_and_makes_zeros(digits):
    pair = made("sparse_ae", digits.spec, latent_dim=30, strength=2.0)
    x = digits.train["x"][:6]
    _, trace, update = traced("energy", pair, {"x": x})
    z = trace.latents["z"][0]
    reconstruction = Bernoulli(logits=pair.model.decoder(z)[:, 0]).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(update.bound, reconstruction - 2 * z.abs().sum(1) + 30 * math.log(2 / 2))
    zeros = []
    for strength in (0.01, 2.0):
        pair = made("sparse_ae", digits.spec, latent_dim=30, strength=strength)
        pv.fit(pair, digits, epochs=10, lr=3e-3, progress=False, validate=False, compile=False)
        zeros.append(float((pv.posterior(pair, digits.test["x"])["z"] == 0).float().mean()))
    assert zeros[1] > 0.8 and zeros[1] > zeros[0] + 0.2


def test_the_penalty_of_a_rate_is_a_kl_and_moves_the_mean_activation_there(digits):
    codes = torch.rand(3, 5, 4)
    expected = kl_divergence(Bernoulli(0.1), Bernoulli(codes.mean((0, 1)))).sum()
    torch.testing.assert_close(rate_divergence(codes, 0.1), expected)
    options = {"penalty": "kl-to-rate", "latent_dim": 20, "rate": 0.1, "strength": 5.0}
    pair = made("sparse_ae", digits.spec, **options)
    x = digits.train["x"][:6]
    _, trace, update = traced(pair.objective, pair, {"x": x})
    torch.testing.assert_close(-update.loss, (update.bound - 5 * rate_divergence(trace.latents["z"], 0.1)).mean())
    pv.fit(pair, digits, epochs=20, lr=3e-3, progress=False, validate=False, compile=False)
    means = pv.posterior(pair, digits.test["x"])["z"].mean((0, 1))
    assert float((means - 0.1).abs().mean()) < 0.05
