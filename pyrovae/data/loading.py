"""The doors to data: ``load`` makes Data of whatever a user has, ``as_split`` the rows that a verb reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyrovae.data.assemble import as_store, assemble, compact, cut, make_spec
from pyrovae.data.checks import Scan, scan
from pyrovae.data.dataset import Data
from pyrovae.data.files import read_arrays
from pyrovae.data.named import NAMED
from pyrovae.data.spec import BINARIZATIONS
from pyrovae.data.split import Split
from pyrovae.data.stream import Stream, scan_loader
from pyrovae.data.transforms import transform
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["as_data", "as_split", "load", "names"]

_PARTS = ("train", "valid", "test")


def names() -> tuple[str, ...]:
    """The names that :func:`load` knows.

    >>> names()
    ('binary-mnist', 'digits', 'frey-faces', 'mnist', 'mnist-60k')
    """
    return tuple(sorted(NAMED))


def load(
    name: Any,
    *,
    root: str | os.PathLike[str] | None = None,
    binarization: str | None = None,
    seed: int = 0,
    transforms: Sequence[str | Mapping[str, Any]] = (),
) -> Data:
    """A named data set, the arrays of a .npy or .npz file, or what is in memory.

    A file holds x (N, ...), or (.npz) x and y, which are split 80/10/10 in a seeded order; or x_train,
    x_valid, x_test with their y_*, or train, valid, test. Uncompressed files are memory-mapped. Named sets
    are looked for in ``root`` or PYROVAE_DATA, then in the user's cache, and are downloaded into that
    otherwise. For objects in memory see :func:`as_data`.

    Args:
        name: one of :func:`names`, a path, or an object that :func:`as_data` takes: arrays, a dict of them, a
            Split, a torch Dataset or DataLoader, or a tuple (train, valid, test) of those.
        root: folder of the named sets.
        binarization: "dynamic", "fixed", "threshold" or "none"; None is the set's default, "none" for all else.
            What is drawn once (all of "fixed", valid and test of "dynamic") is held in memory, one byte a
            value.
        seed: of a split that is not published and of what is drawn once.
        transforms: by name, as in ["few-labels:num_labels=100"]; :data:`~pyrovae.data.TRANSFORMS` has them all.

    Raises:
        DataError: what is not found, cannot be read or is not numbers.
        OptionError: an unknown name or binarization.

    >>> load("digits")
    Data digits: 1,297 train, 250 valid, 250 test; x (8, 8) binary, binarization dynamic, 10 classes
    """
    if binarization is not None and binarization not in BINARIZATIONS:
        raise nearest("binarization", binarization, BINARIZATIONS)
    if not isinstance(name, (str, os.PathLike)):
        if root is not None:
            raise OptionError(
                f"root is {os.fspath(root)!r}, a folder of named sets, but the data are in memory; leave it out."
            )
        return reduce(transform, transforms, as_data(name, seed=seed, binarization=binarization))
    folder = None if root is None else str(Path(root).expanduser().resolve())
    name = os.fspath(name)
    data = _load_named(name, folder, binarization, seed) if name in NAMED else _load_file(name, folder, binarization, seed)
    return reduce(transform, transforms, data)


def _load_file(name: str, root: str | None, binarization: str | None, seed: int) -> Data:
    if not (name.endswith((".npy", ".npz")) or os.sep in name or Path(name).exists()):
        raise nearest("data set", name, NAMED)
    path = Path(name).expanduser().resolve()
    binarization = binarization or "none"
    source = {"name": str(path), "root": root, "binarization": binarization, "seed": seed}
    parts = read_arrays(path)
    return _from_parts(path.stem, parts, str(path), seed=seed, binarization=binarization, source=source)


def _load_named(name: str, root: str | None, binarization: str | None, seed: int) -> Data:
    named = NAMED[name]
    binarization = binarization or named.binarization
    if binarization not in named.allowed:
        raise DataError(
            f"{name} came with binarization {binarization!r}; expected "
            f"{' or '.join(map(repr, named.allowed))}, as its authors "
            "drew it: load 'mnist' to choose."
        )
    source = {"name": name, "root": root, "binarization": binarization, "seed": seed}
    parts = named.read(root)
    return _from_parts(
        name,
        parts,
        name,
        seed=seed,
        binarization=binarization,
        source=source,
        levels=named.levels,
        sizes=named.sizes,
    )


def _from_parts(
    name: str,
    parts: dict[str, Any],
    where: str,
    *,
    seed: int,
    sizes: tuple[int, int] | None = None,
    **options: Any,
) -> Data:
    """Data of raw parts (what ``as_store`` takes, a DataLoader, or None); a part "" is split here."""
    stores: dict[str, Any] = {}
    scans: list[Scan] = []
    for part, obj in parts.items():
        here = f"{where} ({part})" if part else where
        if obj is None or isinstance(obj, DataLoader):
            stores[part] = obj
        else:
            stores[part] = as_store(obj, here)
        if obj is not None:
            scans.append(scan_loader(obj, here) if isinstance(obj, DataLoader) else scan(stores[part], here))
    found = reduce(Scan.merge, scans)
    if "" in stores:
        stores = cut(stores[""], seed, where, sizes)
    return assemble(name, stores, found, seed=seed, **options)


def as_data(obj: Any, *, name: str = "data", seed: int = 0, binarization: str | None = None) -> Data:
    """Data of what a user has at hand.

    Args:
        obj: Data (given back); a Split or Stream (all of it trains); a name or path (:func:`load`); an array or tensor
            x (N, ...); a dict {"x": ..., "y": ...} whose other keys ride along; a map-style torch Dataset of x, (x,),
            (x, y) or dicts; a tuple or list (train, valid) or (train, valid, test) of those; a DataLoader (a
            :class:`Stream` as train) or a tuple of them. What is no tuple and no DataLoader is split
            80/10/10 in a seeded order.
        name: of the data set.
        seed: of the split and of what is drawn once.
        binarization: as for :func:`load`; None is the default of a named set and "none" for all else.

    >>> import torch
    >>> as_data({"x": torch.rand(50, 3), "y": torch.arange(50) % 2})
    Data data: 40 train, 5 valid, 5 test; x (3,) unit, binarization none, 2 classes
    """
    if isinstance(obj, (Data, Split, Stream)):
        if binarization not in (None, obj.spec.binarization):
            raise OptionError(
                f"binarization is {binarization!r}, but {obj.spec.name} came with {obj.spec.binarization!r}; ask for it where "
                "the data are loaded."
            )
        return obj if isinstance(obj, Data) else Data(obj, None, None, obj.spec)
    if isinstance(obj, (str, os.PathLike)):
        return load(obj, binarization=binarization, seed=seed)
    if isinstance(obj, (tuple, list)):
        if len(obj) not in (2, 3) or obj[0] is None:
            raise DataError(
                f"{name} is a {type(obj).__name__} of {len(obj)}; expected (train, valid) or (train, "
                "valid, test): "
                "convert rows to one array with numpy.asarray."
            )
        parts = dict(zip(_PARTS, obj, strict=False))
    else:
        parts = {"train" if isinstance(obj, DataLoader) else "": obj}
    return _from_parts(name, parts, name, seed=seed, binarization=binarization or "none")


def as_split(obj: Any) -> Split | Stream:
    """The rows that a verb reads, of anything that :func:`load` takes.

    Args:
        obj: a Split or Stream (given back); an array or tensor x (N, ...), a dict of them (such as a batch, whose
            ``index`` is kept), a map-style Dataset, a DataLoader: all their rows. Of a whole Data set, a name or a
            path (:func:`load`), and of a tuple (train, valid, test), the test part.

    >>> import torch
    >>> len(as_split(torch.zeros(7, 2))), len(as_split("digits"))
    (7, 250)
    """
    if isinstance(obj, (Split, Stream)):
        return obj
    if isinstance(obj, (Data, str, os.PathLike, tuple, list)):
        data = as_data(obj)
        if data.test is None:
            raise DataError(f"{data.spec.name} has no test part; pass data.train, data.valid or other rows.")
        return data.test
    if isinstance(obj, DataLoader):
        return Stream(obj, *make_spec("data", scan_loader(obj, "data")))
    index = None
    if isinstance(obj, Mapping) and _are_row_numbers(obj.get("index"), obj.get("x")):
        index = obj["index"]
        obj = {key: value for key, value in obj.items() if key != "index"}
    store = as_store(obj, "data")
    found = scan(store, "data")
    spec, grey = make_spec("data", found)
    return Split(compact(store, found), spec, grey, index=index)


def _are_row_numbers(index: Any, x: Any) -> bool:
    """Whether a batch's ``index`` is that of a Split: a whole number for each row."""
    return isinstance(index, Tensor) and index.dtype == torch.int64 and index.ndim == 1 and len(index) == len(x)
