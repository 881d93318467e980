"""A denoising autoencoder undoes noise."""

from __future__ import annotations

from making import made

import pyrovae as pv


def test_a_denoising_autoencoder_undoes_noise_that_a_plain_one_keeps(digits):
    transforms = [{"name": "corrupt", "process": "salt-and-pepper", "rate": 0.3, "parts": "all"}]
    noisy = pv.data.load("digits", transforms=transforms)
    errors = []
    for recipe, data in (("ae", digits), ("dae", noisy)):
        pair = made(recipe, data.spec, latent_dim=20)
        pv.fit(pair, data, epochs=20, progress=False, validate=False, compile=False)
        seen = noisy.test["x_corrupted"]
        batch = {"x": noisy.test["x"], "x_corrupted": seen} if recipe == "dae" else {"x": seen}
        errors.append(float((pv.reconstruct(pair, batch) - noisy.test["x"]).square().mean()))
    assert errors[1] < 0.85 * errors[0]
