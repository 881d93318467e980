"""What users hold, as raw columns by key: arrays, dicts, DataFrames, sparse matrices, AnnData, Hugging Face's data sets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas
import scipy.sparse
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from pyrovae.data.columns import Table, Text, as_column, of_series
from pyrovae.data.missing_values import hide_missing
from pyrovae.data.spec import DataSpec
from pyrovae.data.store import Arrays, Items, Store
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["Columns", "as_store", "known_columns", "parts_of"]

Columns = Mapping[str, "str | Sequence[str]"]
PARTS = ("train", "valid", "test")
log = logging.getLogger("pyrovae")


def as_store(obj: Any, where: str, columns: Columns | None = None, missing: str | None = None, whole: bool = True) -> Store:
    """Rows of what a user holds, checked but not copied.

    Args:
        obj: an array, a dict of arrays, a DataFrame, a sparse matrix, AnnData, or a Dataset.
        where: begins the messages.
        columns: key -> name, or names that lie side by side, of the object's columns.
        missing: "mask" to make a key ``mask`` of what x misses, 1 where a value is there.
        whole: make it too where no value is missing.
    """
    if isinstance(obj, Subset):
        rows = np.asarray(obj.indices)
        return as_store(obj.dataset, where, columns, missing, whole).subset(as_column(rows, where))
    raw = _raw_columns(obj, where, columns)
    if raw is None:
        _refuse_options(where, columns, missing)
        return Items.read(obj, where)
    return Arrays.read(hide_missing(raw, where, missing, whole), where)


def _refuse_options(where: str, columns: Any, missing: Any) -> None:
    for name, value in (("columns", columns), ("missing", missing)):
        if value is not None:
            raise OptionError(
                f"{name} is {value!r}, but {where} gives its items one by one; do it there: let an item be a dict of keys."
            )


def _raw_columns(obj: Any, where: str, columns: Columns | None) -> dict[str, Any] | None:
    """Raw columns by key; None of what gives its items one by one."""
    if isinstance(obj, TensorDataset):
        if len(obj.tensors) > 2:
            raise DataError(
                f"{where} is a TensorDataset of {len(obj.tensors)} tensors; expected x or x and y: "
                "pass a dict that names the others."
            )
        return _select(dict(zip(("x", "y"), obj.tensors, strict=False)), where, columns)
    if isinstance(obj, IterableDataset):
        raise DataError(f"{where} is an IterableDataset; expected rows that can be counted: wrap it in a DataLoader.")
    if isinstance(obj, (Tensor, np.ndarray)) or scipy.sparse.issparse(obj):
        if columns is not None:
            raise OptionError(
                f"columns is {dict(columns)!r}, but {where} is one array, whose columns have no names; leave it out."
            )
        return {"x": obj}
    if isinstance(obj, pandas.DataFrame):
        return _of_frame(obj, where, columns)
    if all(hasattr(obj, name) for name in ("X", "obs", "var")):
        return _of_anndata(obj, where, columns)
    if all(hasattr(obj, name) for name in ("column_names", "features", "with_format")):
        return _of_hugging_face(obj, where, columns)
    if hasattr(obj, "to_pandas"):  # polars, Arrow
        return _of_frame(obj.to_pandas(), where, columns)
    if isinstance(obj, pandas.Series):
        return {"x": obj}
    if isinstance(obj, Mapping):
        return _select(dict(obj), where, columns)
    if isinstance(obj, Dataset) or (hasattr(obj, "__getitem__") and hasattr(obj, "__len__") and _is_foreign(obj)):
        return None
    raise DataError(
        f"{where} is a {type(obj).__name__}; expected an array or tensor x, a dict of them, a DataFrame, a sparse matrix, "
        "AnnData, a Dataset or a DataLoader."
    )


def _is_foreign(obj: Any) -> bool:
    """Whether an object with rows is another library's, and no plain sequence."""
    return not isinstance(obj, (str, bytes, list, tuple, range, dict, set))


def _known(name: str, known: Sequence[str], where: str) -> str:
    if name not in known:
        raise nearest(f"column of {where}", name, known)
    return name


def _select(values: dict[str, Any], where: str, columns: Columns | None) -> dict[str, Any]:
    """The values under the keys that ``columns`` gives them; several names lie side by side."""
    if columns is None:
        return values
    made: dict[str, Any] = {}
    for key, names in columns.items():
        several = [names] if isinstance(names, str) else list(names)
        if not several:
            raise DataError(f"{where} is given no column for {key}; expected one at least.")
        parts = [values[_known(name, list(values), where)] for name in several]
        if isinstance(names, str):
            made[key] = parts[0]
        else:
            made[key] = np.stack([np.asarray(part) for part in parts], 1)
    return made


def _of_frame(frame: pandas.DataFrame, where: str, columns: Columns | None) -> dict[str, Any]:
    """x of all columns of a DataFrame but ``y``, or the keys that ``columns`` names."""
    names = [str(name) for name in frame.columns]
    frame = frame.set_axis(names, axis=1)
    if len(set(names)) < len(names):
        raise DataError(f"{where} has two columns of one name; expected different ones: rename one.")
    if columns is None:
        others = [name for name in names if name != "y"]
        columns = {"x": others, **({"y": "y"} if "y" in names else {})}
    made: dict[str, Any] = {}
    for key, chosen in columns.items():
        if isinstance(chosen, str) and key != "x":
            made[key] = of_series(frame[_known(chosen, names, where)], f"{where}, column {chosen!r},")
            continue
        several = [chosen] if isinstance(chosen, str) else list(chosen)
        if not several:
            raise DataError(f"{where} has no column for {key}; expected one at least.")
        made[key] = Table(
            {name: of_series(frame[_known(name, names, where)], f"{where}, column {name!r},") for name in several}
        )
    return made


def _of_anndata(data: Any, where: str, columns: Columns | None) -> dict[str, Any]:
    """x of X, sparse or not; other keys of the columns of obs, or of obsm and layers."""
    fields = {"X": data.X, **dict(getattr(data, "layers", {}) or {}), **dict(getattr(data, "obsm", {}) or {})}
    obs = [str(name) for name in data.obs.columns]
    made: dict[str, Any] = {}
    for key, name in {"x": "X", **(columns or {})}.items():
        if not isinstance(name, str):
            raise OptionError(f"columns[{key!r}] is {name!r}; expected one name of {where}: X, a layer, or a column of obs.")
        _known(name, [*fields, *obs], where)
        made[key] = fields[name] if name in fields else of_series(data.obs[name], f"{where}, obs {name!r},")
    left = [name for name in obs if name not in (columns or {}).values()]
    if left:
        log.info("%s: columns of obs that are left out: %s; columns={'y': %r} takes one.", where, ", ".join(left), left[0])
    return {key: np.asarray(value) if isinstance(value, np.matrix) else value for key, value in made.items()}


def _of_hugging_face(data: Any, where: str, columns: Columns | None) -> dict[str, Any]:
    """The columns of a ``datasets.Dataset``; the names of class labels are kept."""
    if columns is None and "x" not in data.column_names:
        raise DataError(
            f"{where} has the columns {', '.join(data.column_names)}; say which is x, as in columns={{'x': "
            f"{data.column_names[0]!r}}}."
        )
    chosen = columns or {name: name for name in data.column_names}
    wanted = dict.fromkeys(n for names in chosen.values() for n in ([names] if isinstance(names, str) else names))
    values = {}
    rows = data.with_format("numpy")[:]
    for name in wanted:
        _known(name, data.column_names, where)
        values[name] = _array(rows[name], f"{where}, column {name!r},")
        labels = getattr(data.features.get(name), "names", None)
        if labels:
            values[name] = Text.of([labels[code] if code >= 0 else None for code in values[name]])
    return _select(values, where, chosen)


def _array(values: Any, where: str) -> np.ndarray:
    """Rows of one shape as an array; pictures among them become bytes."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values
    try:
        made = [each if isinstance(each, str) else np.asarray(each) for each in values]
        return np.asarray(made, dtype=object) if isinstance(made[0], str) else np.stack(made)
    except ValueError as error:
        raise DataError(f"{where} has rows of several shapes; expected one: pad, crop or resize them.") from error


def known_columns(obj: Any, like: DataSpec | None) -> Columns | None:
    """The columns of new data that make the keys of those that ``like`` describes; None where the keys are there by name."""
    if like is None or scipy.sparse.issparse(obj) or (isinstance(obj, Mapping) and like.main in obj):
        return None
    if not isinstance(obj, pandas.DataFrame):
        return dict(like.columns) if like.columns and not isinstance(obj, (Tensor, np.ndarray, Dataset)) else None
    chosen: dict[str, Any] = {key: tuple(known.columns) for key, known in like.keys.items() if known.columns}
    for key in like.keys:
        name = like.columns.get(key, key)
        name = name[0] if not isinstance(name, str) and len(name) == 1 else name  # text has one column
        if key not in chosen and isinstance(name, str) and name in obj:
            chosen[key] = name
    return chosen or None


def parts_of(obj: Any) -> dict[str, Any] | None:
    """Parts of a dict of data sets, {"train": ..., "validation": ..., "test": ...}; None of what has no parts."""
    names = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
    if not isinstance(obj, Mapping) or scipy.sparse.issparse(obj) or "train" not in obj or not obj.keys() <= names.keys():
        return None
    return {names[key]: value for key, value in obj.items()}
