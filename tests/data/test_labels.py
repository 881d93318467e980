"""Labels of any form become classes 0..C-1 once, keep their names, and are read so ever after."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas
import pytest
import torch

import pyrovae as pv
from pyrovae.data import DataSpec, as_split, load
from pyrovae.errors import DataError

X = np.random.default_rng(0).random((60, 4)).astype("float32")
CODES = np.arange(60) % 3
FORMS = {
    "0..2": (CODES, None),
    "1..3": (CODES + 1, (1, 2, 3)),
    "with gaps": ((CODES + 1) * 10, (10, 20, 30)),
    "strings": (np.array(["ape", "bee", "cat"])[CODES], ("ape", "bee", "cat")),
    "a list of strings": (np.array(["ape", "bee", "cat"])[CODES].tolist(), ("ape", "bee", "cat")),
    "objects": (np.array(["ape", "bee", "cat"], dtype=object)[CODES], ("ape", "bee", "cat")),
    "(N, 1)": (CODES[:, None], None),
    "one-hot": (np.eye(3)[CODES], None),
    "one-hot integers": (np.eye(3, dtype=int)[CODES], None),
    "some unknown": (np.where(np.arange(60) < 6, -1, CODES + 5), (5, 6, 7)),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_of_every_form_are_classes(form):
    y, labels = FORMS[form]
    data = load(({"x": X, "y": y}, {"x": X, "y": y}))
    known = data.spec.keys["y"]
    assert (data.spec.classes, known.labels, known.shape) == (3, labels, ())
    expected = np.where(np.arange(60) < 6, -1, CODES) if form == "some unknown" else CODES
    assert torch.equal(data.train["y"], torch.tensor(expected))
    assert DataSpec.from_json(json.loads(json.dumps(data.spec.to_json()))) == data.spec
    again = as_split({"x": X, "y": y}, like=data.spec)  # new data, as the user has them
    assert torch.equal(again["y"], data.train["y"])
    assert torch.equal(as_split(data.train[:9], like=data.spec)["y"], data.train["y"][:9])  # a batch, already numbered
    assert known.named([1, -1]) == [(labels or (0, 1, 2))[1], None]


def test_parts_share_one_numbering():
    data = load(({"x": X, "y": np.array(["b", "c"] * 30)}, {"x": X[:2], "y": np.array(["a", "c"])}))
    assert data.spec.keys["y"].labels == ("a", "b", "c") and data.valid["y"].tolist() == [0, 2]


def test_new_labels_that_are_not_known_are_refused_and_doubtful_ones_warned_of(caplog):
    spec = load({"x": X, "y": CODES + 1}).spec
    with pytest.raises(DataError, match="y holds label 7; expected one of 1, 2, 3"):
        as_split({"x": X[:2], "y": np.array([1, 7])}, like=spec)
    named = load({"x": X, "y": np.array(["a", "b"] * 30)}).spec
    with pytest.raises(DataError, match="y holds z; expected one of a, b"):
        as_split({"x": X[:2], "y": np.array(["a", "z"])}, like=named)
    with caplog.at_level(logging.WARNING, logger="pyrovae"):
        assert as_split({"x": X[:2], "y": np.array([1, 2])}, like=spec)["y"].tolist() == [0, 1]
    assert "read as labels 1..3" in caplog.text


def test_names_that_are_told_otherwise_or_are_none():
    with pytest.raises(DataError, match="told to have 5 classes and has 3"):
        load({"x": X, "y": np.array(["ape", "bee", "cat"])[CODES]}, kinds={"y": "category:5"})
    assert load({"x": X, "y": CODES}, kinds={"y": "category:5"}).spec.classes == 5
    whole = pandas.Series(CODES + 7, dtype="category")
    data = load({"x": X, "y": whole})
    assert data.spec.keys["y"].labels == (7, 8, 9) and json.dumps(data.spec.to_json())
    assert as_split({"x": X, "y": CODES + 7}, like=data.spec)["y"].tolist() == CODES.tolist()
    with pytest.raises(DataError, match="y holds Timestamp as a name"):
        load({"x": X, "y": pandas.Series([pandas.Timestamp("2020-01-01")] * 60, dtype="category")})


def test_rows_without_a_description_keep_their_numbers():
    assert as_split({"x": X[:2], "y": np.array([3, 5])})["y"].tolist() == [3, 5]
    assert as_split({"x": X, "y": np.eye(3)[CODES]})["y"].shape == (60, 3)  # as a program with one-hot classes takes them


@pytest.mark.parametrize(
    "y", [torch.rand(60), (torch.rand(60) > 0.5).double(), torch.randn(60, 2)], ids=["unit", "binary", "real"]
)
def test_an_outcome_that_is_no_class_is_a_key_like_any_other(y):
    data = load({"x": X, "y": y})
    assert data.spec.classes is None and data.spec.covariates == {"y": tuple(y.shape[1:])}
    assert data.train["y"].dtype == torch.float32
    with pytest.raises(DataError, match="no labels y"):
        pv.data.few_labels(data, num_labels=2)
    assert load({"x": X, "y": (y > 0.5).long()[:60].reshape(60, -1)[:, 0]}, kinds={"y": "binary"}).spec.classes is None


def test_a_run_keeps_the_labels_and_reads_new_ones_by_them(tmp_path):
    y = np.array(["ape", "bee", "cat"])[CODES]
    np.savez(tmp_path / "d.npz", x=(X > 0.5), y=y)
    data = load(tmp_path / "d.npz")
    pair = pv.pairs.m2(data.spec, latent_dim=2, hidden=[5])
    pv.fit(pair, data, epochs=1, progress=False, out=tmp_path / "run", tensorboard=False)
    run = pv.load(tmp_path / "run")
    assert run.data.spec == data.spec and run.data.fingerprint() == data.fingerprint()
    new = {"x": (X[:4] > 0.5), "y": y[:4]}
    result = pv.classify(run, new)
    assert result.labels.tolist() == CODES[:4].tolist() and result.names == ("ape", "bee", "cat")
    assert result.table()["label"].tolist() == ["ape", "bee", "cat"] and result.table()["rows"].sum() == 4
    with pytest.raises(DataError, match="y holds dog"):
        pv.classify(run, {"x": new["x"], "y": np.array(["dog"] * 4)})
