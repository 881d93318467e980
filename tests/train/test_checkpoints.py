"""Checkpoints: exact resume after a kill and with more epochs, refusals, full disks, damage, earlier layouts."""

from __future__ import annotations

import csv
import resource
import signal
import textwrap
from pathlib import Path

import pyro.infer
import pytest
import torch
from fits import assert_same, comparable, quiet, small, state
from forked import run_script

import pyrovae as pv
from pyrovae.errors import OptionError, RunError
from pyrovae.files import load_state, read_json, save_state, write_json

SCRIPT = textwrap.dedent("""
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from fits import RESUMED, quiet, small
    import pyrovae as pv

    class Killed(pv.train.Callback):
        def on_step_end(self, run, step, bound):
            if step == 11:
                os.kill(os.getpid(), signal.SIGKILL)

    data = pv.data.load("digits")
    quiet(small(data), data, **RESUMED, callbacks=[Killed()], out={out!r})
""")


def test_a_killed_run_resumes_bitwise(whole, tmp_path):
    killed, tests = tmp_path / "killed", str(Path(__file__).parent.parent)
    assert run_script(SCRIPT.format(tests=tests, out=str(killed))) == -signal.SIGKILL
    assert load_state(killed / "checkpoint.safetensors")["step"] == 10  # within the fourth epoch
    run = pv.resume(killed, callbacks=[], progress=False)
    assert run.stopped == "finished" and len(run.history) == 6
    assert_same(comparable(killed), comparable(whole))
    rows = [list(csv.DictReader((folder / "metrics.csv").read_text().splitlines())) for folder in (whole, killed)]
    assert [{**row, "seconds": 0} for row in rows[0]] == [{**row, "seconds": 0} for row in rows[1]]


def test_resume_with_more_epochs_equals_the_longer_run(digits, tmp_path):
    long, options = small(digits), {"batch_size": 433, "seed": 2}
    quiet(long, digits, epochs=5, **options, out=tmp_path / "long")
    quiet(small(digits), digits, epochs=2, **options, out=tmp_path / "short")
    run = pv.resume(tmp_path / "short", epochs=5, progress=False)
    assert_same(state(run.pair), state(long))
    assert pv.load(tmp_path / "short").config["fit"]["epochs"] == 5
    with pytest.raises(OptionError, match="is at step 15 already, beyond the 3 asked for"):
        pv.resume(tmp_path / "short", epochs=1)
    with pytest.raises(OptionError, match="epochs is 0; expected a whole number"):
        pv.resume(tmp_path / "short", epochs=0)
    with pytest.raises(OptionError, match="no argument of resume is called 'epoch'; did you mean 'epochs'"):
        pv.resume(tmp_path / "short", epoch=7)
    assert pv.load(tmp_path / "short").config["fit"]["epochs"] == 5


def test_a_run_of_the_earlier_layout_loads_and_resumes_bitwise(digits, tmp_path):
    """One optimizer and scheduler, the warm-up's share as beta, the best by the validation bound, fewer settings."""
    options = {"batch_size": 433, "kl_warmup": 1, "patience": 9, "objective": "elbo:beta=2"}
    whole = quiet(small(digits), digits, epochs=4, **options)
    quiet(small(digits), digits, epochs=2, **options, out=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    saved, config = load_state(path), read_json(tmp_path / "run" / "config.json")
    for name in ("sums", "callbacks"):
        saved.pop(name)
    saved["optimizer"], saved["scheduler"] = saved.pop("optimizers")["pair"], None
    saved.pop("schedulers")
    saved["best"]["valid"] = saved["best"].pop("value")
    saved["best"].pop("monitor")
    for row in saved["history"]:
        seconds = row.pop("seconds")
        row |= {"beta": row["beta"] / 2, "seconds": seconds}
    for name in ("schedule", "optimizers", "callbacks"):
        config["fit"].pop(name)
    save_state(path, saved)
    write_json(tmp_path / "run" / "config.json", config)

    loaded = pv.load(tmp_path / "run")
    assert loaded.weights == "best" and loaded.best_epoch == 2 and len(loaded.history) == 2
    again = pv.resume(tmp_path / "run", epochs=4, progress=False)
    assert_same(state(again.pair), state(whole.pair))
    columns = [name for name in whole.history.columns if name != "seconds"]
    assert again.history[columns].equals(whole.history[columns])


def test_resume_refuses_other_data(tmp_path):
    x = torch.randn(50, 3)
    pair = pv.pairs.vae(pv.data.as_data(x).spec, hidden=[5], latent_dim=2)
    quiet(pair, x, epochs=1, out=tmp_path / "run")
    with pytest.raises(RunError, match="data from memory; give them as data="):
        pv.resume(tmp_path / "run")
    with pytest.raises(RunError, match="fingerprints differ"):
        pv.resume(tmp_path / "run", data=x + 1)


def test_objects_of_training_must_be_given_again(digits, tmp_path):
    quiet(small(digits), digits, pyro.infer.Trace_ELBO(), steps=1, out=tmp_path / "run")
    with pytest.raises(RunError, match="trained with an object for objective, .*Trace_ELBO.*; give objective=... again."):
        pv.resume(tmp_path / "run", progress=False)
    run = pv.resume(tmp_path / "run", steps=2, objective=pyro.infer.Trace_ELBO(), progress=False)
    assert run.step == 2 and len(run.history) == 2


def test_run_folders_are_not_overwritten_or_half_made(few, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="exists and is not empty"):
        quiet(small(few), few, epochs=1, out=tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot make run folder"):
        quiet(small(few), few, epochs=1, out=tmp_path / "file" / "run")


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(few, tmp_path):
    """The largest file the process may write is set below a checkpoint's size, once one has been written."""
    pair = small(few, hidden=[150])
    quiet(pair, few, steps=2, out=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = 100_000
    assert path.stat().st_size > 2 * limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(RunError, match="cannot write .*File too large.*is kept"):
            pv.resume(tmp_path / "run", steps=4, pair=pair, data=few, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert load_state(path)["step"] == 2
    assert [p.name for p in (tmp_path / "run").iterdir() if p.name.endswith(".tmp")] == []


def test_corrupt_and_truncated_checkpoints_are_refused_and_not_touched(digits, tmp_path):
    quiet(small(digits), digits, steps=1, out=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:10], b"", b"\x00" * len(whole)):
        path.write_bytes(broken)
        with pytest.raises(RunError, match="corrupt or truncated"):
            pv.load(tmp_path / "run")
        assert path.read_bytes() == broken
    path.unlink()
    with pytest.raises(RunError, match="is missing"):
        pv.load(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        pv.load(tmp_path / "run")
