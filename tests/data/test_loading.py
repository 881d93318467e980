"""Data: order and draws as functions of integers, kinds, files, downloads, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from pyrovae.data import DATASETS, Data, DataSpec, Split, Stream, as_data, as_split, load, named, names, remote
from pyrovae.data.store import Arrays, Mapped
from pyrovae.errors import DataError, OptionError, PyrovaeError

ROWS = {"train": 60, "valid": 10, "test": 12, "frey": 30}


def grey_images(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, 28, 28), dtype=np.uint8)


def write_idx(path, array: np.ndarray) -> None:
    head = np.array([0x0800 + array.ndim, *array.shape], ">u4").tobytes()
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(head + array.tobytes())


def write_sets(root) -> None:
    """Tiny sets in the layouts of the real ones."""
    for folder in ("MNIST/raw", "BinaryMNIST", "FreyFaces"):
        (root / folder).mkdir(parents=True)
    for part, rows in (("train", ROWS["train"]), ("t10k", ROWS["test"])):
        write_idx(root / f"MNIST/raw/{part}-images-idx3-ubyte.gz", grey_images(rows))
        write_idx(root / f"MNIST/raw/{part}-labels-idx1-ubyte.gz", np.arange(rows, dtype=np.uint8) % 10)
    for part in ("train", "valid", "test"):
        bits = grey_images(ROWS[part]).reshape(-1, 784) > 127
        np.savez_compressed(root / f"BinaryMNIST/binarized_mnist_{part}.npz", packed=np.packbits(bits, axis=1))
    faces = np.random.default_rng(1).integers(0, 256, (ROWS["frey"], 28, 20), dtype=np.uint8)
    np.savez_compressed(root / "FreyFaces/frey_faces.npz", images=faces)


def shrink(monkeypatch) -> None:
    """Let the loaders expect the sizes of ``write_sets``."""
    monkeypatch.setattr(named, "MNIST_ROWS", {"train": ROWS["train"], "t10k": ROWS["test"]})
    monkeypatch.setattr(named, "MNIST_VALID_ROWS", ROWS["valid"])
    monkeypatch.setattr(named, "BINARY_ROWS", {part: ROWS[part] for part in ("train", "valid", "test")})
    monkeypatch.setattr(named, "FREY_ROWS", ROWS["frey"])


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No test downloads: the cache is empty, and every address is a closed port of this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    for name, address in remote.ADDRESSES.items():
        closed = remote.Address(f"http://127.0.0.1:9/{name}", address.checksum)
        monkeypatch.setitem(remote.ADDRESSES, name, closed)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    shrink(monkeypatch)
    write_sets(tmp_path / "tiny")
    monkeypatch.setenv("PYROVAE_DATA", str(tmp_path / "tiny"))
    return tmp_path / "tiny"


@pytest.fixture
def sets(monkeypatch, tmp_path):
    """The real sets where PYROVAE_DATA is set, tiny ones otherwise; gives their sizes."""
    if os.environ.get("PYROVAE_DATA"):
        return {"mnist": (50_000, 10_000, 10_000), "frey-faces": (1565, 200, 200), "mean": 0.1307}
    shrink(monkeypatch)
    sizes = named.NAMED["frey-faces"]
    monkeypatch.setitem(named.NAMED, "frey-faces", named.Named(sizes.about, sizes.read, 256, sizes.allowed, (3, 3)))
    write_sets(tmp_path / "sets")
    monkeypatch.setenv("PYROVAE_DATA", str(tmp_path / "sets"))
    mnist = (ROWS["train"] - ROWS["valid"], ROWS["valid"], ROWS["test"])
    return {"mnist": mnist, "frey-faces": (24, 3, 3), "mean": 0.5}


@pytest.fixture
def server(tmp_path):
    """A folder served by HTTP on this machine, and its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}/"
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


def equal(left, right) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


class Squares(Dataset):
    """A map-style Dataset with a random transform."""

    def __len__(self):
        return 23

    def __getitem__(self, index):
        return torch.full((2, 2), float(index)) + torch.rand(2, 2), index % 3


class Endless(IterableDataset):
    def __iter__(self):
        return iter([torch.ones(3), torch.zeros(3)])


class Broken(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


# Specs and named sets


def test_spec_round_trips_through_json():
    spec = DataSpec("toy", (3, 4), "levels", levels=256, classes=10, binarization="none")
    assert DataSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_names_and_descriptions():
    assert set(names()) == set(DATASETS) == {"digits", "mnist", "mnist-60k", "binary-mnist", "frey-faces"}
    assert "binarization: dynamic" in DATASETS["mnist"]


def test_digits(digits):
    assert [len(part) for part in (digits.train, digits.valid, digits.test)] == [1297, 250, 250]
    assert digits.spec == DataSpec("digits", (8, 8), "binary", None, 10, "dynamic")
    assert repr(digits).count("\n") == 0 and "1,297 train" in repr(digits)
    grey = load("digits", binarization="none")
    assert grey.spec == DataSpec("digits", (8, 8), "levels", 17, 10, "none")
    assert torch.equal((grey.test["x"] * 16).round() / 16, grey.test["x"]) and grey.test["x"].max() == 1
    assert torch.equal(grey.test["y"], digits.test["y"])


@pytest.mark.parametrize("name", ["mnist", "frey-faces", "binary-mnist"])
def test_named_sizes(sets, name):
    data = load(name)
    expected = sets["frey-faces"] if name == "frey-faces" else sets["mnist"]
    if name == "binary-mnist" and len(data.train) == ROWS["train"]:
        expected = (ROWS["train"], ROWS["valid"], ROWS["test"])
    assert (len(data.train), len(data.valid), len(data.test)) == expected
    assert data.spec.shape == ((28, 20) if name == "frey-faces" else (28, 28))
    assert data.spec.kind == ("levels" if name == "frey-faces" else "binary")
    assert data.train.keys == (("x", "y") if name == "mnist" else ("x",))
    assert load(**json.loads(json.dumps(data.source))).fingerprint() == data.fingerprint()


def test_mnist_with_all_training_images(sets):
    data, parts = load("mnist-60k", binarization="none"), load("mnist", binarization="none")
    cut = len(parts.train)
    assert data.valid is None and len(data.train) == cut + len(parts.valid)
    assert torch.equal(data.train[cut:]["x"], parts.valid["x"]) and torch.equal(data.train[:5]["y"], parts.train[:5]["y"])
    assert torch.equal(data.test["x"], parts.test["x"])


def test_mnist_pixels(sets):
    data = load("mnist", binarization="none")
    assert data.spec == DataSpec("mnist", (28, 28), "levels", 256, 10, "none")
    assert float(data.train["x"].mean()) == pytest.approx(sets["mean"], abs=0.01)
    assert data.train["y"].dtype == torch.int64 and data.spec.classes == 10


def test_other_forms_of_the_files(tiny):
    before = {name: load(name).fingerprint() for name in ("mnist", "binary-mnist")}
    faces = np.load(tiny / "FreyFaces/frey_faces.npz")["images"]
    raw = tiny / "MNIST/raw/train-images-idx3-ubyte.gz"
    raw.with_suffix("").write_bytes(gzip.decompress(raw.read_bytes()))
    raw.unlink()
    for packed in (tiny / "BinaryMNIST").glob("*.npz"):
        np.savetxt(packed.with_suffix(".amat"), np.unpackbits(np.load(packed)["packed"], axis=1), fmt="%d")
        packed.unlink()
    savemat(tiny / "FreyFaces/frey_rawface.mat", {"ff": faces.reshape(len(faces), -1).T})
    (tiny / "FreyFaces/frey_faces.npz").unlink()
    assert {name: load(name).fingerprint() for name in before} == before
    assert np.array_equal(named.read_frey_faces(None)[""]["x"], faces)


# Order, draws, resume


def test_every_row_once_and_resume(digits):
    whole = list(digits.train.epoch(100, seed=3, epoch=5))
    assert len(whole) == digits.train.num_batches(100) == 13 and len(whole[-1]["x"]) == 97
    assert torch.cat([batch["index"] for batch in whole]).sort().values.equal(torch.arange(1297))
    tail = list(digits.train.epoch(100, seed=3, epoch=5, start=9))
    assert len(tail) == 4 and all(equal(*pair) for pair in zip(tail, whole[9:], strict=True))
    assert list(digits.train.epoch(100, seed=3, epoch=5, start=13)) == []
    assert whole[0]["x"].dtype == torch.float32 and whole[0]["y"].dtype == whole[0]["index"].dtype == torch.int64
    assert torch.equal(digits.train["y"][whole[2]["index"]], whole[2]["y"])


@pytest.mark.parametrize("other", [{"seed": 3, "epoch": 6}, {"seed": 4, "epoch": 5}])
def test_epochs_and_seeds_differ(digits, other):
    first, second = (next(digits.train.epoch(100, **each)) for each in ({"seed": 3, "epoch": 5}, other))
    assert not torch.equal(first["index"], second["index"])


def test_dynamic_draws_are_fresh_and_have_the_grey_mean(digits):
    grey = load("digits", binarization="none").train["x"]
    total, epochs = torch.zeros_like(grey), 20
    draws = []
    for epoch in range(epochs):
        drawn = torch.empty_like(grey)
        for batch in digits.train.epoch(256, seed=0, epoch=epoch):
            drawn[batch["index"]] = batch["x"]
        draws.append(drawn)
        total += drawn
    assert not torch.equal(draws[0], draws[1]) and set(total.unique().tolist()) <= set(range(epochs + 1))
    variance = (grey * (1 - grey) * epochs).sum()
    assert abs(float((total - epochs * grey).sum() / variance.sqrt())) < 4
    assert (total[grey == 1] == epochs).all() and (total[grey == 0] == 0).all()
    # Each level by itself, so that no level's probability is off.
    for level in grey.unique()[1:-1]:
        here = grey == level
        spread = (float(here.sum()) * epochs * level * (1 - level)).sqrt()
        assert abs(float((total[here].sum() - here.sum() * epochs * level) / spread)) < 5


def test_the_one_draw_of_a_dynamic_split(digits):
    in_order = torch.cat([batch["x"] for batch in digits.train.batches(77)])
    assert torch.equal(in_order, torch.cat([batch["x"] for batch in digits.train.batches(300)]))
    assert torch.equal(in_order, digits.train["x"])
    rows = torch.tensor([5, 1200, 5, -1])
    assert torch.equal(digits.train[rows]["x"], in_order[rows])


@pytest.mark.parametrize("binarization", ["dynamic", "fixed", "threshold"])
def test_valid_and_test_are_drawn_once(binarization):
    grey, data = load("digits", binarization="none"), load("digits", binarization=binarization)
    again, other = (load("digits", binarization=binarization, seed=seed) for seed in (0, 1))
    assert torch.equal(data.test["x"], again.test["x"]) and not torch.equal(data.test["x"], other.test["x"])
    epochs = [{}, {}]
    for number, rows in enumerate(epochs):
        for batch in data.test.epoch(100, seed=0, epoch=number):
            rows.update(zip(batch["index"].tolist(), batch["x"], strict=True))
    assert all(torch.equal(epochs[0][row], epochs[1][row]) for row in range(250))
    if binarization == "threshold":
        assert torch.equal(data.train["x"], (grey.train["x"] > 0.5).float())
    assert data.spec.binarization == binarization and set(data.train["x"].unique().tolist()) == {0, 1}


def test_dynamic_draw_of_real_valued_grey():
    x = torch.linspace(0, 1, 64).repeat(4000, 1)
    split = as_data((x, x[:10]), binarization="dynamic").train
    mean = torch.cat([batch["x"] for batch in split.epoch(500, seed=1, epoch=0)]).mean(0)
    score = (mean - x[0]) / (x[0] * (1 - x[0]) / 4000).sqrt().clamp_min(1e-9)
    assert score.abs().max() < 4.5


@pytest.mark.parametrize("kind", ["split", "items", "stream"])
def test_global_random_numbers_are_neither_used_nor_disturbed(digits, kind):
    loader = DataLoader(Squares(), batch_size=4, shuffle=True)
    part = {
        "split": lambda: digits.train,
        "items": lambda: as_split(Squares()),
        "stream": lambda: as_split(loader),
    }

    def use():
        return [*made.epoch(8, seed=1, epoch=2), *made.batches(8)]

    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    made = part[kind]()
    first = use()
    assert torch.equal(torch.get_rng_state(), before[0]) and np.array_equal(np.random.get_state()[1], before[1])
    torch.manual_seed(2)
    assert all(equal(*pair) for pair in zip(first, use(), strict=True))


def test_subset_slices_and_devices(digits):
    part = digits.valid.subset(torch.arange(10, 20))
    assert len(part) == 10 and torch.equal(part["x"], digits.valid["x"][10:20])
    assert torch.equal(digits.valid[2:9:3]["index"], torch.tensor([2, 5, 8]))
    assert torch.equal(digits.valid[digits.valid["y"] == 3]["y"].unique(), torch.tensor([3]))
    assert equal(digits.to("cpu").valid[[4, 2]], digits.valid[[4, 2]])
    # A batch is a copy: changing it leaves the data alone.
    split = as_split(torch.zeros(4, 2))
    split[0:2]["x"].add_(1)
    split["x"].add_(1)
    assert split["x"].sum() == 0


# Kinds


KINDS = {
    "bool": (np.eye(4, dtype=bool), "binary", None),
    "uint8 of 0 and 1": (np.eye(4, dtype=np.uint8), "binary", None),
    "float of 0 and 1": (np.eye(4, dtype=np.float64), "binary", None),
    "int of 0 and 1": (np.eye(4, dtype=np.int64), "binary", None),
    "uint8": (np.arange(16, dtype=np.uint8).reshape(4, 4) * 17, "levels", 256),
    "int in 0..255": (np.arange(16).reshape(4, 4), "levels", 256),
    "uint16 big-endian": (np.arange(16, dtype=">u2").reshape(4, 4), "levels", 256),
    "int beyond": (np.arange(16).reshape(4, 4) * 99, "real", None),
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
    assert (data.spec.kind, data.spec.levels, data.spec.shape) == (kind, levels, (4,))
    batch = next(data.train.epoch(2, seed=0, epoch=0))["x"]
    assert batch.dtype == torch.float32
    rows = torch.from_numpy(native.astype(np.float32)) / (255 if levels else 1)
    assert all((row == rows).all(1).any() for row in batch)


# Files


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
    assert a.spec == DataSpec("a", (784,), "binary", None, 5, "dynamic") and len(a.test) == 4
    assert b.valid is None and torch.equal(b.test["x"], torch.from_numpy(x[:4]).float() / 255)


# What users have at hand


def test_extra_keys_ride_along():
    obj = {"x": np.random.rand(10, 3), "y": [0, 1] * 5, "mask": torch.ones(10, 3, dtype=torch.bool)}
    obj["y"], obj["c"] = np.array(obj["y"]), torch.rand(10, 2, dtype=torch.float64)
    batch = next(as_split(obj).epoch(4, seed=0, epoch=0))
    assert batch["mask"].dtype == torch.bool and batch["c"].dtype == torch.float64
    assert torch.equal(batch["c"], obj["c"][batch["index"]]) and batch["x"].dtype == torch.float32
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


def test_map_style_dataset_item_by_item():
    split = as_split(Squares())
    whole = list(split.epoch(5, seed=0, epoch=0))
    assert torch.equal(whole[0]["x"].floor()[:, 0, 0].long(), whole[0]["index"])
    assert all(equal(*pair) for pair in zip(split.epoch(5, seed=0, epoch=0, start=3), whole[3:], strict=True))
    assert split.fingerprint() == as_split(Squares()).fingerprint()
    assert len(as_data(Squares()).test) == 2
    binary = as_data(Broken([torch.rand(4) for _ in range(30)]), binarization="dynamic")
    assert torch.equal(binary.test["x"], binary.test["x"].round())


@pytest.mark.parametrize("own", [False, True])
def test_stream_order_and_resume(own):
    generator = torch.Generator().manual_seed(5) if own else None
    loader = DataLoader(Squares(), batch_size=5, shuffle=True, generator=generator)
    stream = as_data(loader).train
    assert isinstance(stream, Stream) and len(stream) == 23 and stream.num_batches(1) == 5
    whole = list(stream.epoch(99, seed=0, epoch=3))
    assert sum(len(batch["x"]) for batch in whole) == 23
    torch.manual_seed(77)
    torch.rand(3)
    assert all(equal(*pair) for pair in zip(stream.epoch(99, seed=0, epoch=3, start=2), whole[2:], strict=True))
    assert not torch.equal(next(stream.epoch(99, seed=0, epoch=4))["x"], whole[0]["x"])
    assert all(equal(*pair) for pair in zip(stream.batches(1), stream.batches(2), strict=True))
    assert stream.fingerprint() == as_split(loader).fingerprint()


def test_streams_of_all_forms():
    x = torch.rand(12, 2)
    loaders = [DataLoader(each, batch_size=5, drop_last=True) for each in (TensorDataset(x), x)]
    data = as_data((loaders[0], loaders[1], x), binarization="dynamic")
    assert isinstance(data.train, Stream) and isinstance(data.test, Split) and len(data.train) == 10
    first, second = (next(data.valid.epoch(5, seed=0, epoch=epoch))["x"] for epoch in (0, 1))
    assert torch.equal(first, second) and set(first.unique().tolist()) <= {0, 1}
    first, second = (next(data.train.epoch(5, seed=0, epoch=epoch))["x"] for epoch in (0, 1))
    assert not torch.equal(first, second)
    endless = as_split(DataLoader(Endless(), batch_size=1))
    assert len(list(endless.batches(1))) == 2 and "?" in repr(as_data(DataLoader(Endless())))


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


# What is refused


GOOD = np.random.default_rng(0).random((10, 4))
NAN = np.where(np.arange(40).reshape(10, 4) == 29, np.nan, GOOD)
REFUSED = {
    "nan": (lambda: as_data(NAN, name="mine"), "mine.*NaN.*row 7"),
    "inf": (lambda: as_split(np.full((5, 2), -np.inf)), "row 0"),
    "too large": (lambda: as_split(GOOD * 1e300), "too large for float32"),
    "empty": (lambda: as_split(GOOD[:0]), "empty, of shape"),
    "empty dataset": (lambda: as_split(Broken([])), "empty Dataset"),
    "text": (lambda: as_split(np.array(["a", "b"])), "dtype <U1"),
    "objects": (lambda: as_split(np.array([None, {}])), "dtype object"),
    "complex": (lambda: as_split(torch.ones(3, 2) * 1j), "complex"),
    "lengths": (lambda: as_split({"x": GOOD, "y": np.zeros(9)}), "10 rows of x but 9 of y"),
    "single number": (lambda: as_split(np.array(3.0)), "single number"),
    "one number a row": (lambda: as_split(np.zeros(5)), r"\(N, 1\)"),
    "x, y as a tuple": (lambda: as_data((GOOD, np.zeros(10))), '"y"'),
    "shapes of parts": (lambda: as_data((GOOD, GOOD[:, :3])), r"\(valid\).*\(3,\).*\(train\).*\(4,\)"),
    "labels in one part": (lambda: as_data(({"x": GOOD, "y": np.zeros(10)}, GOOD)), "has labels y but"),
    "negative label": (lambda: as_split({"x": GOOD, "y": np.arange(10) - 2}), "y is -2 in row 0"),
    "fractional label": (lambda: as_split({"x": GOOD, "y": np.arange(10) / 2}), "y is 0.5 in row 1"),
    "one-hot label": (lambda: as_split({"x": GOOD, "y": GOOD}), r"y has shape \(10, 4\)"),
    "no x": (lambda: as_split({"images": GOOD}), "'images'.*expected 'x'"),
    "index": (lambda: as_split({"x": GOOD, "index": GOOD}), "kept for row numbers"),
    "type": (lambda: as_data(3.5), "is a float"),
    "list of rows": (lambda: as_data([[1, 2], [3, 4], [5, 6], [7, 8]]), "list of 4"),
    "column type": (lambda: as_split({"x": [[1, 2]]}), "is a list"),
    "many tensors": (lambda: as_split(TensorDataset(*[torch.ones(3, 2)] * 3)), "3 tensors"),
    "iterable": (lambda: as_data(Endless()), "wrap it in a DataLoader"),
    "items": (lambda: as_split(Broken(["a", "b"])), "holds str"),
    "ragged items": (lambda: as_split(Broken([torch.ones(2), torch.ones(3)])), "of shapes"),
    "few rows": (lambda: as_data(GOOD[:2]), "2 row"),
    "binarizing real": (lambda: as_data(GOOD * 9, binarization="dynamic"), "rescale x"),
    "fixed stream": (lambda: as_data(DataLoader(torch.rand(9, 2)), binarization="fixed"), "DataLoader"),
    "no test part": (lambda: as_split(Data(as_split(GOOD), None, None, as_split(GOOD).spec)), "no test part; pass data.train"),
    "no file": (lambda: as_split("x.npy"), "x.npy"),
    "root of arrays": (lambda: load(GOOD, root="data"), "in memory; leave it out"),
    "binarization of a split": (lambda: load(as_split(GOOD), binarization="dynamic"), "came with 'none'"),
    "binary-mnist": (lambda: load("binary-mnist", binarization="dynamic"), "load 'mnist'"),
    "missing file": (lambda: load("no-such.npy"), "no-such.npy does not exist"),
    "batch_size": (lambda: as_split(GOOD).batches(0), "batch_size is 0"),
    "start": (lambda: as_split(GOOD).epoch(2, seed=0, epoch=0, start=-1), "start is -1"),
    "key": (lambda: as_split(GOOD)["y"], "no key 'y'"),
    "row": (lambda: as_split(GOOD)[3], r"split\[i:i \+ 1\]"),
    "row outside": (lambda: as_split(GOOD)[[10]], r"0\.\.9"),
    "float rows": (lambda: as_split(GOOD)[torch.ones(2)], "torch.float32"),
    "length of a stream": (lambda: len(as_split(DataLoader(Endless()))), "__len__"),
    "levels": (lambda: DataSpec("a", (2,), "unit", levels=3), "levels=3"),
    "name": (lambda: load("mnits"), "did you mean 'mnist'"),
    "binarization": (lambda: load("digits", binarization="dinamic"), "did you mean 'dynamic'"),
    "binarization of arrays": (lambda: as_data(GOOD, binarization="dinamic"), "did you mean 'dynamic'"),
    "kind": (lambda: DataSpec("a", (2,), "binry"), "did you mean 'binary'"),
}


def one_sentence(error: PyrovaeError) -> bool:
    return "\n" not in str(error) and len(str(error)) < 500


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, message = REFUSED[case]
    with pytest.raises((DataError, OptionError), match=message) as caught:
        call()
    assert one_sentence(caught.value)


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
    (folder / "folder").mkdir()
    np.savez(folder / "keys.npz", images=GOOD, labels=GOOD)
    np.savez(folder / "nothing.npz")
    np.savez(folder / "half.npz", x_train=GOOD, y_test=GOOD)
    np.savez(folder / "nan.npz", train=GOOD, test=NAN)
    np.save(folder / "strings.npy", np.array(["a"]))
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
    "table.csv": "a .csv file",
    "folder": "a folder",
    "keys.npz": "images, labels; expected x",
    "nothing.npz": "none; expected x",
    "half.npz": "x_train, y_test; expected",
    "nan.npz": r"\(test\).*row 7",
    "strings.npy": "dtype <U1",
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


def write_over(path, content: bytes) -> None:
    path.write_bytes(content)


DAMAGES = {
    "MNIST/raw/train-images-idx3-ubyte.gz": [lambda path: write_over(path, path.read_bytes()[:500])],
    "MNIST/raw/t10k-labels-idx1-ubyte.gz": [
        lambda path: write_over(path, b"nonsense"),
        lambda path: write_idx(path, np.zeros(5, np.uint8)),
        lambda path: write_over(path, gzip.compress(b"\0")),
    ],
    "BinaryMNIST/binarized_mnist_valid.npz": [
        lambda path: write_over(path, path.read_bytes()[:300]),
        lambda path: np.savez(path, packed=np.zeros((3, 98), np.uint8)),
        lambda path: np.savez(path, x=np.zeros((10, 784), np.uint8)),
    ],
    "FreyFaces/frey_faces.npz": [
        lambda path: np.savez(path, images=np.zeros((30, 20, 28), np.uint8)),
        lambda path: np.savez(path, images=np.array([{}], dtype=object)),
    ],
}


@pytest.mark.parametrize(("name", "number"), [(name, i) for name, each in DAMAGES.items() for i in range(len(each))])
def test_damaged_named_files(tiny, name, number):
    DAMAGES[name][number](tiny / name)
    data_set = {"MNIST": "mnist", "BinaryMNIST": "binary-mnist", "FreyFaces": "frey-faces"}[name.split("/")[0]]
    with pytest.raises(DataError, match=re.escape(str(tiny / name))) as caught:
        load(data_set, root=tiny)
    assert one_sentence(caught.value)


@pytest.mark.parametrize("text", ["0 1 2", "0 1", "0.5 1"])
def test_damaged_amat(tiny, text):
    path = tiny / "BinaryMNIST/binarized_mnist_test.npz"
    path.unlink()
    path.with_suffix(".amat").write_text(text)
    with pytest.raises(DataError, match=r"binarized_mnist_test\.amat holds"):
        load("binary-mnist")


# Downloads


def serve(monkeypatch, server, name: str, content: bytes, checksum: str | None) -> None:
    folder, url = server
    (folder / name).write_bytes(content)
    monkeypatch.setitem(remote.ADDRESSES, name, remote.Address(url + name, checksum))


def amat_of(tiny, part: str) -> bytes:
    bits = np.unpackbits(np.load(tiny / f"BinaryMNIST/binarized_mnist_{part}.npz")["packed"], axis=1)
    return b"".join(b" ".join(b"01"[bit : bit + 1] for bit in row) + b" \n" for row in bits)


def cached(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_download_into_the_cache(monkeypatch, server, tiny, tmp_path):
    expected = load("binary-mnist").fingerprint()
    for part in ("train", "valid", "test"):
        content = amat_of(tiny, part)
        serve(
            monkeypatch,
            server,
            f"binarized_mnist_{part}.amat",
            content,
            f"md5:{hashlib.md5(content).hexdigest()}",
        )
    monkeypatch.setenv("PYROVAE_DATA", str(tmp_path / "elsewhere"))
    assert load("binary-mnist").fingerprint() == expected
    assert cached(tmp_path) == [f"binarized_mnist_{part}.amat" for part in ("test", "train", "valid")]
    for path in server[0].iterdir():
        path.unlink()
    assert load("binary-mnist").fingerprint() == expected


def test_download_of_other_content_leaves_no_file(monkeypatch, server, tiny, tmp_path):
    serve(monkeypatch, server, "binarized_mnist_train.amat", amat_of(tiny, "train"), "sha256:" + "0" * 64)
    monkeypatch.delenv("PYROVAE_DATA")
    with pytest.raises(DataError, match=r"not what was published.*PYROVAE_DATA or root.*BinaryMNIST") as caught:
        load("binary-mnist")
    assert cached(tmp_path) == [] and one_sentence(caught.value)


def test_frey_faces_are_verified_by_content(monkeypatch, server, tiny, tmp_path):
    faces = np.load(tiny / "FreyFaces/frey_faces.npz")["images"]
    savemat(tmp_path / "faces.mat", {"ff": faces.reshape(len(faces), -1).T})
    serve(monkeypatch, server, "frey_rawface.mat", (tmp_path / "faces.mat").read_bytes(), None)
    monkeypatch.delenv("PYROVAE_DATA")
    with pytest.raises(DataError, match="not what was published"):
        named.read_frey_faces(None)
    assert cached(tmp_path) == []
    monkeypatch.setattr(named, "FREY_CONTENT", hashlib.sha256(faces.tobytes()).hexdigest())
    assert np.array_equal(named.read_frey_faces(None)[""]["x"], faces)
    serve(monkeypatch, server, "frey_rawface.mat", b"not a matrix", None)
    (tmp_path / "cache/pyrovae/FreyFaces/frey_rawface.mat").unlink()
    with pytest.raises(DataError, match="not what was published"):
        named.read_frey_faces(None)
    assert cached(tmp_path) == []


@pytest.mark.parametrize("name", ["mnist", "binary-mnist", "frey-faces"])
def test_no_network(monkeypatch, tmp_path, name):
    monkeypatch.delenv("PYROVAE_DATA", raising=False)
    with pytest.raises(DataError, match=r"ConnectionError.*set PYROVAE_DATA or root to a folder that holds") as caught:
        load(name, root=tmp_path)
    assert cached(tmp_path) == [] and one_sentence(caught.value)


def test_missing_on_the_server(monkeypatch, server, tmp_path):
    monkeypatch.delenv("PYROVAE_DATA", raising=False)
    name = "train-images-idx3-ubyte.gz"
    monkeypatch.setitem(remote.ADDRESSES, name, remote.Address(server[1] + name, None))
    with pytest.raises(DataError, match="HTTP status 404"):
        load("mnist", root=tmp_path)
