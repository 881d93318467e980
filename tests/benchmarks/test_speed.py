"""The speed benchmark's contenders compute one bound, its clock alternates, its table judges."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import pyrovae as pv
from benchmarks.lab.worker import Worker
from benchmarks.speed import bounds, pairs, row, steps, targets
from benchmarks.speed.contenders import local
from benchmarks.speed.rows import ROWS

SMALL = {name: replace(row, batch=6, particles=min(row.particles, 5)) for name, row in ROWS.items() if name.endswith("20")}
SMALL |= {name: replace(ROWS[name], batch=6) for name in ("conv-100", "enum-100", "sequence-100")}


def small(one):
    torch.manual_seed(0)
    return pairs.make_pair(one), row.prepared(one, "random", 3)


@pytest.mark.parametrize("name", SMALL)
def test_contenders_compute_the_same_bound_and_gradient(name):
    pair, batches = small(SMALL[name])
    pv.check(pair, {"x": batches[0]})
    found = bounds.check_seeded(SMALL[name], pair, batches[0])
    assert {"hand", "fit-eager", "pyro"} <= found.keys()


def test_the_check_fails_where_a_bound_differs(monkeypatch):
    one = SMALL["vae-20"]
    pair, batches = small(one)
    monkeypatch.setattr(bounds, "hand_written", lambda one, pair: lambda x: 1.01 * local.hand_written(one, pair)(x))
    with pytest.raises(AssertionError, match="fit-eager has the bound"):
        bounds.check_seeded(one, pair, batches[0])


def trained(name):
    """The bound after 30 steps from one start with one noise."""
    one = SMALL["vae-20"]
    pair, batches = small(one)
    contender = local.CONTENDERS[name](local.Setup(one, pair, batches))
    torch.manual_seed(1)
    for _ in range(10):
        assert contender.run(batches, 3) > 0
    assert contender.position == 30
    with torch.no_grad():
        return sum(float(local.hand_written(one, pair)(x)) for x in batches) / len(batches)


@pytest.mark.parametrize(
    ("name", "within"), [("fit-eager", 0.1), ("pyro", 0.1), ("pyro-unvalidated", 0.1), ("pyro-meanfield", 15)]
)
def test_contenders_train_alike(name, within):
    """They start around -570; an analytic KL has other gradients than a drawn one."""
    hand = trained("hand")
    assert hand > -350
    assert trained(name) == pytest.approx(hand, abs=within)


def test_turns_alternate_and_the_first_round_is_not_counted(monkeypatch):
    monkeypatch.setattr(row, "PAUSE", 0)
    calls = []
    turns = {name: lambda steps, name=name: calls.append(name) or float(len(calls)) for name in "abc"}
    times = row.alternate(turns, steps=5, rounds=3)
    assert "".join(calls) == "abc" + "bca" + "cab" + "abc"
    assert times == {"a": [6, 8, 10], "b": [4, 9, 11], "c": [5, 7, 12]}


def test_a_record_of_steps(monkeypatch):
    monkeypatch.setattr(row, "PAUSE", 0)
    monkeypatch.setattr(row, "CONTENDERS", {n: local.CONTENDERS[n] for n in ("hand", "fit-eager", "pyro-meanfield")})
    options = {"steps": 4, "rounds": 2, "data": "random", "pythons": {}, "backend": "graph"}
    record = row.measure_steps(replace(SMALL["iwae-20"]), options)
    assert record["steps"] == 4 and record["contenders"].keys() == {"hand", "fit-eager"}
    assert "plain VAE" in record["missing"]["pyro-meanfield"]
    assert 0 < record["contenders"]["hand"]["ms"]["quartiles"][0] <= record["contenders"]["hand"]["ms"]["median"]
    json.dumps(record)


def test_a_worker_answers_and_says_what_failed(tmp_path):
    (tmp_path / "echo.py").write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\nfrom benchmarks.lab.worker import serve\n"
        "def double(x):\n    print('noise')\n    return 2 * x\nserve({'double': double})\n"
    )
    worker = Worker(sys.executable, "echo", root=tmp_path)
    assert worker.ask("double", x=4) == 8
    with pytest.raises(RuntimeError, match=r"echo failed to double: TypeError"):
        worker.ask("double", y=4)
    assert worker.ask("double", x=5) == 10
    worker.close()


def record(name, **medians):
    contenders = {n.replace("_", "-"): {"ms": {"median": m, "quartiles": [m, m]}} for n, m in medians.items()}
    contenders.get("compiled", {}).update(compile_s=12.0, peak_mb=300)
    return {"row": name, "contenders": contenders}


def test_the_table_marks_what_meets_its_target():
    old = record("vae-20", hand=9, compiled=9)
    new = record("vae-20", hand=1.0, compiled=0.9, numpyro=0.9, numpyro_scan=0.8, pyro=2.3, fit_eager=1.6)
    wide = record("vae-256", hand=1.0, compiled=0.66, hand_compile=0.66)
    text = targets.render([old, new, wide, record("epoch vae-20", fit=1.2, compiled=1.0)])
    line = next(line for line in text.splitlines() if line.startswith("| vae-20") and "(<" in line)
    assert line == ("| vae-20 | 1.00 **miss** (< 1) | 1.12 pass (<= 1.2) | 0.90 pass (<= 1) | - | 2.56 pass (>= 2.5) | 1.60 |")
    assert "| vae-256 | - | - | 0.66 **miss** (<= 0.65) | 1.00 pass (<= 1.05) | - | - |" in text
    assert "12.00 pass (<= 30); 300 MiB" in text
    assert "| vae-20 | 1.20 (1.20-1.20) | 1.00 (1.00-1.00) | 1.20 **miss** (<= 1.1) |" in text


def test_peers_that_are_not_installed_are_said_to_be_missing(tmp_path, capsys):
    from benchmarks.lab.door import main

    words = ["run", "speed", "--row", "vae-20", "--check", "--backend", "graph", "--out", str(tmp_path), "--quiet"]
    assert main([*words, "--threads", "1"]) == 0
    said = capsys.readouterr().out
    for name in steps.PEERS:
        assert f"{name} is missing: it is not installed here, and --{name} names no interpreter that has it." in said
    assert "vae-20, relative differences of bound and gradient under one seed: hand 0e+00 and 0e+00" in said


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_hand_written_loop_estimates_what_log_evidence_does(precision, monkeypatch):
    from benchmarks.speed import evidence

    monkeypatch.setattr(evidence, "BATCH", 5)
    data = pv.data.load("digits")
    torch.manual_seed(0)
    pair = pv.pairs.vae(data.spec, latent_dim=3, hidden=[20])
    with torch.no_grad():
        pair.guide.encoder.mlp[-1].weight.mul_(0.3)  # a guide near the prior: light weights
    x = data.test["x"][:10].float()
    ours, hand = (kind(pair, 1000, precision, compile=False)(x) for kind in (evidence.Ours, evidence.Hand))
    assert ours[0] > 0 and hand[0] > 0
    assert abs(ours[1] - hand[1]).max() < 0.5 and abs((ours[1] - hand[1]).mean()) < 0.15
