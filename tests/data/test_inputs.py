"""Everything that may come through the doors, with every option: a value that is as the description says, or one sentence."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from data_sets import one_sentence
from torch.utils.data import DataLoader, TensorDataset

from pyrovae.data import DataSpec, as_split, load
from pyrovae.errors import PyrovaeError

X = np.random.default_rng(0).random((20, 3))
WHOLE = np.arange(60).reshape(20, 3)
NAMES = ["a", "b"] * 10


def objects():
    """What users may hand over, made anew."""
    arrays = [X, WHOLE, X > 0.5, (WHOLE - 30).astype("int8"), X.astype("float16"), X[::-1], np.asfortranarray(X)]
    arrays += [np.full((20, 2), 2**63, dtype=np.uint64), np.where(X > 0.9, np.inf, X), np.where(X > 0.9, np.nan, X), X[:0]]
    arrays += [np.array(1.0), X[:, :0], X[:1], X * 1j, np.array([None] * 20), np.array(NAMES), np.array([NAMES] * 20)]
    arrays += [np.array(["2020-01-01"] * 20, dtype="M8[D]"), np.zeros(20, [("a", float)]), np.array([b"a"] * 20)]
    arrays += [np.ma.masked_array(X, X > 0.5), np.ma.masked_array(X, np.ones_like(X, bool)), np.broadcast_to(X[:1], (20, 3))]
    tensors = [torch.tensor(X).bfloat16(), torch.nn.Parameter(torch.ones(20, 2)), torch.ones(20, 3, device="meta")]
    tensors += [torch.tensor(X) * 1j, torch.eye(20).to_sparse(), scipy.sparse.csr_matrix(X), scipy.sparse.dok_matrix(X)]
    tensors += [scipy.sparse.csr_matrix((20, 3)), scipy.sparse.csr_matrix(X * 1j)]
    frames = [pandas.DataFrame(X), pandas.DataFrame({"a": X[:, 0], "b": NAMES}), pandas.DataFrame({"a": [1, "x"] * 10})]
    frames += [pandas.DataFrame(), pandas.DataFrame(X, columns=list("aab")), pandas.DataFrame({"a": [[1, 2]] * 20})]
    frames += [pandas.DataFrame({"a": [np.nan] * 20, "b": X[:, 0]}), pandas.Series(NAMES), pandas.Series(X[:, 0])]
    frames += [pandas.DataFrame({"a": pandas.array([True, None] * 10, dtype="boolean")})]
    frames += [pandas.DataFrame({"a": pandas.period_range("2020", periods=20, freq="M")})]
    labels = [X, np.array(["a", None] * 10, dtype=object), np.full(20, -1), np.arange(20) * 10**12, np.arange(20) % 2 == 0]
    dicts = [{"x": X, "y": y} for y in [*labels, np.where(X[:, 0] > 0.5, np.nan, 1.0), NAMES]]
    dicts += [{}, {"x": None}, {"x": [[1, 2]] * 20}, {"x": X, "c": NAMES}, {"x": np.arange(20.0)}, {"mask": X}, {"x": NAMES}]
    dicts += [{"x": X, "index": np.arange(20)}, {"train": {"x": X}, "test": {"x": X}}, {"x": WHOLE, "mask": X > 0.5}]
    loaders = [DataLoader(TensorDataset(torch.tensor(X)), batch_size=4), DataLoader([("a", 1)] * 20), DataLoader(range(20))]
    others = [None, 3, [], ["a", "b"], {1, 2}, range(20), b"abc", "nope.csv", [{"x": 1}] * 5, (X, X), (X, WHOLE), (X, None, X)]
    others += [(X, 3), ({"x": X}, {"x": X, "c": X}), ({"x": X, "y": NAMES}, {"x": X, "y": ["c", "b"] * 10})]
    return [*arrays, *tensors, *frames, *dicts, *loaders, *others]


LIKE = {
    "unit": X,
    "levels": np.arange(180, dtype=np.uint8).reshape(20, 3, 3),
    "labels": {"x": X, "y": NAMES},
    "table": pandas.DataFrame({"a": X[:, 0], "b": NAMES}),
    "holes": np.ma.masked_array(X, X > 0.5),
}
OPTIONS = [
    {},
    {"missing": "mask"},
    *({"kinds": {"x": kind}} for kind in ("count", "category", "levels", "tokens", "ordinal", "table")),
    {"kinds": {"y": "category"}},
    {"binarization": "dynamic"},
    {"columns": {"x": ["a", "b"], "y": "a"}},
    {"columns": {"x": []}},
    {"transforms": ["corrupt:process=masking"]},
    *({"like": name} for name in LIKE),
]


def look(data):
    """Every batch is as the description says, which is plain JSON."""
    for part in data.parts().values():
        for batch in islice(part.epoch(5, seed=0, epoch=0), 2) if part is not None else ():
            for key, known in data.spec.keys.items():
                assert (batch[key].dtype, tuple(batch[key].shape[1:])) == (getattr(torch, known.dtype), known.shape), key
                assert torch.isfinite(batch[key]).all()
    assert DataSpec.from_json(json.loads(json.dumps(data.spec.to_json()))) == data.spec and data.fingerprint() and repr(data)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_value_or_one_sentence(options):
    if "like" in options:
        like = LIKE[options["like"]]
        options = {"like": load(like, missing="mask" if isinstance(like, np.ma.MaskedArray) else None).spec}
    taken = 0
    for obj in objects():
        for door in (lambda obj: look(load(obj, **options)), lambda obj: list(as_split(obj, options.get("like")).batches(7))):
            try:
                door(obj)
                taken += 1
            except PyrovaeError as error:
                assert one_sentence(error), error
    assert taken
