"""Binary pixels, grey quadrants, finished cells; and the hand-written M2 has the bound of the package's."""

from __future__ import annotations

import torch

import pyrovae as pv
from benchmarks.speed.contenders import m2
from benchmarks.tables import quadrants


def test_cells_are_made_once_and_binary_pixels_are_tested_on_grey_ones_too(smoke, tmp_path, monkeypatch):
    words = ["--methods", "m2", "--pixels", "threshold", "--seeds", "0", "1"]
    rows = smoke("semisupervised", *words, folder=tmp_path)
    assert [row["seed"] for row in rows] == [0, 1] and all(0 < row["error"] < 100 for row in rows)
    assert any(row["grey_error"] != row["error"] for row in rows)
    monkeypatch.setattr(pv, "fit", None)
    assert smoke("semisupervised", *words, folder=tmp_path) == rows


def test_quadrants_of_grey_pixels_have_a_bound_and_no_log_p(smoke, tmp_path):
    rows = smoke("quadrants", "--pixels", "grey", "--given", "1", "3", folder=tmp_path)
    assert len(rows) == 4 and all(-64 < row["elbo"] < 0 and "log_p" not in row for row in rows)
    data = pv.data.load("digits", transforms=["quadrants:given=1"])
    torch.manual_seed(0)
    pair = pv.pairs.cvae(data.spec, latent_dim=2, hidden=[8])
    found = pv.log_evidence(pair, data.test, num_samples=100)
    assert abs(quadrants.elbo_of(pair, data.test, 100) - float(found.elbo.mean())) < 0.1


def test_the_hand_written_m2_is_m2():
    """Without style noise (scales near 0) both are deterministic, and must agree on labelled and unlabelled rows."""
    data = pv.data.load("digits", transforms=["few-labels:num_labels=100,share=0.3"])
    torch.manual_seed(0)
    pair = pv.pairs.m2(data.spec, latent_dim=4, hidden=[20])
    plain = m2.PlainM2(64, 10, 4, 20)
    for ours, theirs in ((pair.guide.classifier, plain.classifier), (pair.guide.encoder, plain.encoder)):
        with torch.no_grad():
            for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
                b.copy_(a)
    with torch.no_grad():
        for a, b in zip(pair.model.decoder.parameters(), plain.decoder.parameters(), strict=True):
            b.copy_(a)
        for encoder in (pair.guide.encoder.mlp, plain.encoder):
            encoder[-1].bias[4:] = -30.0
    batch = next(data.train.epoch(50, seed=0, epoch=0))
    objective = pv.objectives.get({"name": "semisupervised", "alpha": 0.3, "base": "meanfield"})
    given = pv.objectives.Given(pair.model, pair.guide, [batch])
    with torch.no_grad():
        ours = -next(objective.updates(given)).loss
        theirs = -plain.loss(batch["x"].flatten(1), batch["y"], int((batch["y"] >= 0).sum()), 0.3)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=0)
