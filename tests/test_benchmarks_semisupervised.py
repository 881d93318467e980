"""The semi-supervised benchmark runs on small data, and its hand-written M2 has the bound of the package's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import m2_step
import semisupervised
import torch

import pyrovae as pv


def test_the_smoke_run_fills_every_cell_once(tmp_path, capsys):
    threads, out = torch.get_num_threads(), tmp_path / "smoke.jsonl"
    arguments = ["--smoke", "--threads", str(threads), "--out", str(out), "--what", "labels", "speed", "evidence"]
    semisupervised.main([*arguments, "--methods", "m1-knn", "m2", "m1-m2"])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    errors = [(row["method"], row["seed"]) for row in rows if row["what"] == "labels"]
    assert errors == [(method, seed) for seed in (0, 1) for method in ("m1-knn", "m2", "m1-m2")]
    assert all(0 < row["error"] < 100 for row in rows if row["what"] == "labels")
    timed = [row["method"] for row in rows if row["what"] == "speed"]
    assert timed == 2 * ["compiled", "eager", "hand-written PyTorch", "stock Pyro"]  # a tenth and a half of a batch labelled
    (evidence,) = [row for row in rows if row["what"] == "evidence"]
    assert abs(evidence["estimate"] - evidence["exact"]) < 5 * evidence["mc_stderr"] + 0.02
    capsys.readouterr()
    semisupervised.main([*arguments, "--methods", "m1-knn", "m2", "m1-m2"])
    assert len(out.read_text().splitlines()) == len(rows) and '"what"' not in capsys.readouterr().out


def test_networks_of_binary_pixels_are_tested_on_grey_ones_too(tmp_path):
    rows = {}
    for pixels in ("grey", "threshold"):
        out = tmp_path / f"{pixels}.jsonl"
        arguments = ["--smoke", "--what", "labels", "--methods", "m2", "--pixels", pixels]
        semisupervised.main([*arguments, "--threads", str(torch.get_num_threads()), "--out", str(out)])
        rows[pixels] = [json.loads(line) for line in out.read_text().splitlines()]
    assert all("grey_error" not in row for row in rows["grey"])
    assert any(row["grey_error"] != row["error"] for row in rows["threshold"])


def test_quadrants_of_grey_pixels_have_a_bound_and_no_log_p(tmp_path):
    out = tmp_path / "grey.jsonl"
    threads = str(torch.get_num_threads())
    semisupervised.main(["--smoke", "--what", "quadrants", "--pixels", "grey", "--threads", threads, "--out", str(out)])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 12 and all(-64 < row["elbo"] < 0 and "log_p" not in row for row in rows)
    data = pv.data.load("digits", transforms=["quadrants:given=1"])
    torch.manual_seed(0)
    pair = pv.pairs.cvae(data.spec, latent_dim=2, hidden=[8])
    found = pv.log_evidence(pair, data.test, num_samples=100)
    assert abs(semisupervised.elbo_of(pair, data.test, 100) - float(found.elbo.mean())) < 0.1


def test_the_hand_written_m2_is_m2():
    """Without style noise (scales near 0) both are deterministic, and must agree on labelled and unlabelled rows."""
    data = pv.data.load("digits", transforms=["few-labels:num_labels=100,share=0.3"])
    torch.manual_seed(0)
    pair = pv.pairs.m2(data.spec, latent_dim=4, hidden=[20])
    plain = m2_step.PlainM2(64, 10, 4, 20)
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
    with torch.no_grad():
        ours = objective.terms(objective.trace(pv.objectives.Given(pair.model, pair.guide, [batch]))).surrogate.mean()
        theirs = -plain.loss(batch["x"].flatten(1), batch["y"], int((batch["y"] >= 0).sum()), 0.3)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=0)
