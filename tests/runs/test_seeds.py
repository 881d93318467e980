"""Several seeds in one call: each run as if alone, and a table over them."""

from __future__ import annotations

import signal

import pytest
import torch

import pyrovae as pv
from pyrovae.cli import main
from pyrovae.errors import ContractError, OptionError, RunError

SHORT = {"batch_size": 400, "progress": False, "compile": False, "tensorboard": False}


def build(spec):
    return pv.pairs.vae(spec, latent_dim=2, hidden=[8])


def test_each_run_is_the_one_that_its_seed_gives_alone(digits):
    found = pv.fit_seeds(build, digits, seeds=[3, 1], epochs=2, **SHORT)
    for seed, run in zip(found.seeds, found.runs, strict=True):
        alone = pv.fit_stages(build, digits, seed=seed, epochs=2, **SHORT)
        for one, other in zip(run.model.parameters(), alone.model.parameters(), strict=True):
            assert torch.equal(one, other)
    table, ends = found.table, [run.records[-1]["valid"] for run in found.runs]
    assert list(table.loc["valid", [3, 1]]) == ends
    assert table.loc["valid", "median"] == pytest.approx(sum(ends) / 2)
    assert table.loc["valid", "lower quartile"] == pytest.approx(0.75 * min(ends) + 0.25 * max(ends))
    assert "epoch" not in table.index and "median" in repr(found)


def test_a_call_continues_what_was_interrupted_and_refuses_other_options(digits, tmp_path):
    whole = pv.fit_seeds(build, digits, seeds=range(2), epochs=2, out=tmp_path / "whole", **SHORT)

    class Stop(pv.train.Callback):
        def on_epoch_end(self, run, metrics):
            signal.raise_signal(signal.SIGINT)

    broken = pv.fit_seeds(build, digits, seeds=range(2), epochs=2, out=tmp_path / "part", callbacks=[Stop()], **SHORT)
    assert broken.unfinished and len(broken) == 1
    again = pv.fit_seeds(build, digits, seeds=range(2), epochs=2, out=tmp_path / "part", callbacks=[], **SHORT)
    assert not again.unfinished and len(again) == 2
    for run, other in zip(whole.runs, again.runs, strict=True):
        for one, two in zip(run.guide.parameters(), other.guide.parameters(), strict=True):
            assert torch.equal(one, two)
    with pytest.raises(RunError, match="seed-0 is a run trained with lr 0.001, not 0.1"):
        pv.fit_seeds(build, digits, seeds=range(2), epochs=2, lr=0.1, out=tmp_path / "part", **SHORT)


def test_bad_calls_are_refused(digits):
    for seeds in ([], [1, 1]):
        with pytest.raises(OptionError, match="expected at least one seed, each once"):
            pv.fit_seeds(build, digits, seeds=seeds)
    with pytest.raises(OptionError, match="no option seed beside it"):
        pv.fit_seeds(build, digits, seed=3)
    with pytest.raises(ContractError, match="expected a function of the data's description"):
        pv.fit_seeds(build(digits.spec), digits)


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = ["--epochs", "1", "--latent_dim", "2", "--batch_size", "400", "--progress", "false"]
    assert main(["train", "vae", "--data", "digits", "--seeds", "2", "--seed", "5", *short]) == 0
    said = capsys.readouterr().out
    assert "2 runs of one pair" in said and "median" in said and "runs/vae/seed-5" in said
    assert sorted(path.name for path in (tmp_path / "runs/vae").iterdir()) == ["seed-5", "seed-6"]
    assert main(["train", "vae", "--data", "digits", "--seeds", "0"]) != 0
    assert "--seeds is 0; expected a whole number of at least 1" in capsys.readouterr().err
