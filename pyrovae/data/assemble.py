"""Raw rows -> Split or Stream -> Data: kinds, binarization and the seeded cut in three parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from pyrovae.data.checks import Scan
from pyrovae.data.dataset import Data
from pyrovae.data.grey import Grey
from pyrovae.data.seeds import SPLIT, generator, mix
from pyrovae.data.spec import BINARIZATIONS, DataSpec
from pyrovae.data.split import Split
from pyrovae.data.store import Arrays, Items, Store
from pyrovae.data.stream import Stream
from pyrovae.errors import DataError, nearest

__all__ = ["as_store", "assemble", "compact", "cut", "make_spec"]


def as_store(obj: Any, where: str) -> Store:
    """Rows of an array x, a dict of arrays or a map-style Dataset, checked but not copied."""
    if isinstance(obj, (Tensor, np.ndarray)):
        return Arrays.read({"x": obj}, where)
    if isinstance(obj, Mapping):
        return Arrays.read(obj, where)
    if isinstance(obj, TensorDataset):
        if len(obj.tensors) > 2:
            raise DataError(
                f"{where} is a TensorDataset of {len(obj.tensors)} tensors; expected x or x and y: "
                "pass a dict that names the others."
            )
        return Arrays.read(dict(zip(("x", "y"), obj.tensors, strict=False)), where)
    if isinstance(obj, IterableDataset):
        raise DataError(f"{where} is an IterableDataset; expected rows that can be counted: wrap it in a DataLoader.")
    if isinstance(obj, Subset):
        return as_store(obj.dataset, where).subset(torch.as_tensor(obj.indices, dtype=torch.int64))
    if isinstance(obj, Dataset):
        return Items.read(obj, where)
    raise DataError(
        f"{where} is a {type(obj).__name__}; expected an array or tensor x, a dict of them, a torch Dataset or a DataLoader."
    )


def cut(store: Store, seed: int, where: str, sizes: tuple[int, int] | None = None) -> dict[str, Store]:
    """Train, valid and test rows in a seeded order; ``sizes`` of valid and test, or a tenth each."""
    rows = len(store)
    if rows < 3:
        raise DataError(
            f"{where} has {rows} row(s); expected at least 3 to split in train, valid and test: "
            "add rows or pass a tuple (train, valid, test)."
        )
    valid, test = sizes or (max(1, rows // 10), max(1, rows // 10))
    order = torch.randperm(rows, generator=generator(seed, SPLIT))
    train, held_out, last = order.split([rows - valid - test, valid, test])
    return {"train": store.subset(train), "valid": store.subset(held_out), "test": store.subset(last)}


_MEAN_ROWS = 10_000


def make_spec(name: str, found: Scan, binarization: str = "none", levels: int | None = None) -> tuple[DataSpec, Grey]:
    """The spec of x as the batches hold it, and how raw values become that x.

    ``levels`` says that x is known to be grey levels, where the values alone would leave it open.
    """
    if binarization not in BINARIZATIONS:
        raise nearest("binarization", binarization, BINARIZATIONS)
    assert found.shape is not None
    kind = "levels" if levels is not None else found.kind
    levels = (levels or 256) if kind == "levels" else None
    if kind == "binary":
        # Nothing is left to draw; "fixed" is what such data are.
        binarization = "fixed" if binarization == "fixed" else "none"
        return DataSpec(name, found.shape, "binary", None, found.classes, binarization), Grey()
    if binarization == "none":
        return DataSpec(name, found.shape, kind, levels, found.classes), Grey(levels)
    if kind == "real":
        raise DataError(
            f"{name}: binarization {binarization!r} was asked of x between {found.low:g} and {found.high:g}; "
            "expected x in [0, 1] or grey levels 0..255: rescale x, or set binarization to 'none'."
        )
    draw = "threshold" if binarization == "threshold" else "dynamic"
    return DataSpec(name, found.shape, "binary", None, found.classes, binarization), Grey(levels, draw)


def assemble(
    name: str,
    parts: Mapping[str, Store | DataLoader[Any] | None],
    found: Scan,
    *,
    seed: int,
    binarization: str,
    levels: int | None = None,
    source: dict[str, Any] | None = None,
) -> Data:
    """Data of raw parts ("train", perhaps "valid" and "test") and of what a scan found in them."""
    spec, grey = make_spec(name, found, binarization, levels)
    made: dict[str, Split | Stream | None] = {"valid": None, "test": None}
    for number, (part, raw) in enumerate(parts.items()):
        if raw is None:
            continue
        drawn_once = grey.binarize == "dynamic" and (part != "train" or binarization == "fixed")
        if isinstance(raw, DataLoader):
            if drawn_once and binarization == "fixed":
                raise DataError(
                    f"{name}: binarization 'fixed' was asked of a DataLoader; expected numbered rows: "
                    "pass the Dataset itself, or choose 'dynamic'."
                )
            made[part] = Stream(raw, spec, grey, frozen=drawn_once)
        else:
            split = Split(compact(raw, found, levels), spec, grey, seed=mix(seed, number))
            made[part] = split.store_draw() if drawn_once else split
    train = made["train"]
    assert train is not None
    if isinstance(train, Split):
        spec = replace(spec, mean=_mean(train))
    return Data(train, made["valid"], made["test"], spec, source)  # type: ignore[arg-type]


def _mean(split: Split) -> Tensor:
    """The mean of x over evenly spaced rows, fewer where each row runs a user's code."""
    most = _MEAN_ROWS if isinstance(split.store, Arrays) else _MEAN_ROWS // 10
    return split[torch.linspace(0, len(split) - 1, min(len(split), most)).long()]["x"].mean(0)


def compact(store: Store, found: Scan, levels: int | None = None) -> Store:
    """In-memory x as uint8 (grey or binary integers) or float32 (all others), in-memory y as int64."""
    if not isinstance(store, Arrays):
        return store
    small = found.integer and (levels is not None or found.kind in ("levels", "binary"))
    dtypes = {"x": torch.uint8 if small else torch.float32, "y": torch.int64}
    columns = {
        key: column.to(dtypes[key]) if isinstance(column, Tensor) and key in dtypes else column
        for key, column in store.columns.items()
    }
    return replace(store, columns=columns)
