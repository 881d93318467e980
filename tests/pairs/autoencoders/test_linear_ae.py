"""The linear autoencoder finds the principal subspace."""

from __future__ import annotations

import math

import pytest
import torch
from making import made
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

import pyrovae as pv


def test_the_linear_autoencoder_finds_the_principal_subspace(grey):
    """Principal angles to scikit-learn's PCA, whose 8th and 9th eigenvalues are 8% apart; its error; orthonormal rows."""
    pair = made("linear_ae", grey.spec, latent_dim=8)
    options = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": 100}, "validate": False, "compile": False}
    pv.fit(pair, grey, epochs=100, lr=1e-2, progress=False, **options)
    weight = pair.guide.encoder.weight.detach()
    x, test = grey.train["x"].flatten(1).numpy(), grey.test["x"].flatten(1).numpy()
    pca = PCA(8).fit(x)
    angles = subspace_angles(weight.T.double().numpy(), pca.components_.T)
    assert math.degrees(angles.max()) < 3, [round(math.degrees(angle), 2) for angle in angles]
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), atol=0.03, rtol=0)
    best = ((test - pca.inverse_transform(pca.transform(test))) ** 2).sum(1).mean()
    found = pv.reconstruction_error(pair, grey.test)
    assert float(found.squared.mean()) == pytest.approx(best, rel=0.01)
    assert found.to_json()["squared_error_per_value"] == pytest.approx(best / 64, rel=0.01)
