"""``pyrovae train``: every setting of fit is an option, and a signal ends the command with its own code."""

from __future__ import annotations

import textwrap
from dataclasses import fields

import numpy as np
import pytest

from pyrovae.cli import main
from pyrovae.files import read_json
from pyrovae.train import FitSettings

SIGNALLED = textwrap.dedent("""
    import os, signal
    import torch
    import pyrovae as pv

    def build(spec, number: int = 0):
        torch.manual_seed(0)
        pair = pv.pairs.linear_gaussian(spec, latent_dim=2)
        calls, goes_on = [], os.path.exists("run")

        def signalled(module, inputs):  # in training, after the pair is checked
            calls.append(0)
            if number and not goes_on and len(calls) == 30:
                os.kill(os.getpid(), number)

        pair.model.register_forward_pre_hook(signalled)
        return pair.model, pair.guide
""")


def test_every_setting_of_fit_is_an_option(capsys):
    assert main(["train", "vae", "--help"]) == 0
    said = capsys.readouterr().out
    assert [each.name for each in fields(FitSettings) if f"--{each.name} " not in said] == ["callbacks"]


@pytest.mark.parametrize(("number", "code", "said"), [(2, 130, "interrupted"), (15, 143, "terminated")])
def test_a_signal_ends_the_command_with_its_code(tmp_path, monkeypatch, capsys, number, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(100, 4)).astype("float32"))
    line = f"train signalled.py:build --data x.npy --number {number} --epochs 50 --batch_size 20 --out run --progress false"
    assert main(line.split()) == code
    out = capsys.readouterr()
    assert f"{said}; continue with: pyrovae resume run" in out.out and "training did not finish" in out.err
    assert read_json(tmp_path / "run" / "config.json")["fit"]["epochs"] == 50
    assert main(["resume", "run", "--epochs", "5"]) == 0, capsys.readouterr().err
