"""Run folders under stress: dead before the first checkpoint, two that resume, damaged files, a stage of other options."""

from __future__ import annotations

import json
import os
import threading

import pytest
import torch
from fits import quiet, small

import pyrovae as pv
from pyrovae.errors import PyrovaeError, RunError
from pyrovae.files import load_state, locked, save_state, write_json


@pytest.fixture(scope="module")
def digits():
    return pv.data.load("digits")


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    quiet(small(digits), digits, steps=2, out=folder)
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    for name in ("config.json", "checkpoint.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    return tmp_path


def test_a_folder_whose_run_died_before_its_first_checkpoint_is_started_again(digits, tmp_path):
    out = tmp_path / "run"
    quiet(small(digits), digits, steps=1, out=out)
    (out / "checkpoint.safetensors").unlink()
    (out / ".checkpoint.safetensors.0123.tmp").write_bytes(b"half")
    with pytest.raises(RunError, match=r"checkpoint.safetensors is missing: the run died before its first one.*train into"):
        pv.resume(out, progress=False)
    again = quiet(small(digits), digits, steps=2, out=out)
    assert again.step == 2 and pv.load(out).step == 2
    assert not [each for each in os.listdir(out) if each.endswith(".tmp")]
    (out / "checkpoint.safetensors").unlink()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="exists and is not empty"):
        quiet(small(digits), digits, steps=1, out=out)
    assert (out / "notes.txt").exists()


def test_of_two_that_resume_a_run_one_is_refused(copied):
    with locked(copied), pytest.raises(RunError, match="is being trained by another process"):
        pv.resume(copied, steps=4, progress=False)
    run = pv.resume(copied, steps=4, progress=False)
    assert run.step == 4 and pv.load(copied).step == 4


def test_damaged_files_are_told_in_one_sentence(copied):
    whole, config = load_state(copied / "checkpoint.safetensors"), json.loads((copied / "config.json").read_text())
    first = next(iter(whole["tensors"]))
    double = whole["tensors"] | {first: whole["tensors"][first].double()}
    lost = whole["tensors"] | {first: torch.full_like(whole["tensors"][first], torch.nan)}
    states = [{name: value for name, value in whole.items() if name != left} for left in whole]
    states += [whole | {name: None} for name in ("step", "history", "best", "tensors", "random", "optimizers")]
    states += [[], whole | {"tensors": double}, whole | {"tensors": lost}, whole | {"best": {"epoch": 3}}]
    for state in states:
        save_state(copied / "checkpoint.safetensors", state)
        try:
            pv.resume(copied, steps=3, progress=False)
        except PyrovaeError as error:
            assert str(copied) in str(error)
        else:  # what earlier versions did not write, or this run has none of
            assert isinstance(state, dict) and whole.keys() - state.keys() <= {"callbacks", "random_others", "sums"}
        write_json(copied / "config.json", config)
    save_state(copied / "checkpoint.safetensors", whole)
    for broken in (*({n: v for n, v in config.items() if n != left} for left in ("pair", "data", "fit")), [], {"pair": 3}):
        write_json(copied / "config.json", broken)
        with pytest.raises(RunError, match=r"config.json"):
            pv.load(copied)


def test_stages_of_other_options_or_data_are_refused(digits, tmp_path):
    build = lambda spec: pv.pairs.m1_m2(spec, latent_dim=2, hidden=[8])  # noqa: E731
    labelled = pv.data.load("digits", transforms=["few-labels:num_labels=50"])
    options = {"epochs": 1, "batch_size": 400, "progress": False, "compile": False, "tensorboard": False}
    pv.fit_stages(build, labelled, out=tmp_path / "run", **options)
    for changed, message in (({"lr": 0.01}, "lr 0.001, not 0.01"), ({"epochs": 2}, "epochs 1, not 2")):
        with pytest.raises(RunError, match=f"run-stage-1 is a stage trained with {message}; give another out, or remove it"):
            pv.fit_stages(build, labelled, out=tmp_path / "run", **{**options, **changed})
    other = pv.data.load("digits", transforms=["few-labels:num_labels=60"])
    with pytest.raises(RunError, match="is a stage trained on other data"):
        pv.fit_stages(build, other, out=tmp_path / "run", **options)


def test_fits_leave_no_thread_behind(digits, tmp_path):
    before = threading.active_count()
    quiet(small(digits), digits, steps=1, out=tmp_path / "run", tensorboard=True)
    assert threading.active_count() == before and (tmp_path / "run" / "tensorboard").is_dir()
