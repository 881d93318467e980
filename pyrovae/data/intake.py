"""Raw values of a key to those that a store holds: axes, class numbers, types by the key's description; what does not fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyrovae.data.changes import changed, classes_of_vectors
from pyrovae.data.checks import Scan
from pyrovae.data.columns import Column, Lazy, Table, Text
from pyrovae.data.spec import GREY_KINDS, KeySpec
from pyrovae.data.store import Arrays, Items, Store
from pyrovae.data.words import as_lines, word_numbers
from pyrovae.errors import DataError

__all__ = ["Intake", "take_in"]

log = logging.getLogger("pyrovae")


@dataclass(frozen=True)
class Intake:
    """Makes of raw values what the key's description says, and refuses what does not fit it.

    Integers of grey levels stay integers, which the split divides.

    Attributes:
        key: name of the key.
        spec: its description.
        where: begins the messages.
        own: whether the description was made of these data, so that numbers outside its range are none of it. New data that
            a pair meets later may leave it, where its likelihood lets them, but not come in another scale.
        numbered: whether classes come as their numbers 0..C-1, as in a batch, and not as the user calls them; None where that
            is not known, which is warned of if both make sense.
    """

    key: str
    spec: KeySpec
    where: str
    own: bool = True
    numbered: bool | None = False

    def __call__(self, raw: Any, place: str = "") -> Tensor:
        """The values, (B, *shape); ``place`` says which part of the data they are."""
        if self.spec.text and (lines := as_lines(raw)) is not None:
            return word_numbers(lines, self.spec, f"{self.where}, {self.key}")
        if isinstance(raw, Table):
            return self._table(raw)
        classes = classes_of_vectors(self.spec)
        if classes is not None and (isinstance(raw, Text) or tuple(raw.shape[1:]) != self.spec.shape):
            numbers = replace(self, spec=classes)(raw, place)
            return (numbers.unsqueeze(-1) == torch.arange(self.spec.shape[0])).to(torch.float32)
        if isinstance(raw, Text):
            return self._named(raw)
        values = self._shaped(raw, place)
        done = {change["name"] for column in self.spec.columns.values() for change in column.changes}
        if done and not self.numbered:
            log.warning(
                "%s: %s is read as batches hold it, after %s; give a DataFrame for values in units of your own.",
                *(self.where, self.key, " and ".join(sorted(done))),
            )
        if self.spec.kind in ("category", "ordinal"):
            return self._numbers(values, place)
        self._check(values, place)
        return self._typed(values)

    def _refuse(self, place: str, came: str, expected: str) -> DataError:
        return DataError(f"{self.where}: {place}{self.key} {came}; expected {expected}.")

    def _shaped(self, raw: Tensor, place: str) -> Tensor:
        event, shape = tuple(raw.shape[1:]), self.spec.shape
        if event == shape:
            return raw
        if len(event) == 3 and (event[2], event[0], event[1]) == shape:
            return raw.movedim(-1, 1).contiguous()
        if self.spec.kind == "category" and shape == ():
            if event == (1,):
                return raw[:, 0]
            if event == (self.spec.size,):
                if not bool(((raw == 0) | (raw == 1)).all() and (raw.sum(1) == 1).all()):
                    raise self._refuse(
                        place, f"has rows of {event[0]} values", "one-hot rows, or one label a row, by argmax(1)"
                    )
                return raw.argmax(1)
            advice = "one label a row: of one-hot rows argmax(1), of (N, 1) squeeze(1)"
            raise self._refuse(place, f"has shape {event} a row", advice)
        if not self.own and not self.spec.columns and self.spec.kind not in ("category", "ordinal"):
            return raw  # whether a pair takes another shape is for the pair to say
        raise self._refuse(place, f"has shape {event} a row", f"{shape}, as the rows before")

    # -------------------------------------------------------------------------------------------- classes
    def _numbers(self, values: Tensor, place: str) -> Tensor:
        size, labels = self.spec.size or 0, None if self.numbered else self.spec.labels
        if not values.numel():
            return values.to(torch.int64)
        whole = values.to(torch.int64)
        if bool((whole != values).any()):
            raise self._refuse(place, "holds fractions", "class numbers")
        if labels is None or not all(isinstance(label, int) for label in labels):
            if int(whole.max()) >= size or int(whole.min()) < -1:
                worst = int(whole.max()) if int(whole.max()) >= size else int(whole.min())
                raise self._refuse(place, f"holds class {worst}", f"0..{size - 1}, or -1 for an unknown label; {MORE_CLASSES}")
            return whole
        known = torch.tensor([int(label) for label in labels], device=values.device)
        order = known.argsort()
        found = order[torch.searchsorted(known[order], whole).clamp(max=size - 1)]
        bad = (known[found] != whole) & (whole != -1)
        if bool(bad.any()):
            text = ", ".join(map(str, labels[:10])) + (", ..." if size > 10 else "")
            raise self._refuse(place, f"holds label {int(whole[bad][0])}", f"one of {text}, or -1; {MORE_CLASSES}")
        if self.numbered is None and bool((whole < size).all()):
            log.warning(
                "%s: %s is read as labels %s..%s of the data that the pair knows, not as class numbers 0..%d; give rows of a "
                "data set with their index for those.",
                *(self.where, self.key, labels[0], labels[-1], size - 1),
            )
        return torch.where(whole == -1, whole, found)

    def _named(self, text: Text) -> Tensor:
        if self.spec.labels is None:
            raise self._refuse(
                "", "holds names", "numbers; names become classes 0..C-1 by numpy.unique(..., return_inverse=True)[1]"
            )
        numbers = {label: number for number, label in enumerate(self.spec.labels)}
        unknown = sorted({str(each) for each in text.values.ravel() if each is not None and each not in numbers})
        if unknown:
            known = ", ".join(map(str, self.spec.labels[:10])) + (", ..." if len(numbers) > 10 else "")
            raise self._refuse("", f"holds {', '.join(unknown[:3])}", f"one of {known}; {MORE_CLASSES}")
        codes = [-1 if each is None else numbers[each] for each in text.values.ravel()]
        if -1 in codes and self.key != "y":
            raise self._refuse("", "misses some names", "one in each row, or missing='mask' for those of a table")
        return torch.tensor(codes, dtype=torch.int64).reshape(text.values.shape)

    def _table(self, table: Table) -> Tensor:
        if table.columns.keys() != self.spec.columns.keys():
            raise self._refuse(
                "", f"has the columns {', '.join(table.columns)}", f"{', '.join(self.spec.columns)}, in any order"
            )
        made = []
        for name, known in self.spec.columns.items():
            column = table.columns[name]
            one = Intake(name, known, self.where, self.own)(column)
            made.append(changed(column if isinstance(column, Tensor) else one, known.changes) if known.changes else one)
        dtype = getattr(torch, self.spec.dtype)
        return torch.stack([column.to(dtype) for column in made], 1)

    # -------------------------------------------------------------------------------------------- numbers
    def _check(self, values: Tensor, place: str) -> None:
        if not values.numel():
            return
        kind, whole = self.spec.kind, not values.is_floating_point()
        if not whole and not bool(torch.isfinite(values.to(torch.float32).sum())):
            bad = ~torch.isfinite(values.to(torch.float32).reshape(len(values), -1)).all(1)
            if bool(bad.any()):
                row = f"holds NaN, or a number too large for float32, first in row {int(bad.nonzero()[0])}"
                raise self._refuse(place, row, "finite numbers: drop or fill such rows, or load with missing='mask'")
        low, high = (float(each) for each in torch.aminmax(values.to(torch.uint8) if values.dtype == torch.bool else values))
        came = f"holds {'integers' if whole else 'numbers'} from {low:g} to {high:g}"
        if kind in ("count", "tokens"):
            top = self.spec.size if kind == "tokens" else None
            if low < 0 or (top is not None and high >= top) or (not whole and bool((values != values.round()).any())):
                raise self._refuse(place, came, f"whole numbers {'from 0 up' if top is None else f'0..{top - 1}'} ({kind})")
        elif kind in ("binary", "levels", "unit"):
            self._check_scale(values, low, high, came, place)
        if not self.own and self.spec.dtype == "float32" and values.dtype in (torch.float64, torch.int64):
            found = Scan(self.where, self.key)
            found.add(values)
            if found.spread is not None and found.spread.lost():
                raise self._refuse(
                    place, f"{came} that float32 cannot tell apart", "numbers whose spread is more than its rounding"
                )
        if kind == "real" and values.dtype == torch.uint8 and len(self.spec.shape) >= 2 and not self.own:
            raise self._refuse(place, f"{came} (uint8)", "floats, scaled as the data were that the pair was trained on")

    def _check_scale(self, values: Tensor, low: float, high: float, came: str, place: str) -> None:
        """Grey in the scale of the description: integers below its levels, or floats in [0, 1]."""
        kind, whole = self.spec.kind, not values.is_floating_point()
        top = (self.spec.size or 2) - 1 if kind == "levels" and whole else 1
        other_scale = whole or (high > 1 and bool((values == values.round()).all()))
        off = low < 0 or high > top
        if kind == "binary" and self.own:
            off = off or not bool(((values == 0) | (values == 1)).all())
        if off and (self.own or other_scale):
            expected = {
                "binary": "0 and 1 alone (binary); binarize, or say another kind where the data are loaded",
                "unit": "numbers from 0 to 1 (unit): divide grey levels by 255",
                "levels": f"integers 0..{(self.spec.size or 2) - 1}, or floats from 0 to 1 (levels)",
            }
            raise self._refuse(place, came, expected[kind])

    def _typed(self, values: Tensor) -> Tensor:
        """In the type that the store keeps: bytes for grey and binary integers, else the batch's."""
        kind, dtype = self.spec.kind, getattr(torch, self.spec.dtype)
        if not values.is_floating_point() and kind in GREY_KINDS and dtype == torch.float32 and kind != "real":
            return values.to(torch.uint8 if (self.spec.size or 2) <= 256 else torch.int64)
        return values.to(dtype)


MORE_CLASSES = "say how many there are where the data are loaded, as in kinds={'y': 'category:10'}"


def take_in(store: Store, intakes: dict[str, Intake]) -> Store:
    """The store with each key as its description says: at once what lies in memory, in each batch what does not."""
    if isinstance(store, Items):
        return replace(store, read_keys={**store.read_keys, **intakes})
    assert isinstance(store, Arrays)
    return replace(store, columns={key: _column(column, intakes.get(key)) for key, column in store.columns.items()})


def _column(column: Column, intake: Intake | None) -> Column:
    if intake is None:
        return column
    return replace(column, read=intake) if isinstance(column, Lazy) else intake(column)
