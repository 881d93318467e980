"""The autoencoders' benchmark runs on small data, and does not run a cell twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import autoencoders
import pytest
import torch


def test_the_smoke_run_fills_every_cell_once(tmp_path, capsys):
    threads, out = torch.get_num_threads(), tmp_path / "smoke.jsonl"
    arguments = ["--smoke", "--threads", str(threads), "--out", str(out)]
    autoencoders.main(arguments)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    cells = [(row["kind"], row["name"]) for row in rows]
    assert cells == [(kind, name) for kind in ("reconstruction", "log p") for name in autoencoders.names(kind)]
    errors = {row["name"]: row["squared_error"] for row in rows if row["kind"] == "reconstruction"}
    assert min(errors, key=errors.get) == "pca"  # after one epoch, the only one that is done
    plain, *others = [row for row in rows if row["kind"] == "log p"]
    assert plain["elbo"] < plain["mean"] < 0 and len(plain["values"]) == 50
    for row in others:
        assert row["elbo"] < row["mean"] < 0 and "values" not in row
        assert row["more_than_vae"] == pytest.approx(row["mean"] - plain["mean"], abs=0.006)  # those of the VAE are rounded
    printed = capsys.readouterr().out
    assert "| deep-ae |" in printed and "| 3.00 |" not in printed and "| beta-vae | VAE | DiagonalGaussian |" in printed
    autoencoders.main(arguments)
    assert len(out.read_text().splitlines()) == len(rows) and '"kind"' not in capsys.readouterr().out
