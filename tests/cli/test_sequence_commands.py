"""Sequences at the command line: from nothing and from the test data, as pictures, arrays and music."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
import torch

import pyrovae as pv
from pyrovae.cli import main


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sequences")
    torch.manual_seed(0)
    data = pv.data.load("digits")
    pair = pv.pairs.vrnn(data.spec, latent_dim=2, recurrent_dim=4, hidden=[5])
    pv.fit(pair, data, steps=2, out=folder / "run", progress=False, tensorboard=False, compile=False)
    return folder


def run_main(words, here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    code = main(words.split())
    return code, capsys.readouterr()


def test_sequences_go_on_from_the_test_data_or_from_nothing(here, monkeypatch, capsys):
    words = "sample run --given data --beginning 3 --num_steps 11 --num 2"
    for out in ("x.png", "x.npz", "x.mid"):
        code, said = run_main(f"{words} --out {out}", here, monkeypatch, capsys)
        assert code == 0 and f"2 samples in {out}" in said.out, said.err
    with np.load(here / "x.npz") as arrays:
        assert (
            arrays["x"].shape == (2, 11, 8)
            and set(np.unique(arrays["x"])) <= {0.0, 1.0}
            and arrays["lengths"].tolist() == [3, 3]
        )
    assert matplotlib.image.imread(here / "x.png").std() > 0.05
    assert {path.name for path in here.glob("x-*.mid")} == {"x-1.mid", "x-2.mid"}
    assert run_main("sample run --num_steps 20 --num 3 --out long.npz", here, monkeypatch, capsys)[0] == 0
    with np.load(here / "long.npz") as arrays:
        assert arrays["x"].shape == (3, 20, 8) and arrays["z"].shape == (3, 20, 2)
    assert run_main("sample run --num 1 --out one.mid", here, monkeypatch, capsys)[0] == 0
    assert (here / "one.mid").read_bytes()[:4] == b"MThd"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--given data", "say --num_steps, how far"),
        ("--beginning 3 --num_steps 2", "it goes with --given data"),
        ("--num_steps 0", "both are at least 1"),
        ("--num_steps 2 --by_site z", "leave --by_site and --given with values out"),
        ("--given nope --num_steps 2", "--given is nope"),
    ],
)
def test_what_does_not_go_together_is_refused(words, message, here, monkeypatch, capsys):
    code, said = run_main(f"sample run {words}", here, monkeypatch, capsys)
    assert code == 2 and message in said.err
