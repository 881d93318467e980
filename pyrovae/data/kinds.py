"""Which kind a key is of: told by the user, or by its values; and the sentence that says what it was taken for, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from pyrovae.data.checks import EXACT_IN_FLOAT32, Scan
from pyrovae.data.classes import Verdict, classes_of, labels_of
from pyrovae.data.spec import COLUMN_KINDS, KINDS, SIZED, TEXTS, KeySpec
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["Told", "channels_last", "describe", "parse_kind"]

SMALLEST_FLAT_IMAGE = 64  # values of 8 x 8 pixels


@dataclass(frozen=True)
class Told:
    """A kind as the user says it, ``count`` or ``levels:17``: the number is of levels, classes or words."""

    kind: str
    size: int | None = None


def parse_kind(key: str, told: Any) -> Told:
    """``"levels:17"``, ``{"kind": "levels", "size": 17}`` or a :class:`Told`.

    >>> parse_kind("x", "levels:17")
    Told(kind='levels', size=17)
    """
    if isinstance(told, Told):
        return told
    kind, size = (told.get("kind"), told.get("size")) if isinstance(told, Mapping) else (told, None)
    if isinstance(kind, str) and ":" in kind:
        kind, _, text = kind.partition(":")
        if not text.isdigit():
            raise OptionError(f"kinds[{key!r}] is {told!r}; expected a whole number after the colon, as in 'levels:17'.")
        size = int(text)
    known, sized = tuple(dict.fromkeys([*KINDS, *COLUMN_KINDS, *TEXTS])), tuple(dict.fromkeys([*SIZED, *TEXTS]))
    if kind not in known:
        raise nearest("kind of data", kind, known)
    if size is not None and (kind not in sized or isinstance(size, bool) or not isinstance(size, int) or size < 2):
        raise OptionError(f"kinds[{key!r}] is {told!r}; a number of at least 2 goes with {', '.join(sized)} alone.")
    return Told(kind, size)


def describe(
    found: Scan, told: Told | None, main: bool, kinds: Mapping[str, Told] | None = None, classes: bool = True
) -> Verdict:
    """What a key is taken for.

    Args:
        found: what its values are.
        told: what the user says of it.
        main: whether it is what is modelled, x, which networks take as floats unless it is counted.
        kinds: what the user says of the columns of a table.
        classes: whether labels y are numbered from 0; False takes them for numbers of classes already.
    """
    if found.columns:
        return _table(found, told, kinds or {})
    if "text" in found.types and not classes:
        raise DataError(
            f"{found.where}: {found.key} holds names, and it is not known which classes they are; give a pair that was fitted "
            "to data with such names, or numbers, as numpy.unique(..., return_inverse=True)[1] has them."
        )
    shape = _event(found)
    if told is not None:
        verdict = _as_told(found, told, shape)
    elif found.key == "y" and (labels := labels_of(found, classes)) is not None:
        verdict = labels
    elif "text" in found.types:
        verdict = classes_of(found, None)
    else:
        verdict = _by_values(found, shape)
    return _in_float32(found, _keep_type(found, verdict, main or told is not None))


def channels_last(shape: tuple[int, ...]) -> bool:
    """Whether images of such a shape are (H, W, C)."""
    return len(shape) == 3 and shape[-1] in (1, 3, 4) and shape[0] not in (1, 3, 4)


def _event(found: Scan) -> tuple[int, ...]:
    """The shape in the batch: uint8 images come with their channels first."""
    shape = found.shape or ()
    return (shape[2], *shape[:2]) if channels_last(shape) and "uint8" in found.types else shape


def _range(found: Scan) -> str:
    return f"{'integers' if found.integer else 'numbers'} from {found.low:g} to {found.high:g}"


# ------------------------------------------------------------------------------------------------ by values
def _by_values(found: Scan, shape: tuple[int, ...]) -> Verdict:
    if found.binary:
        return Verdict(KeySpec(shape, "binary"), "0 and 1 alone", _turned(found))
    if not found.integer:
        kind = "unit" if found.low >= 0 and found.high <= 1 else "real"
        counts = found.whole and found.low >= 0
        hint = f"; whole numbers held as floats: kinds={{{found.key!r}: 'count'}} makes counts of them" if counts else ""
        return Verdict(KeySpec(shape, kind), f"{_range(found)}{hint}", _turned(found))
    if "uint8" in found.types and found.types <= {"uint8", "bool"}:
        return _bytes(found, shape)
    if found.low < 0:
        return Verdict(KeySpec(shape, "real"), f"{_range(found)}, some below 0")
    return Verdict(KeySpec(shape, "count"), f"{_range(found)}, as they are")


def _turned(found: Scan) -> str:
    """What is said of axes that are moved, or look as if they should be."""
    shape = found.shape or ()
    if not channels_last(shape):
        return ""
    if "uint8" in found.types:
        return f"{found.key} of shape {shape} is taken for images with channels last and turned to {_event(found)}."
    return (
        f"{found.key} of shape {shape} looks like images with channels last and is taken for {shape[0]} channels; images are "
        "(C, H, W): move the axis, as in x.transpose(0, 3, 1, 2)."
    )


def _bytes(found: Scan, shape: tuple[int, ...]) -> Verdict:
    """uint8: grey levels of pixels where the shape is that of images, else counts; said aloud where it is open."""
    key = found.key
    scaled = Verdict(KeySpec(shape, "levels", size=256), "uint8 images, divided by 255", _turned(found))
    if len(shape) >= 2:
        return scaled
    if not shape:
        text = (
            f"{key} of one uint8 value a row is taken for counts; say kinds={{{key!r}: 'category'}} or 'ordinal' of classes."
        )
        return Verdict(KeySpec(shape, "count"), f"{_range(found)}, as they are", text)
    length = shape[0]
    square = any(length % c == 0 and isqrt(length // c) ** 2 == length // c for c in (1, 3))
    if square and length >= SMALLEST_FLAT_IMAGE:
        text = f"{key} of {length} uint8 values a row is taken for images and divided by 255; say kinds={{{key!r}: 'count'}} "
        return Verdict(scaled.spec, scaled.why, text + "where they are counts.")
    text = f"{key} of {length} uint8 values a row is taken for counts; say kinds={{{key!r}: 'levels'}} of grey levels."
    return Verdict(KeySpec(shape, "count"), f"{_range(found)}, as they are", text)


# ------------------------------------------------------------------------------------------------ told
def _as_told(found: Scan, told: Told, shape: tuple[int, ...]) -> Verdict:
    kind, size, why = told.kind, told.size, "as told"
    if kind in ("category", "ordinal") and (found.integer or "text" in found.types):
        verdict = classes_of(found, size)
        spec = verdict.spec
        if kind == "ordinal":
            spec = KeySpec(spec.shape, kind, size=spec.size, labels=spec.labels)
        return Verdict(spec, f"{why}; {verdict.why}", verdict.warning)
    if kind == "count" and size is not None:
        raise DataError(
            f"{found.where}: {found.key} is told to be counts of {size} words and is no text; say 'count' of numbers."
        )
    if kind == "category" and found.one_hot and len(shape) == 1:
        return Verdict(KeySpec((), kind, size=shape[0]), f"{why}; one-hot")
    if kind == "levels":
        size = size or 256
    if kind == "tokens":
        size = size or int(found.high) + 1
    ok = {
        "binary": found.binary,
        "levels": (found.low >= 0 and found.high <= (size or 0) - 1) if found.integer else found.low >= 0 and found.high <= 1,
        "unit": found.low >= 0 and found.high <= 1,
        "positive": found.low > 0,
        "real": "text" not in found.types,
        "count": found.whole and found.low >= 0,
        "tokens": found.whole and found.low >= 0 and found.high < (size or 0),
    }
    if not ok.get(kind, False):
        came = "names" if "text" in found.types else _range(found)
        raise DataError(
            f"{found.where}: {found.key} is told to be {kind}{f' of {size}' if size else ''} and holds {came}; expected "
            f"{EXPECTED.get(kind, 'another kind')}: say another kind, or change the values."
        )
    if kind == "levels" and found.integer:
        why += f", divided by {(size or 0) - 1}"
    return Verdict(KeySpec(shape, kind, size=size if kind in SIZED else None), why, _turned(found))


EXPECTED = {
    "binary": "0 and 1 alone",
    "levels": "integers below the number of levels ('levels:17' for 0..16), or fractions of them from 0 to 1",
    "unit": "numbers from 0 to 1",
    "positive": "numbers above 0",
    "real": "numbers",
    "count": "whole numbers from 0 up",
    "category": "names, or whole numbers held as integers",
    "ordinal": "names, or whole numbers held as integers",
    "tokens": "whole numbers from 0 up, below the size of the vocabulary, or lines of text",
    "characters": "lines of text",
    "subwords": "lines of text",
}


# ------------------------------------------------------------------------------------------------ tables
def _table(found: Scan, told: Told | None, kinds: Mapping[str, Told]) -> Verdict:
    """A key of columns side by side: of their one kind, or a table of several."""
    columns: dict[str, KeySpec] = {}
    warnings = []
    for name, column in found.columns.items():
        verdict = _column(column, kinds.get(name, told if told and told.kind != "table" else None))
        columns[name] = verdict.spec
        warnings += [verdict.warning] if verdict.warning else []
    names = {column.kind for column in columns.values()}
    one = next(iter(names))
    plain = len(names) == 1 and one in ("binary", "unit", "real", "count") and (told is None or told.kind != "table")
    spec = KeySpec((len(columns),), one if plain else "table", columns=columns)
    many = "" if plain else ", ".join(f"{name} {column.kind}" for name, column in columns.items())
    return Verdict(spec, f"columns of a table{': ' + many if many else ''}", " ".join(warnings))


def _column(found: Scan, told: Told | None) -> Verdict:
    if told is not None:
        return _in_float32(found, _as_told(found, told, ()))
    if "text" in found.types:
        verdict = classes_of(found, None)
        kind = "ordinal" if found.order else "category"
        return Verdict(KeySpec((), kind, size=verdict.spec.size, labels=verdict.spec.labels), verdict.why)
    kind = "binary" if found.binary else "count" if found.integer and found.low >= 0 else "real"
    return _in_float32(found, Verdict(KeySpec((), kind), _range(found)))


# ------------------------------------------------------------------------------------------------ types
def _keep_type(found: Scan, verdict: Verdict, floats: bool) -> Verdict:
    """Keys beside x, of which nobody said otherwise, keep the integers that they are."""
    spec = verdict.spec
    if floats or not found.integer or spec.kind not in ("binary", "real"):
        return verdict
    dtype = next(iter(found.types)) if len(found.types) == 1 else "int64"
    changed = KeySpec(spec.shape, spec.kind, {"integer": "int64"}.get(dtype, dtype), spec.size, spec.labels)
    return Verdict(changed, verdict.why, verdict.warning)


def _in_float32(found: Scan, verdict: Verdict) -> Verdict:
    """Refuse numbers that float32 cannot tell apart; whole numbers that stay integers are warned of."""
    if found.spread is None or verdict.spec.kind in ("category", "ordinal", "tokens"):
        return verdict
    if verdict.spec.dtype == "int64":
        text = f"{found.key} holds whole numbers beyond 2^24 = {EXACT_IN_FLOAT32:,}, which a network in float32 rounds."
        return Verdict(verdict.spec, verdict.why, f"{verdict.warning} {text}".strip())
    if found.spread.lost():
        raise DataError(
            f"{found.where}: {found.key} holds {_range(found)} that float32 cannot tell apart; expected numbers whose spread "
            "is more than its rounding: subtract their mean, (x - x.mean(0)), or make classes of identifiers, "
            f"kinds={{{found.key!r}: 'category'}}."
        )
    return verdict
