"""Arrays of any form as data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_sets import Broken
from torch.utils.data import DataLoader, Subset, TensorDataset

from pyrovae.data import Split, as_data, as_split, load
from pyrovae.data.store import Arrays

KINDS = {
    "bool": (np.eye(4, dtype=bool), "binary", None),
    "uint8 of 0 and 1": (np.eye(4, dtype=np.uint8), "binary", None),
    "float of 0 and 1": (np.eye(4, dtype=np.float64), "binary", None),
    "int of 0 and 1": (np.eye(4, dtype=np.int64), "binary", None),
    "uint8": (np.arange(16, dtype=np.uint8).reshape(4, 4) * 17, "count", None),
    "uint8 images": (np.arange(64, dtype=np.uint8).reshape(4, 4, 4) * 4, "levels", 256),
    "flat uint8 images": (np.arange(256, dtype=np.uint8).reshape(4, 64), "levels", 256),
    "int in 0..255": (np.arange(16).reshape(4, 4), "count", None),
    "uint16 big-endian": (np.arange(16, dtype=">u2").reshape(4, 4), "count", None),
    "int beyond": (np.arange(16).reshape(4, 4) * 99, "count", None),
    "negative int": (np.arange(16).reshape(4, 4) - 3, "real", None),
    "unit": (np.linspace(0, 1, 16).reshape(4, 4), "unit", None),
    "float16 unit": (np.linspace(0, 1, 16, dtype=np.float16).reshape(4, 4), "unit", None),
    "real": (np.linspace(-1, 1, 16).reshape(4, 4), "real", None),
    "beyond one": (np.linspace(0, 2, 16).reshape(4, 4), "real", None),
}


@pytest.mark.parametrize("door", ["array", "tensor", "npy", "npz", "loader", "dataset"])
@pytest.mark.parametrize("case", KINDS)
def test_kinds(case, door, tmp_path):
    array, kind, levels = KINDS[case]
    native = array.astype(array.dtype.newbyteorder("="))
    x = native if door != "npy" else array
    if door == "npy":
        np.save(tmp_path / "x.npy", x)
    elif door == "npz":
        np.savez(tmp_path / "x.npz", train=x)
    as_tensor = torch.from_numpy(native.astype(np.int64) if native.dtype == np.uint16 else native)
    objects = {
        "array": array,
        "tensor": as_tensor,
        "npy": tmp_path / "x.npy",
        "npz": tmp_path / "x.npz",
        "loader": DataLoader(TensorDataset(as_tensor), batch_size=3),
        "dataset": Broken(list(as_tensor)),
    }
    data = as_data(objects[door], name="x")
    assert (data.spec.kind, data.spec.levels, data.spec.shape) == (kind, levels, array.shape[1:])
    batch = next(data.train.epoch(2, seed=0, epoch=0))["x"]
    assert batch.dtype == (torch.int64 if kind == "count" else torch.float32)
    rows = torch.from_numpy(native.astype(np.float32)) / (255 if levels else 1)
    assert all((row == rows).flatten(1).all(1).any() for row in batch)


def test_extra_keys_ride_along():
    obj = {"x": np.random.rand(10, 3), "y": [0, 1] * 5, "mask": torch.ones(10, 3, dtype=torch.bool)}
    obj["y"], obj["c"] = np.array(obj["y"]), torch.rand(10, 2, dtype=torch.float64)
    batch = next(as_split(obj).epoch(4, seed=0, epoch=0))
    assert batch["mask"].dtype == torch.bool and batch["c"].dtype == torch.float32
    assert torch.equal(batch["c"], obj["c"][batch["index"]].float()) and batch["x"].dtype == torch.float32
    assert as_data(obj).train.keys == ("x", "y", "mask", "c")


def test_as_data_and_as_split_forms(digits):
    x, y = torch.rand(20, 3), torch.arange(20) % 2
    assert load(digits) is as_data(digits) is digits and as_split(digits) is as_split(digits.test) is digits.test
    assert as_split("digits").fingerprint() == digits.test.fingerprint()
    assert len(as_split((x, x, x[:3]))) == 3 and load(digits.valid).train is digits.valid
    assert load(x, seed=3).fingerprint() == as_data(x, seed=3).fingerprint()
    batch = digits.test[[5, 2]]
    assert as_split(batch)[:]["index"].tolist() == [5, 2] and as_split(batch).subset([1])[:]["index"].tolist() == [0]
    assert as_data("digits").fingerprint() == digits.fingerprint()
    assert as_data("digits", binarization="none").spec.kind == "levels"
    three = as_data((x, {"x": x[:5]}, TensorDataset(x[:4])), name="mine")
    assert (len(three.train), len(three.valid), len(three.test), three.spec.name) == (20, 5, 4, "mine")
    assert as_data([x, None, x]).valid is None and three.source is None
    pairs = as_data(TensorDataset(x, y))
    assert isinstance(pairs.train.store, Arrays) and (len(pairs.train), len(pairs.test)) == (16, 2)
    some = as_split(Subset(TensorDataset(x, y), [3, 1]))
    assert torch.equal(some["x"], x[[3, 1]]) and some.spec.classes == 2
    assert isinstance(as_split(np.eye(3)), Split)
