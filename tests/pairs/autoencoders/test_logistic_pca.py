"""Logistic principal components against principal components."""

from __future__ import annotations

import torch
from making import made
from sklearn.decomposition import PCA
from torch.distributions import Bernoulli

import pyrovae as pv


def test_logistic_pca_reconstructs_binary_pixels_better_than_pca(digits):
    pair = made("logistic_pca", digits.spec, latent_dim=8)
    pv.fit(pair, digits, epochs=60, lr=1e-2, progress=False, validate=False, compile=False)
    error = pv.reconstruction_error(pair, digits.test)
    x, test = digits.train["x"].flatten(1), digits.test["x"].flatten(1)
    pca = PCA(8).fit(x.numpy())
    again = torch.from_numpy(pca.inverse_transform(pca.transform(test.numpy()))).clamp(0.01, 0.99)
    entropy = -Bernoulli(again, validate_args=False).log_prob(test).sum(1).mean()
    assert float(error.cross_entropy.mean()) < float(entropy) - 0.5
