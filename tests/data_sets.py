"""Tiny files in the layouts of the named data sets, and Datasets of others."""

from __future__ import annotations

import gzip

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset

from pyrovae.data import named
from pyrovae.errors import PyrovaeError

GOOD = np.random.default_rng(0).random((10, 4))
NAN = np.where(np.arange(40).reshape(10, 4) == 29, np.nan, GOOD)
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


def one_sentence(error: PyrovaeError) -> bool:
    return "\n" not in str(error) and len(str(error)) < 500
