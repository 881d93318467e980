"""Named sets: their sizes, forms and damages."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest
import torch
from data_sets import ROWS, one_sentence, write_idx
from scipy.io import savemat

from pyrovae.data import DATASETS, DataSpec, KeySpec, load, named, names
from pyrovae.errors import DataError


def test_spec_round_trips_through_json():
    spec = DataSpec("toy", (3, 4), "levels", levels=256, classes=10, binarization="none")
    assert DataSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


DRAWN = {"dsprites", "dsprites-packed", "s32", "xys", "xys-uneven", "rooms", "bouncing-ball", "faces"}
DRAWN |= {"grammar-answers", "grammar-dialogues", "grammar-sentences"}
DRAWN |= {"gp-functions", "set-families", "sprite-table"}
MUSIC = {"jsb", "nottingham", "piano-midi", "muse-data"}
TEXTS = {"multi30k", "penn-treebank", "tiny-shakespeare"}


def test_names_and_descriptions():
    read = {"digits", "mnist", "mnist-60k", "binary-mnist", "frey-faces", "frey-pairs", "20news", *MUSIC, *TEXTS}
    assert set(names()) == set(DATASETS) == {*read, *DRAWN, "spatial-mnist", "omniglot-small"}
    assert "binarization: dynamic" in DATASETS["mnist"]


def test_digits(digits):
    assert [len(part) for part in (digits.train, digits.valid, digits.test)] == [1297, 250, 250]
    drawn = {"x": KeySpec((8, 8), "binary", size=17)}
    assert digits.spec == DataSpec("digits", classes=10, binarization="dynamic", keys=drawn)
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


def chorales(folder, **changed):
    """A file of sequences of 1 to 5 chords, in the form of the real one."""
    rng, arrays = np.random.default_rng(0), {}
    for part, lengths in (("train", [3, 5, 1]), ("valid", [2]), ("test", [4, 2])):
        arrays |= {part: rng.integers(0, 256, (sum(lengths), 11), dtype=np.uint8), f"{part}_lengths": np.int32(lengths)}
    (folder / "Polyphonic").mkdir(parents=True)
    kept = {key: value for key, value in {**arrays, **changed}.items() if value is not None}
    np.savez(folder / "Polyphonic" / "jsb-chorales.npz", **kept)
    return arrays


def test_chorales_are_padded_to_one_length(tmp_path):
    arrays = chorales(tmp_path)
    data = load("jsb", root=tmp_path)
    batch = data.train[:]
    assert data.spec.shape == (5, 88) and data.spec.kind == "binary" and data.spec.keys["lengths"].kind == "count"
    assert batch["lengths"].tolist() == [3, 5, 1] and batch["x"].dtype == torch.float32
    steps = np.concatenate([row[:length].numpy() for row, length in zip(batch["x"], batch["lengths"], strict=True)])
    assert np.array_equal(steps, np.unpackbits(arrays["train"], axis=1)) and not batch["x"][0, 3:].any()


def test_damaged_or_missing_chorales_are_refused(tmp_path, monkeypatch):
    chorales(tmp_path / "lacks", test_lengths=None)
    chorales(tmp_path / "short", valid=np.zeros((1, 11), np.uint8))
    for folder, message in (
        ("lacks", "lacks test_lengths; expected train,"),
        ("short", r"valid uint8 \(1, 11\); expected uint8"),
    ):
        with pytest.raises(DataError, match=message):
            load("jsb", root=tmp_path / folder)
    monkeypatch.delenv("PYROVAE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match="jsb-chorales.npz is not on this machine and is published in no form"):
        load("jsb")


def newsgroups(folder, **changed):
    """Ten documents to train on and one to test, of three words, in the form of the real file."""
    arrays = {"vocabulary": np.array(["ape", "bee", "cat"])}
    for part, rows in (("train", 10), ("test", 1)):
        counts = {"indices": np.uint16([0, 2] * rows), "counts": np.uint16([1, 7] * rows), "indptr": 2 * np.arange(rows + 1)}
        arrays |= {f"{part}_{name}": value for name, value in counts.items()}
    (folder / "20News").mkdir(parents=True)
    kept = {key: value for key, value in {**arrays, **changed}.items() if value is not None}
    np.savez(folder / "20News" / "20news-1995.npz", **kept)


def test_newsgroups_are_counts_of_named_words(tmp_path):
    newsgroups(tmp_path)
    data = load("20news", root=tmp_path)
    assert [len(part) for part in data.parts().values()] == [9, 1, 1]
    assert data.spec.keys["x"].labels == data.test.spec.keys["x"].labels == ("ape", "bee", "cat")
    assert data.valid[:]["x"].tolist() == [[1, 0, 7]] and data.spec.kind == "count"
    assert DataSpec.from_json(json.loads(json.dumps(data.spec.to_json()))) == data.spec


def test_damaged_newsgroups_are_refused(tmp_path):
    newsgroups(tmp_path / "lacks", test_indptr=None)
    newsgroups(tmp_path / "short", train_counts=np.uint16([1]))
    for folder, message in (("lacks", "lacks test_indptr; expected"), ("short", "20 indices and 1 counts of train")):
        with pytest.raises(DataError, match=message):
            load("20news", root=tmp_path / folder)
