"""The contenders of the evidence benchmark estimate one number."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import evidence_speed

import pyrovae as pv


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_hand_written_loop_estimates_what_log_evidence_does(precision, monkeypatch):
    monkeypatch.setattr(evidence_speed, "BATCH", 5)
    data = pv.data.load("digits")
    torch.manual_seed(0)
    pair = pv.pairs.vae(data.spec, latent_dim=3, hidden=[20])
    with torch.no_grad():
        pair.guide.encoder.mlp[-1].weight.mul_(0.3)  # a guide near the prior: light weights
    run = argparse.Namespace(model=pair.model, guide=pair.guide)
    x = data.test["x"][:10].float()
    monkeypatch.setattr(evidence_speed, "PIXELS", x[0].numel())
    ours, hand = (kind(run, 1000, precision)(x) for kind in (evidence_speed.Ours, evidence_speed.Hand))
    assert ours[0] > 0 and hand[0] > 0
    assert abs(ours[1] - hand[1]).max() < 0.5 and abs((ours[1] - hand[1]).mean()) < 0.15
