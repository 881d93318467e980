"""Groups whose data differ in one factor of variation, and which factor that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyrovae.data.dataset import Data
from pyrovae.data.grouping import Gather, _gathered
from pyrovae.data.spec import KeySpec
from pyrovae.data.split import Split, Uniform
from pyrovae.data.transforms import enter
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["varying"]


@dataclass(frozen=True, kw_only=True)
class _OneVaries(Gather):
    """Others of the same values in all factors but those of one kind of group, never the row itself if there are any."""

    width: int
    names: tuple[str, ...]
    weights: Tensor  # of each kind of group, (T,)
    order: Tensor  # the rows by class, of each kind, (T, N)
    first: Tensor  # where a row's class begins there, (T, N)
    count: Tensor  # how many rows it has, (T, N)
    place: Tensor  # of a row in its class, (T, N)
    own: tuple[str, ...] = ()
    keys: tuple[str, ...] = ("varied",)

    def members(self, rows: Tensor, uniform: Uniform) -> Tensor:
        rows = rows.to(self.order.device)
        u = uniform((self.width,)).to(rows.device)
        share = (self.weights.unsqueeze(1) * (self.count[:, rows] > 1)).cumsum(0)  # (T, B)
        kind = (u[:, 0] * share[-1] >= share).sum(0).clamp(max=len(share) - 1)
        first, count, place = (each[kind, rows].unsqueeze(1) for each in (self.first, self.count, self.place))
        others = (u[:, 1:] * (count - 1)).long()
        others = others + (others >= place)
        found = self.order[kind.unsqueeze(1), (first + others).clamp(max=self.order.shape[1] - 1)]
        own = rows.unsqueeze(1)
        return torch.cat([own, torch.where(count > 1, found, own)], 1)

    def more(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        values = torch.stack([batch[name] for name in self.names], -1)  # (B, g, F)
        differs = (values != values[:, :1]).any(1)
        return {"varied": torch.cat([differs, ~differs.any(1, keepdim=True)], 1).to(torch.float32)}


@enter("varying")
def varying(data: Data, *, size: int = 4, factors: Sequence[str] | None = None, rest_weight: float = 1.0) -> Data:
    """Each datum with ``size`` - 1 others that differ from it in one factor alone: x (B, size, *shape), ``varied`` (B, F + 1).

    Which factor it is, is drawn in proportion to 1 for each of those named and ``rest_weight`` for all others together, out of
    those that other rows of the part differ in; ``varied`` has a 1 at its place, that of the others last. A row that has none
    comes ``size`` times, as one whose other factors vary. Drawn anew in each epoch; outside of training a function of the row.
    Every key of a row is (B, size, ...).

    Args:
        data: with factors of variation as keys of kind category or ordinal.
        size: data of a group; 1 leaves each alone.
        factors: the F that get a kind of group each; by default all that have two values at least.
        rest_weight: of groups in which the other factors vary; without any it has no effect.

    References: Kulkarni, Whitney, Kohli and Tenenbaum, Deep Convolutional Inverse Graphics Network, 2015, Section 3.2.
    """
    spec = data.spec
    known = {key: each.size for key, each in spec.keys.items() if each.kind in ("category", "ordinal") and each.shape == ()}
    known = {key: size for key, size in known.items() if key not in (spec.main, "y") and size is not None}
    if not known:
        raise DataError(f"{spec.name} has no factors of variation (keys of kind category or ordinal); varying needs some.")
    if type(size) is not int or size < 1:
        raise OptionError(f"size is {size!r}; expected a whole number of at least 1, the data of a group.")
    number = isinstance(rest_weight, (int, float)) and not isinstance(rest_weight, bool)
    if not number or not math.isfinite(rest_weight) or rest_weight < 0:
        raise OptionError(f"rest_weight is {rest_weight!r}; expected a number of at least 0.")
    chosen = [key for key, count in known.items() if count and count > 1] if factors is None else list(factors)
    for name in chosen:
        if name not in known:
            raise nearest("factor", name, known)
    if not chosen:
        raise OptionError("factors is empty; expected the names of those that get a code each.")
    names, rest = tuple(dict.fromkeys(chosen)), [key for key in known if key not in chosen]

    def recipe(split: Split) -> Gather:
        kinds = [[key for key in known if key != name] for name in names] + ([list(names)] if rest else [])
        tables = [_classes(split, fixed) for fixed in kinds]
        weights = torch.tensor([1.0] * len(names) + ([float(rest_weight)] if rest else []))
        parts = {name: torch.stack([table[name] for table in tables]) for name in ("order", "first", "count", "place")}
        return _OneVaries(width=size, names=names, weights=weights.to(parts["order"].device), **parts)

    more = {"varied": KeySpec((len(names) + 1,), "binary")}
    return _gathered(data, recipe, f"varying {size} {names} {rest_weight}", size, (), more)


def _classes(split: Split, fixed: Sequence[str]) -> dict[str, Any]:
    """The rows by their values of some factors."""
    values = torch.zeros(len(split), dtype=torch.int64)
    for name in fixed:
        column = split[name].long().cpu()
        values = values * (int(column.max()) + 1) + column
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    order = inverse.argsort(stable=True)
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order)) - starts[inverse[order]]
    found = {"order": order, "first": starts[inverse], "count": counts[inverse], "place": place}
    return {name: each.to(split.device) for name, each in found.items()}
