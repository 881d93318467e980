"""The doors to data: ``load`` makes Data of whatever a user has, ``as_split`` the rows that a verb reads."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from scipy.sparse import issparse
from torch import Tensor
from torch.utils.data import DataLoader

from pyrovae.calls import public
from pyrovae.data.assemble import Reading, assemble, read_rows
from pyrovae.data.changes import unchanged
from pyrovae.data.dataset import Data
from pyrovae.data.named import NAMED
from pyrovae.data.naming import Named
from pyrovae.data.paths import FORMATS, read_path
from pyrovae.data.sources import PARTS, Columns, parts_of
from pyrovae.data.spec import BINARIZATIONS, END, DataSpec
from pyrovae.data.split import Split
from pyrovae.data.stream import Stream
from pyrovae.data.transforms import transform
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["as_data", "as_split", "load", "names", "warn_of_cut"]

log = logging.getLogger("pyrovae")

READING = ("columns", "kinds", "missing", "like")  # options of :func:`as_data` that :func:`load` has, too


def names() -> tuple[str, ...]:
    """The names that :func:`load` knows.

    >>> names()
    ('20news', 'binary-mnist', 'bouncing-ball', 'digits', 'dsprites', 'dsprites-packed', 'faces', 'frey-faces', 'frey-pairs',
     'gp-functions', 'grammar-answers', 'grammar-dialogues', 'grammar-sentences', 'jsb', 'mnist', 'mnist-60k', 'multi30k',
     'muse-data', 'nottingham', 'omniglot-small', 'penn-treebank', 'piano-midi', 'rooms', 's32', 'set-families',
     'spatial-mnist', 'sprite-table', 'tiny-shakespeare', 'xys', 'xys-uneven')
    """
    return tuple(sorted(NAMED))


@public()
def load(
    name: Any,
    *,
    columns: Columns | None = None,
    kinds: Mapping[str, Any] | None = None,
    missing: str | None = None,
    root: str | os.PathLike[str] | None = None,
    binarization: str | None = None,
    seed: int = 0,
    transforms: Sequence[str | Mapping[str, Any]] = (),
    like: DataSpec | None = None,
) -> Data:
    """Data of anything: a named set, a file or folder, or what is in memory.

    What each key is taken for, and why, is one line of the log ``pyrovae``; what changes or drops values is warned of there.
    Integers are counts and stay integers, unless they are 0 and 1 (binary), uint8 images (grey levels, divided by 255) or told
    to be something else by ``kinds``; labels y of any form become classes 0..C-1, and keep their names in ``spec``.

    Files: .npy, .npz (memory-mapped where not compressed; keys as they are, or x_train, x_valid, x_test and others, or train,
    valid, test), .csv, .tsv, .parquet, .h5ad, .txt (a sentence a line), a folder of images (folders within it are
    their classes, or train, valid, test). Named sets are looked for in ``root`` or PYROVAE_DATA, then in the user's cache,
    and are downloaded into that otherwise. What is not split is split 80/10/10 in a seeded order.

    Args:
        name: one of :func:`names`; a path; an array, a dict of arrays under any keys, a DataFrame, a sparse matrix (kept so
            until the batch), AnnData, a torch or Hugging Face Dataset, a DataLoader (a :class:`Stream`), or a tuple (train,
            valid, test) or dict {"train": ...} of those.
        columns: key -> the column, or list of columns that lie side by side, as {"x": ["height", "weight"], "y": "species"}.
        kinds: key, or column of a table -> its kind, in place of what its values say: "count", "levels:17", "category:10", any
            of :class:`KeySpec`.
        missing: "mask" where x has NaN, or is a masked array, or a key ``mask`` is 0: those values are missing, and ``mask``
            says so. Without it they are refused.
        root: folder of the named sets.
        binarization: "dynamic", "fixed", "threshold" or "none"; None is the set's default, "none" for all else.
            What is drawn once (all of "fixed", valid and test of "dynamic") is held in memory, one byte a value.
        seed: of a split that is not published and of what is drawn once.
        transforms: by name, as in ["few-labels:num_labels=100"]; :data:`~pyrovae.data.TRANSFORMS` has them all.
        like: the spec of a run's data, whose kinds, classes and binarization are those of these data.

    Raises:
        DataError: what is not found, cannot be read, is not of its kind, or does not fit into float32.
        OptionError: an unknown name or option.

    >>> load("digits")
    Data digits: 1,297 train, 250 valid, 250 test; x (8, 8) binary, binarization dynamic, 10 classes
    >>> load({"x": torch.tensor([[3, 0], [1, 2], [0, 7]]), "y": ["a", "b", "a"]}).spec.keys["y"].labels
    ('a', 'b')
    """
    if binarization is not None and binarization not in BINARIZATIONS:
        raise nearest("binarization", binarization, BINARIZATIONS)
    like = unchanged(like) if like is not None and transforms else like  # the transforms change the columns themselves
    inherited = like.binarization if like is not None and binarization is None else binarization
    how = Reading(columns, dict(kinds or {}), missing, like, inherited or "none", seed)
    if not isinstance(name, (str, os.PathLike)):
        if root is not None:
            raise OptionError(
                f"root is {os.fspath(root)!r}, a folder of named sets, but the data are in memory; leave it out."
            )
        return reduce(transform, transforms, _load_object(name, "data", how, inherited))
    if how.missing is None and like is not None and not transforms and os.fspath(name) not in NAMED:
        how = replace(how, missing=like.roles.get("missing"))
    folder = None if root is None else str(Path(root).expanduser().resolve())
    data = _load_name(os.fspath(name), folder, how, inherited)
    return reduce(transform, transforms, data)


def _load_name(name: str, root: str | None, how: Reading, binarization: str | None) -> Data:
    """The named set, or the file."""
    told = {key: value for key, value in (("columns", how.columns), ("missing", how.missing)) if value is not None}
    if name in NAMED:
        for option in (*told, *(["kinds"] if how.kinds else [])):
            raise OptionError(f"{option} goes with data of your own; what {name} holds is known: leave it out.")
        named = NAMED[name]
        binarization = binarization or named.binarization
        if binarization not in named.allowed:
            raise DataError(
                f"{name} came with binarization {binarization!r}; expected {' or '.join(map(repr, named.allowed))}, as its "
                "authors drew it: load 'mnist' to choose."
            )
        kinds = dict(named.kinds) | ({} if named.levels is None else {"x": f"levels:{named.levels}"})
        how = replace(how, binarization=binarization, kinds=kinds, sizes=named.sizes, known=True)
        source = {"name": name, "root": root, "binarization": binarization, "seed": how.seed}
        data = assemble(name, named.read(root), name, how, source)
        return _described(data, named, root)
    if not (name.endswith(tuple(FORMATS)) or os.sep in name or Path(name).exists()):
        raise nearest("data set", name, NAMED)
    path = Path(name).expanduser().resolve()
    if path.suffix.lower() == ".txt" and "x" not in how.kinds and (how.like is None or not how.like.keys["x"].text):
        how = replace(how, kinds={**how.kinds, "x": "tokens"})
    source = {"name": str(path), "root": root, "binarization": how.binarization, "seed": how.seed, **told}
    if how.kinds:
        source["kinds"] = {key: f"{each.kind}:{each.size}" if each.size else each.kind for key, each in how.kinds.items()}
    return assemble(path.stem, read_path(path), str(path), how, source)


def _described(data: Data, named: Named, root: str | None) -> Data:
    """The data with what is known of keys beyond their values: what x counts, which words sequences hold, which are sets."""
    keys = dict(data.spec.keys)
    if named.words is not None:
        words = named.words(root)
        sequences = [key for key, each in keys.items() if each.shape and each.size == len(words)]
        text = {"text": named.text} if words[0] == END else {}
        keys |= {key: replace(keys[key], labels=words, **text) for key in sequences or ["x"]}
    keys |= {key: replace(keys[key], is_set=True) for key in named.sets}
    spec = data.spec.with_keys(keys)
    parts = {part: split and split.with_(spec=spec) for part, split in data.parts().items()}
    return replace(data, **parts, spec=spec)


@public()
def as_data(obj: Any, *, name: str = "data", seed: int = 0, binarization: str | None = None, **options: Any) -> Data:
    """:func:`load` of an object in memory under a name; Data are given back.

    Args:
        obj: what :func:`load` takes.
        name: of the data set.
        seed: as for :func:`load`.
        binarization: as for :func:`load`.
        options: its others.

    >>> import torch
    >>> as_data({"x": torch.rand(50, 3), "y": torch.arange(50) % 2})
    Data data: 40 train, 5 valid, 5 test; x (3,) unit, binarization none, 2 classes
    """
    if isinstance(obj, (str, os.PathLike)):
        return load(obj, binarization=binarization, seed=seed, **options)
    if binarization is not None and binarization not in BINARIZATIONS:
        raise nearest("binarization", binarization, BINARIZATIONS)
    for option in options:
        if option not in READING:
            raise nearest("argument of as_data", option, READING)
    like = options.get("like")
    binarization = like.binarization if like is not None and binarization is None else binarization
    how = Reading(seed=seed, binarization=binarization or "none", **options)
    return _load_object(obj, name, how, binarization)


def _load_object(obj: Any, name: str, how: Reading, binarization: str | None) -> Data:
    if isinstance(obj, (Data, Split, Stream)):
        if binarization not in (None, obj.spec.binarization):
            raise OptionError(
                f"binarization is {binarization!r}, but {obj.spec.name} came with {obj.spec.binarization!r}; ask for it where "
                "the data are loaded."
            )
        for option in ("columns", "kinds", "missing"):
            if getattr(how, option):
                raise OptionError(f"{option} is given for data that are loaded already; give it where they are loaded.")
        return obj if isinstance(obj, Data) else Data(obj, None, None, obj.spec)
    if how.missing is None and how.like is not None and not isinstance(obj, DataLoader):
        how = replace(how, missing=how.like.roles.get("missing"))
    parts: dict[str, Any] | None = parts_of(obj)
    if isinstance(obj, (tuple, list)):
        if len(obj) not in (2, 3) or obj[0] is None:
            raise DataError(
                f"{name} is a {type(obj).__name__} of {len(obj)}; expected (train, valid) or (train, "
                "valid, test): "
                "convert rows to one array with numpy.asarray."
            )
        parts = dict(zip(PARTS, obj, strict=False))
    elif parts is None:
        parts = {"train" if isinstance(obj, DataLoader) else "": obj}
    return assemble(name, parts, name, how)


def warn_of_cut(data: Data) -> None:
    """Say that rows which came as one set are read in part."""
    if data.cut:
        log.warning(
            "%s is one set of rows and is split 80/10/10: its test part has %d of them; give rows in memory, or a file of "
            "parts (x_train, x_test), for others.",
            *(data.spec.name, len(data.test) if data.test is not None else 0),
        )


@public()
def as_split(obj: Any, like: DataSpec | None = None) -> Split | Stream:
    """The rows that a verb reads, of anything that :func:`load` takes.

    Args:
        obj: a Split or Stream (given back); an array or tensor x (N, ...), a dict of them (such as a batch, whose
            ``index`` is kept), a DataFrame, a Dataset, a DataLoader: all their rows. Of a whole Data set, a name or a
            path (:func:`load`), and of a tuple (train, valid, test), the test part.
        like: the spec of the data that a pair knows, whose kinds, scales and classes are those of these rows too.

    >>> import torch
    >>> len(as_split(torch.zeros(7, 2))), len(as_split("digits"))
    (7, 250)
    """
    if isinstance(obj, (Split, Stream)):
        return obj
    if isinstance(obj, (Data, str, os.PathLike, tuple, list)) or parts_of(obj) is not None:
        data = obj if isinstance(obj, Data) else as_data(obj, like=like)
        if data.test is None:
            raise DataError(f"{data.spec.name} has no test part; pass data.train, data.valid or other rows.")
        if data is not obj:
            warn_of_cut(data)
        return data.test
    index = None
    if isinstance(obj, Mapping) and not issparse(obj) and _are_row_numbers(obj):
        index = obj["index"]
        obj = {key: value for key, value in obj.items() if key != "index"}
    return read_rows(obj, like, index)


def _are_row_numbers(batch: Mapping[str, Any]) -> bool:
    """Whether a batch's ``index`` is that of a Split: a whole number for each row."""
    index, others = batch.get("index"), [value for key, value in batch.items() if key != "index"]
    if not isinstance(index, Tensor) or index.dtype != torch.int64 or index.ndim != 1 or not others:
        return False
    return hasattr(others[0], "__len__") and len(index) == len(others[0])
