"""Changes of a table's columns, recorded in their descriptions: applied to the user's values, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyrovae.data.spec import DataSpec, KeySpec

__all__ = ["changed", "classes_of_vectors", "columns_of", "log_jacobian", "unchanged", "user_values"]


def columns_of(spec: DataSpec) -> dict[str, KeySpec]:
    """The columns of x by name; those of an array, (D,), are numbered and all of its kind.

    >>> list(columns_of(DataSpec("toy", (2,), "real")))
    ['0', '1']
    """
    known = spec.keys["x"]
    return dict(known.columns) or {str(i): KeySpec((), known.kind, size=known.size) for i in range(spec.shape[0])}


@dataclass(frozen=True)
class Change:
    """An increasing function of a column's values.

    Attributes:
        forward: from the values before it to those after, with the options of its record.
        inverse: back.
        log_slope: of the values before it, the logarithm of its derivative.
    """

    forward: Callable[..., Tensor]
    inverse: Callable[..., Tensor]
    log_slope: Callable[..., Tensor]


CHANGES = {
    "standardize": Change(
        lambda x, loc, scale: (x - loc) / scale,
        lambda x, loc, scale: x * scale + loc,
        lambda x, loc, scale: torch.full_like(x, scale).log().neg(),
    ),
    "log1p": Change(torch.log1p, torch.expm1, lambda x: -torch.log1p(x)),
}


def changed(values: Tensor, changes: Sequence[Mapping[str, Any]]) -> Tensor:
    """A column's values, (N,), after recorded changes, one after another, in float64 between."""
    result = values.double()
    for change in changes:
        result = CHANGES[change["name"]].forward(result, **_options(change))
    return result.to(torch.float32)


def classes_of_vectors(spec: KeySpec) -> KeySpec | None:
    """The classes of which a key holds vectors of one 1; None of any other key."""
    labels = next((change["labels"] for change in spec.changes if change["name"] == "one-hot"), None)
    return None if labels is None else KeySpec((), "category", size=len(labels), labels=tuple(labels))


def unchanged(spec: DataSpec) -> DataSpec:
    """The spec of the same data before the changes of their columns and keys."""
    spec = spec.with_keys({key: each for key, known in spec.keys.items() if (each := classes_of_vectors(known)) is not None})
    x = spec.keys.get("x")
    if x is None or not any(column.changes for column in x.columns.values()):
        return spec
    return spec.with_keys({"x": replace(x, columns={name: replace(each, changes=()) for name, each in x.columns.items()})})


def _options(change: Mapping[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in change.items() if option != "name"}


def user_values(x: Tensor, spec: DataSpec) -> Tensor:
    """Rows of x, (..., D), with every recorded change of their columns taken back: in the units that the user gave.

    >>> changed = {"height": KeySpec((), "real", changes=({"name": "standardize", "loc": 170.0, "scale": 10.0},))}
    >>> user_values(torch.tensor([[0.5]]), DataSpec("people", keys={"x": KeySpec((1,), "table", columns=changed)}))
    tensor([[175.]])
    """
    columns = []
    for i, column in enumerate(columns_of(spec).values()):
        values = x[..., i].double() if column.changes else x[..., i]
        for change in reversed(column.changes):
            values = CHANGES[change["name"]].inverse(values, **_options(change))
        columns.append(values.to(x.dtype) if x.is_floating_point() else values)
    return torch.stack(columns, -1)


def log_jacobian(x: Tensor, spec: DataSpec, mask: Tensor | None = None) -> Tensor:
    """log |dx / du| of rows x, (..., D), u in the user's units: what log p(u) has more than log p(x), in nats, (...).

        log p(u) = log p(x) + sum_i log |dx_i / du_i|,   over the i that are seen

    Args:
        x: as a batch has it, after all changes.
        spec: of the data.
        mask: (..., D), 1 where a value is seen.
    """
    total = torch.zeros(x.shape[:-1], dtype=torch.float64, device=x.device)
    for i, column in enumerate(columns_of(spec).values()):
        values = x[..., i].double()
        for change in reversed(column.changes):
            values = CHANGES[change["name"]].inverse(values, **_options(change))
            slope = CHANGES[change["name"]].log_slope(values, **_options(change))
            total = total + (slope if mask is None else slope.where(mask[..., i].bool(), 0.0))
    return total
