"""Fits by a compiled step: the runs, checkpoints and refusals of eager ones."""

from __future__ import annotations

import exact
import pytest
import torch
from fits import quiet, small

import pyrovae as pv
from pyrovae.compile import CompiledStep
from pyrovae.core.parameters import parameters
from pyrovae.errors import NonFiniteError
from pyrovae.files import load_state

pytestmark = pytest.mark.usefixtures("interpreted")


@pytest.mark.parametrize("options", [{}, {"kl_warmup": 2.0, "clip_norm": 1.0, "scheduler": "CosineAnnealingLR"}])
def test_fit_compiled_is_fit(digits, options):
    if "scheduler" in options:
        options = {**options, "scheduler_options": {"T_max": 40}, "scheduler_interval": "step"}
    runs = [quiet(small(digits), digits, epochs=3, compile=compile, **options) for compile in (False, True)]
    assert [run.config["compiled"]["backend"] for run in runs] == ["eager", "inductor"]
    for rows in zip(*(run.records for run in runs), strict=True):
        for key in ("train", "valid", "lr", "beta"):
            assert rows[0][key] == pytest.approx(rows[1][key], rel=1e-4)


def test_a_compiled_run_resumes_bitwise_with_its_choices(digits, tmp_path):
    whole = quiet(small(digits), digits, epochs=4, compile=True, out=tmp_path / "whole")
    quiet(small(digits), digits, epochs=2, compile=True, out=tmp_path / "part")
    run = pv.resume(tmp_path / "part", epochs=4, progress=False)
    for name, value in parameters(run.model, run.guide).items():
        assert torch.equal(value, parameters(whole.model, whole.guide)[name]), name
    ours, theirs = (load_state(tmp_path / name / "checkpoint.safetensors")["optimizers"]["pair"] for name in ("whole", "part"))
    for i, state in ours["state"].items():
        assert all(torch.equal(state[key], theirs["state"][i][key]) for key in state)
    assert run.config["compiled"] == whole.config["compiled"]
    loaded = pv.load(tmp_path / "part")
    assert loaded.config["compiled"]["backend"] == "inductor" and loaded.config["fit"]["compile"] is True


def test_short_runs_are_not_compiled_unless_asked(digits, monkeypatch):
    assert quiet(small(digits), digits, epochs=1).config["compiled"]["backend"] == "eager"
    asked = []
    monkeypatch.setattr(CompiledStep, "compile", lambda self, *args, **options: asked.append(options["asked"]))
    few = exact.linear_gaussian(2, 4, rows=100)
    quiet((few.model, few.guide), few.batch["x"], "iwae:num_particles=1600", steps=13, validate=False)  # x 100 data
    assert asked == [False]


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_a_compiled_run_names_the_batch_at_which_the_bound_was_lost(tmp_path):
    pair = exact.linear_gaussian(2, 4, rows=60)
    x = pair.batch["x"].clone()
    x[:] = x.clamp(-3, 3)
    x[-1] = 1e20  # its square is no float32
    messages = []
    for compile in (False, True):
        torch.manual_seed(0)
        fresh = exact.linear_gaussian(2, 4, rows=60)
        with pytest.raises(NonFiniteError, match=r"batch \d+ of epoch 1 \(step \d+\), rows .*59.*site") as error:
            quiet((fresh.model, exact.Affine(4, 2)), ({"x": x}, {"x": x[:5]}), epochs=3, batch_size=5, compile=compile)
        messages.append(str(error.value))
        assert all(torch.isfinite(p).all() for p in parameters(fresh.model, fresh.guide).values())
    assert messages[0] == messages[1]
