"""Changes of the columns of a table that are recorded on them, and taken back: units, scales, logarithms, sizes of counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyrovae.data.changes import changed, columns_of
from pyrovae.data.dataset import Data
from pyrovae.data.spec import KeySpec
from pyrovae.data.split import Split, Uniform
from pyrovae.data.transforms import TRANSFORMS, each_part, enter
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["library_size", "log1p", "one_hot", "standardize"]


@dataclass(frozen=True)
class _Changed:
    """x with some columns changed, where they are seen."""

    changes: tuple[tuple[int, Mapping[str, Any]], ...]
    keys: tuple[str, ...] = ()

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x = batch["x"].to(torch.float32)
        columns = list(x.unbind(-1))
        for i, change in self.changes:
            columns[i] = changed(columns[i], [change])
        result = torch.stack(columns, -1)
        return {**batch, "x": result.where(batch["mask"].bool(), 0.0) if "mask" in batch else result}


def _change(data: Data, changes: Mapping[str, Mapping[str, Any]], kind: str) -> Data:
    """The data with a change of each of these columns, which makes them of a kind, recorded in the description of x."""
    columns = columns_of(data.spec)
    places = tuple((list(columns).index(name), change) for name, change in changes.items())
    for name, change in changes.items():
        old = columns[name]
        columns[name] = replace(old, kind=kind, dtype="float32", changes=(*old.changes, dict(change)))
    kinds = {each.kind for each in columns.values()}
    x = KeySpec(data.spec.shape, kinds.pop() if len(kinds) == 1 else "table", columns=columns)
    row = _Changed(places)
    mean = data.spec.mean
    if mean is not None:
        mean = row({"x": mean.unsqueeze(0)}, torch.rand)["x"][0]
    spec = replace(data.spec.with_keys({"x": x}), mean=mean)
    made = each_part(data, lambda part, _: part.with_(transforms=(*part.transforms, row)))
    return replace(made, spec=spec, **{name: part and part.with_(spec=spec) for name, part in made.parts().items()})


def _chosen(data: Data, columns: Sequence[str] | None, kinds: Sequence[str], what: str) -> list[str]:
    """The columns that a change is meant for, by default all of these kinds."""
    if len(data.spec.shape) != 1:
        raise DataError(f"{data.spec.name}: {what} takes rows of columns, (D,); x has shape {data.spec.shape}.")
    known = columns_of(data.spec)
    for name in columns or ():
        if name not in known:
            raise nearest("column", name, known)
        if known[name].kind not in kinds:
            raise OptionError(f"column {name!r} is {known[name].kind}; {what} takes {', '.join(kinds)} columns.")
    return list(columns) if columns else [name for name, each in known.items() if each.kind in kinds]


@enter("standardize")
def _standardized(data: Data, *, columns: Sequence[str], loc: Sequence[float], scale: Sequence[float]) -> Data:
    triples = zip(columns, loc, scale, strict=True)
    return _change(data, {name: {"name": "standardize", "loc": m, "scale": s} for name, m, s in triples}, "real")


_RECORDED = TRANSFORMS["standardize"]  # writes what was measured into the data's source


def standardize(
    data: Data,
    *,
    columns: Sequence[str] | None = None,
    loc: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
) -> Data:
    """Real columns less their mean, over their standard deviation, of what is seen in the training data; recorded.

    A DataFrame that a run meets later is in the user's units, and is changed alike; an array x is one as batches hold it.

    Args:
        data: rows of columns, (D,).
        columns: their names; by default all real ones.
        loc: what is taken off each column; by default its measured mean.
        scale: what each is divided by then; by default its measured standard deviation.
    """
    names = _chosen(data, columns, ("real", "unit") if columns else ("real",), "standardize")
    if loc is None or scale is None:
        measured = [_moments(data, name) for name in names]
        loc = [m for m, _ in measured] if loc is None else loc
        scale = [s for _, s in measured] if scale is None else scale
    if not len(names) == len(loc) == len(scale) or min(scale, default=1) <= 0:
        raise OptionError(
            f"standardize: loc={loc} and scale={scale} came for {', '.join(names)}; expected a number for each, scale above 0."
        )
    return _RECORDED(data, columns=names, loc=list(loc), scale=list(scale))


TRANSFORMS["standardize"] = standardize


def _moments(data: Data, name: str) -> tuple[float, float]:
    """Mean and standard deviation of what is seen of a column in the training data."""
    train = data.train
    assert isinstance(train, Split)
    i = list(columns_of(data.spec)).index(name)
    values = train["x"][:, i].double()
    if "mask" in train.keys:
        values = values[train["mask"][:, i].bool()]
    if len(values) < 2 or float(values.std()) == 0:
        raise DataError(f"{data.spec.name}: column {name!r} has one value only, and no scale to divide by; leave it out.")
    return float(values.mean()), float(values.std())


@enter("log1p")
def log1p(data: Data, *, columns: Sequence[str] | None = None) -> Data:
    """log(1 + x) of columns of counts and positive numbers, which are real then; recorded.

    Args:
        data: rows of columns, (D,).
        columns: their names; by default all positive ones.
    """
    kinds = ("positive", "count", "unit") if columns else ("positive",)
    return _change(data, {name: {"name": "log1p"} for name in _chosen(data, columns, kinds, "log1p")}, "real")


@dataclass(frozen=True)
class _Size:
    """``size`` = the sum of x."""

    keys: tuple[str, ...] = ("size",)

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        return {**batch, "size": batch["x"].flatten(1).sum(1).to(torch.float32)}


@enter("library-size")
def library_size(data: Data) -> Data:
    """The size of counts: ``size``, (B,), is the sum of x.

    Args:
        data: of counts.

    References: Lopez et al., Deep Generative Modeling for Single-cell Transcriptomics, 2018, Methods.
    """
    if data.spec.kind != "count":
        raise DataError(
            f"{data.spec.name}: library-size takes counts; x is {data.spec.kind}: load with kinds={{'x': 'count'}}."
        )
    spec = data.spec.with_keys({"size": KeySpec((), "real")})
    return replace(each_part(data, lambda part, _: part.with_(transforms=(*part.transforms, _Size()), spec=spec)), spec=spec)


@dataclass(frozen=True)
class _OneHot:
    """Classes as vectors, zero where a class is not known."""

    sizes: tuple[tuple[str, int], ...]
    keys: tuple[str, ...] = ()

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        made = {}
        for key, size in self.sizes:
            classes = torch.arange(size, device=batch[key].device)
            made[key] = (batch[key].unsqueeze(-1) == classes).to(torch.float32)
        return {**batch, **made}


@enter("one-hot")
def one_hot(data: Data, *, keys: Sequence[str]) -> Data:
    """Classes 0..C-1 of some keys as vectors of one 1, (B, C): what networks that condition on a class take; recorded.

    An unknown class, -1, becomes zeros. The class is the place of the 1, and the key's ``changes`` have its name: rows that a
    run meets later may have names, numbers or vectors. A table's own columns stay as they are: pair ``table-vae`` makes
    vectors of them by itself.

    Args:
        data: with keys of kind category beside x.
        keys: their names.
    """
    keys = [keys] if isinstance(keys, str) else list(keys)
    for key in keys:
        if key not in data.spec.keys:
            raise nearest("key", key, data.spec.keys)
        known = data.spec.keys[key]
        if key in ("x", "y") or known.kind != "category" or known.shape != ():
            raise OptionError(
                f"one-hot takes classes beside x and y, one a datum; {key!r} is {known.kind} of shape {known.shape}"
                f"{', and y stays the number of a class, as objectives take it' if key == 'y' else ''}."
            )
    sizes = tuple((key, int(data.spec.keys[key].size or 0)) for key in keys)
    done = {key: {"name": "one-hot", "labels": list(data.spec.keys[key].labels or range(size))} for key, size in sizes}
    made = {key: KeySpec((size,), "binary", changes=(done[key],)) for key, size in sizes}
    spec = data.spec.with_keys(made)
    rows = _OneHot(sizes)
    return replace(each_part(data, lambda part, _: part.with_(transforms=(*part.transforms, rows), spec=spec)), spec=spec)
