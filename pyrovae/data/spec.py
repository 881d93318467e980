"""What a data set is: the shape, dtype and kind of every key of its batches, and how x was binarized."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pyrovae.errors import DataError, nearest

__all__ = ["BINARIZATIONS", "COLUMN_KINDS", "END", "GREY_KINDS", "KINDS", "TEXTS", "DataSpec", "KeySpec", "factor_sizes"]

GREY_KINDS = ("binary", "levels", "unit", "real")  # floats in the batch
WHOLE_KINDS = ("count", "category", "tokens")  # integers in the batch
KINDS = (*GREY_KINDS, *WHOLE_KINDS, "table")
COLUMN_KINDS = ("binary", "unit", "real", "positive", "count", "category", "ordinal")
BINARIZATIONS = ("dynamic", "fixed", "threshold", "none")
SIZED = ("levels", "category", "ordinal", "tokens")  # kinds whose values are one of so many
TEXTS = {"tokens": "words", "characters": "characters", "subwords": "subwords", "count": "words"}  # told -> how text is cut
END = "<eos>"  # word 0 of sentences: ends each, and fills what is left of its row


@dataclass(frozen=True)
class KeySpec:
    """One key of a batch, (B, *shape), or one column of a table.

        binary    0 or 1
        levels    k / (size - 1) of grey levels k = 0..size-1
        unit      in [0, 1]
        real      any number
        count     0, 1, 2, ...
        category  0..size-1, the classes; -1 of a y that is not known
        tokens    0..size-1, sequences of them
        table     columns of several kinds side by side, categories as their numbers

    A column of a table may also be ``positive`` (a number above 0) or, as a factor may, ``ordinal`` (ordered classes).

    Attributes:
        shape: of one datum, without the batch.
        kind: as above.
        dtype: of the batch: "float32" or "int64" by the kind, unless another is told.
        size: how many grey levels, classes or words there are; of binary data, the grey levels that they are drawn from.
        labels: what the user calls the classes or words 0..size-1, where not by these numbers; of counts, what is counted.
        columns: the columns of a DataFrame side by side in this key, by name.
        changes: of a column, what was done to the user's values, in its order: {"name": "log1p"}, or {"name": "standardize",
            "loc": ..., "scale": ...} (:mod:`pyrovae.data.tables`).
        is_set: whether the first axis are items of a set, whose order tells nothing: :func:`~pyrovae.check` asks that no score
            depends on it.
        text: how lines of text become these tokens or counts, where they do: 'words' between spaces, 'characters' or
            'subwords' (:mod:`pyrovae.data.words`).

    >>> KeySpec((), "category", size=2, labels=("cat", "dog")).dtype
    'int64'
    """

    shape: tuple[int, ...]
    kind: str
    dtype: str = ""
    size: int | None = None
    labels: tuple[Any, ...] | None = None
    columns: Mapping[str, KeySpec] = field(default_factory=dict)
    changes: tuple[Mapping[str, Any], ...] = ()
    is_set: bool = False
    text: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        if self.kind not in (known := tuple(dict.fromkeys([*KINDS, *COLUMN_KINDS]))):
            raise nearest("kind of data", self.kind, known)
        if not self.dtype:
            object.__setattr__(self, "dtype", "int64" if self.kind in (*WHOLE_KINDS, "ordinal") else "float32")
        if (self.kind in SIZED) != (self.size is not None) and self.kind != "binary":
            raise DataError(
                f"kind {self.kind!r} came with size={self.size} (levels, classes); it is a number for "
                f"{', '.join(SIZED)} and None for the others."
            )
        if self.labels is not None:
            object.__setattr__(self, "labels", tuple(self.labels))
            expected = math.prod(self.shape) if self.kind == "count" else self.size
            if len(self.labels) != expected:
                of = "counts" if self.kind == "count" else "classes"
                raise DataError(f"{len(self.labels)} labels came for {expected} {of}; expected one for each.")

    def zeros(self, rows: int, device: torch.device | str = "cpu") -> Tensor:
        """(rows, *shape) zeros of the key's dtype."""
        return torch.zeros(rows, *self.shape, dtype=getattr(torch, self.dtype), device=device)

    def named(self, codes: Iterable[int]) -> list[Any]:
        """The user's labels of class numbers; None of -1, which is not known."""
        labels = range(self.size or 0) if self.labels is None else self.labels
        return [None if code < 0 else labels[int(code)] for code in codes]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, those that say nothing left out."""
        values = {"shape": list(self.shape), "kind": self.kind, "dtype": self.dtype, "size": self.size}
        values["labels"] = None if self.labels is None else list(self.labels)
        values["columns"] = {name: column.to_json() for name, column in self.columns.items()}
        values["changes"], values["text"] = [dict(change) for change in self.changes] or None, self.text
        values["is_set"] = self.is_set or None
        return {name: value for name, value in values.items() if value is not None and value != {}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> KeySpec:
        """The inverse of :meth:`to_json`."""
        columns = {name: cls.from_json(column) for name, column in values.get("columns", {}).items()}
        return cls(**{**values, "columns": columns, "changes": tuple(values.get("changes", ()))})


@dataclass(frozen=True, init=False)
class DataSpec:
    """Describes every key of a batch.

    ``DataSpec(name, shape, kind, levels, classes)`` describes x and labels y in short; ``keys`` describes any.

    Attributes:
        name: the data set's name.
        keys: name of a key -> :class:`KeySpec`, but for ``index``.
        binarization: "dynamic" (drawn each epoch), "fixed" (drawn once), "threshold" (x > 1/2) or "none".
        roles: what keys do beyond their names, by role: {"missing": "mask"} where that key is 1 where x is observed, which
            makes recipes build pairs of the observed part of x.
        mean: of x over the training data (up to 10,000 rows of it), (*shape); decoders start from it. No part of the JSON.
        columns: key -> the columns of the user's table that it was made of, where the user named them.

    >>> spec = DataSpec("toy", (28, 28), "levels", levels=256, classes=10)
    >>> spec.shape, spec.keys["y"].kind
    ((28, 28), 'category')
    """

    name: str
    keys: Mapping[str, KeySpec]
    binarization: str
    roles: Mapping[str, str]
    mean: Tensor | None = field(compare=False, repr=False)
    columns: Mapping[str, Any] = field(compare=False, repr=False)

    def __init__(
        self,
        name: str,
        shape: Iterable[int] | None = None,
        kind: str | None = None,
        levels: int | None = None,
        classes: int | None = None,
        binarization: str = "none",
        covariates: Mapping[str, Iterable[int]] | None = None,
        mean: Tensor | None = None,
        roles: Mapping[str, str] | None = None,
        keys: Mapping[str, KeySpec] | None = None,
        columns: Mapping[str, Any] | None = None,
    ) -> None:
        described = dict(keys or {})
        if shape is not None or kind is not None:
            known = described.get("x")
            described["x"] = KeySpec(
                tuple(known.shape if shape is None and known else shape or ()),
                kind or (known.kind if known else "real"),
                size=levels,
            )
        if classes is not None:
            described["y"] = KeySpec((), "category", size=classes)
        for key, of in (covariates or {}).items():
            described[key] = KeySpec(tuple(of), "real")
        values = {"name": name, "keys": described, "binarization": binarization, "roles": dict(roles or {})}
        for attribute, value in {**values, "mean": mean, "columns": dict(columns or {})}.items():
            object.__setattr__(self, attribute, value)
        self._refuse()

    def _refuse(self) -> None:
        if not self.keys:
            raise DataError(f"{self.name} has no keys; expected one at least, usually x.")
        for role, key in self.roles.items():
            if (role, key) != ("missing", "mask") or key not in self.keys:
                raise DataError(
                    f"{self.name}: role {role!r} is given to {key!r}; the one role is 'missing', of a key 'mask' that "
                    "is 1 where x is observed."
                )
        if self.binarization not in BINARIZATIONS:
            raise nearest("binarization", self.binarization, BINARIZATIONS)

    @property
    def main(self) -> str:
        """The key that recipes model: x, or where there is none the first."""
        return "x" if "x" in self.keys else next(iter(self.keys))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a datum of the main key: (H, W), (C, H, W) or (D,)."""
        return self.keys[self.main].shape

    @property
    def kind(self) -> str:
        """Of the main key."""
        return self.keys[self.main].kind

    @property
    def levels(self) -> int | None:
        """The number of grey levels of the main key, where its kind is "levels"."""
        return self.keys[self.main].size if self.kind == "levels" else None

    @property
    def classes(self) -> int | None:
        """The number of classes of y, where there is one of kind "category"."""
        y = self.keys.get("y")
        return y.size if y is not None and y.kind == "category" else None

    @property
    def covariates(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the keys beside the main one and labels y."""
        own = {self.main, "y"} if self.classes is not None else {self.main}
        return {key: known.shape for key, known in self.keys.items() if key not in own}

    def with_keys(self, keys: Mapping[str, KeySpec]) -> DataSpec:
        """The spec with these keys added, or changed."""
        return replace(self, keys={**self.keys, **keys})

    def zeros(self, rows: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """A batch of zeros of every key."""
        return {key: known.zeros(rows, device) for key, known in self.keys.items()}

    def identity(self) -> dict[str, Any]:
        """What a fingerprint hashes of the spec, as every version has written it; what is new is added where it is there."""
        said = {key: known.to_json() for key, known in self.keys.items() if known.labels or known.columns}
        return {
            **{name: getattr(self, name) for name in ("name", "kind", "levels", "classes", "binarization")},
            "shape": list(self.shape),
            "covariates": {key: list(shape) for key, shape in self.covariates.items()},
            **({"keys": said} if said else {}),
        }

    def to_json(self) -> dict[str, Any]:
        """The spec as a dict of plain JSON values."""
        keys = {key: known.to_json() for key, known in self.keys.items()}
        values = {"name": self.name, "keys": keys, "binarization": self.binarization, "roles": dict(self.roles)}
        columns = {key: names if isinstance(names, str) else list(names) for key, names in self.columns.items()}
        return {**values, "columns": columns} if columns else values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataSpec:
        """The inverse of :meth:`to_json`; reads what earlier versions wrote."""
        if "keys" in values:
            return cls(**{**values, "keys": {key: KeySpec.from_json(known) for key, known in values["keys"].items()}})
        # earlier versions described x alone, and wrote no roles: a mask was that of missing values
        roles = values.get("roles", {"missing": "mask"} if "mask" in values.get("covariates", {}) else {})
        return cls(**{**values, "roles": roles})


def factor_sizes(spec: DataSpec) -> dict[str, int]:
    """The keys of one class or ordered class a datum, and how many classes there are."""
    others = {name: key for name, key in spec.keys.items() if name != spec.main and key.shape == ()}
    return {name: key.size for name, key in others.items() if key.kind in ("category", "ordinal") and key.size is not None}
