"""Files: memory maps, forms, damages."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from data_sets import GOOD, NAN, grey_images, one_sentence

from pyrovae.data import DataSpec, KeySpec, as_data, as_split, load
from pyrovae.data.columns import Mapped
from pyrovae.errors import DataError


@pytest.mark.parametrize("form", ["npy", "npz", "npz in Fortran order"])
def test_memory_maps(tmp_path, form):
    x = np.random.default_rng(0).random((40, 3, 5), dtype=np.float32)
    y = np.arange(40) % 4
    if form == "npy":
        np.save(tmp_path / "rows.npy", x)
        data = load(tmp_path / "rows.npy")
    else:
        np.savez(tmp_path / "rows.npz", x=np.asfortranarray(x) if "Fortran" in form else x, y=y)
        data = load(str(tmp_path / "rows.npz"))
    assert (len(data.train), len(data.valid), len(data.test)) == (32, 4, 4)
    seen = []
    for part in (data.train, data.valid, data.test):
        column = part.store.columns["x"]
        assert isinstance(column, Mapped) and isinstance(column.array, np.memmap)
        for batch in part.epoch(7, seed=0, epoch=1):
            rows = column.rows[batch["index"].numpy()]
            seen.extend(rows.tolist())
            assert np.array_equal(batch["x"].numpy(), x[rows])
            assert form == "npy" or np.array_equal(batch["y"].numpy(), y[rows])
    assert sorted(seen) == list(range(40))
    assert load(**json.loads(json.dumps(data.source))).fingerprint() == data.fingerprint()


def test_npz_forms(tmp_path):
    x = grey_images(12).reshape(12, -1)
    np.savez_compressed(
        tmp_path / "a.npz",
        x_train=x,
        x_valid=x[:5],
        x_test=x[:4],
        y_train=np.arange(12) % 3,
        y_valid=np.arange(5),
        y_test=np.arange(4),
    )
    np.savez(tmp_path / "b.npz", train=x, test=x[:4])
    a, b = load(tmp_path / "a.npz", binarization="dynamic"), load(tmp_path / "b.npz")
    assert isinstance(a.train.store.columns["x"], torch.Tensor) and isinstance(b.train.store.columns["x"], Mapped)
    x_as_drawn = {"x": KeySpec((784,), "binary", size=256)}
    assert a.spec == DataSpec("a", classes=5, binarization="dynamic", keys=x_as_drawn) and len(a.test) == 4
    assert b.valid is None and torch.equal(b.test["x"], torch.from_numpy(x[:4]).float() / 255)


def test_fingerprint_changes_with_content(tmp_path):
    x = np.random.default_rng(0).random((50, 4), dtype=np.float32)
    changed = x.copy()
    changed[49, 3] += 0.001
    assert as_data(x).fingerprint() == as_data(x.copy()).fingerprint() != as_data(changed).fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", as_data(x).fingerprint())
    for name, array in (("a.npy", x), ("b.npy", changed)):
        np.save(tmp_path / name, array)
    assert as_data(tmp_path / "a.npy").train.fingerprint() != as_data(tmp_path / "b.npy", seed=1).train.fingerprint()
    assert as_split({"x": x, "y": np.zeros(50)}).fingerprint() != as_split(x).fingerprint()


def damaged_files(folder):
    np.save(folder / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(folder / "objects.npz", x=np.array([{}], dtype=object))
    np.save(folder / "cut.npy", GOOD)
    np.savez(folder / "cut.npz", x=GOOD)
    for name in ("cut.npy", "cut.npz"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-50])
    (folder / "zero.npy").write_bytes(b"")
    (folder / "text.npz").write_text("hello")
    (folder / "table.csv").write_text("1,2")
    (folder / "table.xls").write_text("1,2")
    (folder / "folder").mkdir()
    np.savez(folder / "keys.npz", x_train=GOOD, y=GOOD)
    np.savez(folder / "nothing.npz")
    np.savez(folder / "half.npz", x_train=GOOD, y_test=GOOD)
    np.savez(folder / "nan.npz", train=GOOD, test=NAN)
    np.save(folder / "dates.npy", np.array(["2020-01-01"], dtype="datetime64[D]"))
    np.savez(folder / "empty.npz", x=GOOD[:0])
    np.savez(folder / "number.npz", x=3)
    np.savez(folder / "lengths.npz", x=GOOD, y=np.zeros(3))


FILES = {
    "objects.npy": "Python objects",
    "objects.npz": "key 'x'.*Python objects",
    "cut.npy": "no whole .npy file",
    "cut.npz": "no whole .npz file",
    "zero.npy": "no whole .npy file",
    "text.npz": "no whole .npz file",
    "table.csv": "holds no rows",
    "table.xls": "a .xls file",
    "folder": "holds no images",
    "keys.npz": "x_train, y; expected x",
    "nothing.npz": "none; expected x",
    "half.npz": "x_train, y_test; expected",
    "nan.npz": r"\(test\).*row 7",
    "dates.npy": "dtype datetime64",
    "empty.npz": "empty, of shape",
    "number.npz": "single number",
    "lengths.npz": "10 rows of x but 3 of y",
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(tmp_path, name):
    damaged_files(tmp_path)
    with pytest.raises(DataError, match=FILES[name]) as caught:
        load(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and one_sentence(caught.value)
