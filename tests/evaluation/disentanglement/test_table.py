"""The table of a trained pair, in Python and on the command line."""

from __future__ import annotations

import json
import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from known_codes import grid, perfect

import pyrovae as pv
from pyrovae import cli
from pyrovae.errors import PyrovaeError

FACTORS = np.tile(grid(2, 2, 3), (12, 1))
X = torch.from_numpy(perfect(FACTORS)).float()
DATA = pv.data.load(
    {"x": X, "left": FACTORS[:, 0], "right": FACTORS[:, 1], "up": FACTORS[:, 2], "still": np.zeros(len(X), int)},
    kinds={"left": "category:2", "right": "category:2"},
)


def model(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


def guide(x):
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.Normal(x, 0.01).to_event(1))


def full(x):
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.MultivariateNormal(x, 0.01 * torch.eye(3)))


@pytest.fixture(scope="module")
def found():
    return pv.disentanglement_scores((model, guide), DATA, num_votes=200, importance="lasso")


def test_a_perfect_pair_reaches_the_ceilings(found):
    assert found.factors == ("left", "right", "up") and found.left_out == ("still",) and found.num_data == len(X)
    assert found.active.tolist() == [True] * 3
    for score in found.scores:
        assert score.value == pytest.approx(score.ceiling, abs=0.01), score
    log_n = math.log(12)  # as many codes as combinations of factors
    assert found.posterior.mutual_information.mean == pytest.approx(log_n, abs=1e-3)
    assert abs(found.posterior.total_correlation.mean) < 4 * found.posterior.total_correlation.standard_error + 1e-3


def test_the_table_is_printed_and_read_again(found):
    lines = repr(found).splitlines()
    assert "still has one value" in lines[0] and "3 of 3 codes active" in lines[0]
    for name in ("MIG", "MIG, binned, without left, right", "SAP, locatello2019", "DCI disentanglement", "IRS"):
        assert any(line.startswith(f"{name} ") for line in lines), name
        assert found[name].name == name
    assert len({score.name for score in found.scores}) == len(found.scores)
    assert "mutual information" in lines[-1]
    told = json.loads(json.dumps(found.to_json()))
    assert told["scores"]["MIG"]["ceiling"] == pytest.approx(1) and told["mutual_information"]["mean"] > 2
    with pytest.raises(PyrovaeError, match="did you mean 'SAP'"):
        found["SAPP"]


def test_without_a_mixture_the_reason_is_said():
    told = pv.disentanglement_scores((model, full), DATA, ["left", "right"], "z", num_data=100, num_votes=100, importance=None)
    assert all("DCI" not in score.name for score in told.scores)
    assert told.posterior is None and told.num_data == 100 and told.factors == ("left", "right")
    assert "no product over its dimensions" in repr(told).splitlines()[-1]
    assert told.to_json()["reason"] and all(score.name != "MIG" for score in told.scores)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"factors": ["left", "rihgt"]}, "did you mean 'right'"),
        ({"factors": ["left"]}, "two at least"),
        ({"site": "y"}, "site"),
        ({"data": X}, "two at least"),
        ({"data": None}, "needs data"),
        ({"num_data": 4}, "4 rows"),
        ({"importance": "trees", "num_votes": 2}, "source of importance"),
    ],
)
def test_what_has_no_factors_or_codes_is_refused(options, told):
    with pytest.raises(PyrovaeError, match=told) as caught:
        pv.disentanglement_scores((model, guide), **{"data": DATA, **options})
    assert "\n" not in str(caught.value)


def test_the_command_line_prints_and_writes_the_table(tmp_path, capsys, monkeypatch):
    np.savez(tmp_path / "toy.npz", x=X.numpy(), left=FACTORS[:, 0], right=FACTORS[:, 1])
    train = ["train", "vae", "--data", str(tmp_path / "toy.npz"), "--steps", "2", "--out", str(tmp_path / "run")]
    assert cli.main([*train, "--latent_dim", "2", "--hidden", "[4]", "--progress", "false"]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", str(tmp_path / "run"), "--disentanglement", "--importance", "lasso"]) == 0
    out = capsys.readouterr().out
    assert "MIG, binned" in out and "144 data of 2 factors: left, right" in out and "log p(x)" not in out
    told = json.loads((tmp_path / "run/disentanglement.json").read_text())
    assert told["split"] is None and told["scores"]["SAP"]["ceiling"] == pytest.approx(1)
    monkeypatch.setattr("pyrovae.cli.pictures.write_report", lambda run, **shown: shown["disentanglement"]["scores"].keys())
    assert cli.main(["report", str(tmp_path / "run")]) == 0 and "'SAP'" in capsys.readouterr().out
    assert cli.main(["evaluate", str(tmp_path / "run"), "--disentanglement", "--method", "ais"]) != 0
    assert "--method has no use with --disentanglement" in capsys.readouterr().err
    assert cli.main(["evaluate", str(tmp_path / "run"), "--importance", "lasso"]) != 0
    assert "--importance is of --disentanglement" in capsys.readouterr().err
