"""Missing values of x: those that the data have, and those hidden to try a method; 0 in the batch, told by ``mask``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyrovae.data.columns import Column, Lazy, Table, Text, as_column, tensor
from pyrovae.data.dataset import Data
from pyrovae.data.seeds import MASKS, generator
from pyrovae.data.spec import DataSpec, KeySpec
from pyrovae.data.split import Split, Uniform
from pyrovae.data.store import Arrays
from pyrovae.data.transforms import each_part, enter
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["MASKS_OF_X", "blank", "hide_missing", "missing", "with_role"]

MASKS_OF_X = ("mask",)  # values of the option ``missing``


@dataclass(frozen=True)
class _Blank:
    """x = 0 where ``mask`` is 0."""

    keys: tuple[str, ...] = ("mask",)

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        mask = batch["mask"].to(torch.float32)
        return {**batch, "mask": mask, "x": batch["x"].where(mask.bool(), batch["x"].new_zeros(()))}


def blank(split: Split) -> Split:
    """The split with x = 0 where its ``mask`` is 0."""
    return split.with_(transforms=(*split.transforms, _Blank()))


def with_role(spec: DataSpec) -> DataSpec:
    """The spec of data whose ``mask`` says what x misses."""
    known = spec.with_keys({"mask": KeySpec(spec.shape, "binary", is_set=spec.keys[spec.main].is_set)})
    return replace(known, roles={**spec.roles, "missing": "mask"})


@enter("missing")
def missing(data: Data, *, rate: float = 0.5, parts: str = "all", seed: int = 0) -> Data:
    """Values of x missing completely at random, once and for all: ``mask``, (B, *shape), is 1 where x is.

    A recipe makes of such data a pair of the observed part of x, log p(x_observed) (:func:`~pyrovae.observed_part`).

    Args:
        data: any.
        rate: probability that a value is missing.
        parts: "all", or "train" for complete valid and test data (their mask is 1).
        seed: of the masks.
    """
    if not 0 <= rate < 1 or parts not in ("all", "train"):
        raise OptionError(f"rate is {rate!r}, parts {parts!r}; expected a rate from 0 up to 1, and 'all' or 'train'.")
    if "mask" in data.spec.keys:
        raise DataError(f"{data.spec.name} has a key 'mask' already; expected data whose values are not hidden twice.")

    def hide(part: Split, number: int) -> Split:
        if not isinstance(part.store, Arrays):
            raise DataError(f"{data.spec.name}: values of a Dataset cannot be hidden here; let it give x and mask itself.")
        chance = rate if parts == "all" or number == 0 else 0.0
        noise = torch.rand(len(part), *data.spec.shape, generator=generator(seed, MASKS, number))
        columns = {**part.store.columns, "mask": (noise >= chance).to(torch.uint8).to(part.device)}
        return blank(part.with_(store=replace(part.store, columns=columns)))

    changed = each_part(data, hide, ["mask"])
    spec = with_role(changed.spec)
    return replace(changed, spec=spec, **{name: part and part.with_(spec=spec) for name, part in changed.parts().items()})


# ------------------------------------------------------------------------------------------------ those that data have
def hide_missing(raw: Mapping[str, Any], where: str, option: str | None, whole: bool = True) -> dict[str, Any]:
    """Raw columns without NaN and masked arrays: with "mask" a key ``mask`` says what x misses; None refuses masked arrays.

    With ``whole`` there is such a key also where no value is missing. What stands in for a missing one is another value of its
    column, so that it is of the same kind; no batch shows it.
    """
    if option is not None and option not in MASKS_OF_X:
        raise nearest("way to treat missing values", option, MASKS_OF_X)
    made = dict(raw)
    for key, value in raw.items():
        if isinstance(value, np.ma.MaskedArray):
            if key == "x" and option is not None:
                continue
            if np.ma.getmaskarray(value).any():
                hint = "load with missing='mask' to leave those out" if key == "x" else "fill them, as in a.filled(0)"
                raise DataError(f"{where}: {key} is a masked array, {_share(value)} of which is masked; {hint}.")
            made[key] = value.data
    if option is None:
        return made
    if "x" not in made:
        raise OptionError(f"missing is {option!r}, but {where} has no x; expected the key whose values are missing.")
    x, seen = _seen(made["x"], where)
    if "mask" in made:
        given = np.asarray(made["mask"])
        if given.shape != seen.shape:
            raise DataError(f"{where}: mask has shape {given.shape}; expected that of x, {seen.shape}.")
        if not (known := np.isin(given, (0, 1))).all():
            raise DataError(f"{where}: mask holds {given[~known].flat[0]}; expected 1 where x is seen and 0 elsewhere.")
        x, seen = _stand_in(x, seen & (given != 0)), seen & (given != 0)
    if not seen.any():
        raise DataError(f"{where}: every value of x is missing; expected some.")
    if seen.all() and not whole and "mask" not in made:
        return {**made, "x": x}
    return {**made, "x": x, "mask": tensor(seen.astype(np.uint8))}


def _share(value: np.ma.MaskedArray) -> str:
    return f"{np.ma.getmaskarray(value).mean():.0%}"


def _seen(value: Any, where: str) -> tuple[Column, np.ndarray]:
    """x with a value in each place, and (N, *shape) bool, whether it is its own."""
    if isinstance(value, np.ma.MaskedArray):
        column = as_column(np.asarray(value.data), where)
        assert isinstance(column, Tensor)
        seen = ~np.ma.getmaskarray(value) & _there(column)
    else:
        column = as_column(value, where)
        if isinstance(column, Lazy):
            column = column.take(torch.arange(len(column)))
        table = isinstance(column, Table)
        seen = np.stack([_there(each) for each in column.columns.values()], 1) if table else _there(column)
    return _stand_in(column, seen), seen


def _there(column: Tensor | Text) -> np.ndarray:
    if isinstance(column, Text):
        return ~np.equal(column.values, None).astype(bool)
    return (~column.isnan()).cpu().numpy()


def _stand_in(column: Column, seen: np.ndarray) -> Column:
    """The column with another of its values where one is not seen."""
    if isinstance(column, Table):
        parts = enumerate(column.columns.items())
        return Table({name: _stand_in(each, seen[:, number]) for number, (name, each) in parts})  # type: ignore[arg-type]
    if isinstance(column, Text):
        first = next(iter(column.values[seen]), "")
        return replace(column, values=np.where(seen, column.values, first))
    assert isinstance(column, Tensor)
    known = torch.from_numpy(seen).to(column.device)
    return column.where(known, column[known][0] if seen.any() else column.new_zeros(()))
