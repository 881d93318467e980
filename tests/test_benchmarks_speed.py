"""The speed benchmark's contenders compute one bound, its clock alternates, its table judges."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import speed_check
import speed_row
import speed_table
import speed_torch
from speed_rows import ROWS
from speed_worker import Worker

import pyrovae as pv

SMALL = {name: replace(row, batch=6, particles=min(row.particles, 5)) for name, row in ROWS.items() if name.endswith("20")}
SMALL |= {name: replace(ROWS[name], batch=6) for name in ("conv-100", "enum-100", "sequence-100")}


def small(row):
    torch.manual_seed(0)
    return speed_torch.make_pair(row), speed_row.prepared(row, "random", 3)


@pytest.mark.parametrize("name", SMALL)
def test_contenders_compute_the_same_bound_and_gradient(name):
    pair, batches = small(SMALL[name])
    pv.check(pair, {"x": batches[0]})
    found = speed_check.check_seeded(SMALL[name], pair, batches[0])
    assert {"hand", "fit-eager", "pyro"} <= found.keys()


def test_the_check_fails_where_a_bound_differs(monkeypatch):
    row = SMALL["vae-20"]
    pair, batches = small(row)
    monkeypatch.setattr(speed_check, "hand_written", lambda row, pair: lambda x: 1.01 * speed_torch.hand_written(row, pair)(x))
    with pytest.raises(AssertionError, match="fit-eager has the bound"):
        speed_check.check_seeded(row, pair, batches[0])


def trained(name):
    """The bound after 30 steps from one start with one noise."""
    row = SMALL["vae-20"]
    pair, batches = small(row)
    contender = speed_torch.CONTENDERS[name](row, pair, batches)
    torch.manual_seed(1)
    for _ in range(10):
        assert contender.run(batches, 3) > 0
    assert contender.position == 30
    with torch.no_grad():
        return sum(float(speed_torch.hand_written(row, pair)(x)) for x in batches) / len(batches)


@pytest.mark.parametrize(
    ("name", "within"), [("fit-eager", 0.1), ("pyro", 0.1), ("pyro-unvalidated", 0.1), ("pyro-meanfield", 15)]
)
def test_contenders_train_alike(name, within):
    """They start around -570; an analytic KL has other gradients than a drawn one."""
    hand = trained("hand")
    assert hand > -350
    assert trained(name) == pytest.approx(hand, abs=within)


def test_turns_alternate_and_the_first_round_is_not_counted(monkeypatch):
    monkeypatch.setattr(speed_row, "PAUSE", 0)
    calls = []
    turns = {name: lambda steps, name=name: calls.append(name) or float(len(calls)) for name in "abc"}
    times = speed_row.alternate(turns, steps=5, rounds=3)
    assert "".join(calls) == "abc" + "bca" + "cab" + "abc"
    assert times == {"a": [6, 8, 10], "b": [4, 9, 11], "c": [5, 7, 12]}


def test_a_record_of_steps(monkeypatch):
    monkeypatch.setattr(speed_row, "PAUSE", 0)
    monkeypatch.setattr(
        speed_row, "CONTENDERS", {n: speed_torch.CONTENDERS[n] for n in ("hand", "fit-eager", "pyro-meanfield")}
    )
    options = {"steps": 4, "rounds": 2, "data": "random", "pythons": {}}
    record = speed_row.measure_steps(replace(SMALL["iwae-20"]), options)
    assert record["steps"] == 4 and record["contenders"].keys() == {"hand", "fit-eager"}
    assert "plain VAE" in record["missing"]["pyro-meanfield"]
    assert 0 < record["contenders"]["hand"]["ms"]["quartiles"][0] <= record["contenders"]["hand"]["ms"]["median"]
    json.dumps(record)


def test_a_worker_answers_and_says_what_failed(tmp_path):
    script = tmp_path / "echo.py"
    benchmarks = str(Path(speed_row.__file__).parent)
    script.write_text(
        f"import sys; sys.path.insert(0, {benchmarks!r})\nfrom speed_worker import serve\n"
        "def double(x):\n    print('noise')\n    return 2 * x\nserve({'double': double})\n"
    )
    worker = Worker(sys.executable, script)
    assert worker.ask("double", x=4) == 8
    with pytest.raises(RuntimeError, match=r"echo failed to double: TypeError"):
        worker.ask("double", y=4)
    assert worker.ask("double", x=5) == 10
    worker.close()


def record(row, **medians):
    contenders = {n.replace("_", "-"): {"ms": {"median": m, "quartiles": [m, m]}} for n, m in medians.items()}
    contenders.get("compiled", {}).update(compile_s=12.0, peak_mb=300)
    return {"row": row, "contenders": contenders}


def test_the_table_marks_what_meets_its_target():
    old = record("vae-20", hand=9, compiled=9)
    new = record("vae-20", hand=1.0, compiled=0.9, numpyro=0.9, numpyro_scan=0.8, pyro=2.3, fit_eager=1.6)
    wide = record("vae-256", hand=1.0, compiled=0.66, hand_compile=0.66)
    text = speed_table.render([old, new, wide, record("epoch vae-20", fit=1.2, compiled=1.0)])
    line = next(line for line in text.splitlines() if line.startswith("| vae-20") and "(<" in line)
    assert line == ("| vae-20 | 1.00 **miss** (< 1) | 1.12 pass (<= 1.2) | 0.90 pass (<= 1) | - | 2.56 pass (>= 2.5) | 1.60 |")
    assert "| vae-256 | - | - | 0.66 **miss** (<= 0.65) | 1.00 pass (<= 1.05) | - | - |" in text
    assert "12.00 pass (<= 30); 300 MiB" in text
    assert "| vae-20 | 1.20 (1.20-1.20) | 1.00 (1.00-1.00) | 1.20 **miss** (<= 1.1) |" in text
