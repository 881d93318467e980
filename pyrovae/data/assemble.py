"""Raw rows -> Split or Stream -> Data: kinds, binarization, missing values and the seeded cut in three parts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyrovae.data.checks import Scan, merge_scans, scan
from pyrovae.data.classes import Verdict
from pyrovae.data.dataset import Data
from pyrovae.data.grey import Grey
from pyrovae.data.intake import Intake, take_in
from pyrovae.data.kinds import describe, parse_kind
from pyrovae.data.missing_values import blank, with_role
from pyrovae.data.seeds import SPLIT, generator, mix
from pyrovae.data.sources import Columns, as_store, known_columns
from pyrovae.data.spec import BINARIZATIONS, DataSpec, KeySpec
from pyrovae.data.split import Split
from pyrovae.data.store import Arrays, Store
from pyrovae.data.stream import Stream, scan_loader
from pyrovae.data.words import read_words, text_keys
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["Reading", "assemble", "read_rows"]

_MEAN_ROWS = 10_000
log = logging.getLogger("pyrovae")


@dataclass(frozen=True)
class Reading:
    """How raw data are read: the options of :func:`~pyrovae.data.load` that are not about where they lie.

    Attributes:
        columns: key -> names of columns of a table or dict.
        kinds: key or column -> kind, "count" or "levels:17", in place of what the values say.
        missing: "mask" for a key ``mask`` of what x misses.
        like: the description of data that a pair knows, which is that of these too.
        binarization: of x.
        seed: of the split and of what is drawn once.
        sizes: rows of valid and test, where these are cut here.
        known: whether what the data are needs no saying, as of a named set.
    """

    columns: Columns | None = None
    kinds: Mapping[str, Any] = field(default_factory=dict)
    missing: str | None = None
    like: DataSpec | None = None
    binarization: str = "none"
    seed: int = 0
    sizes: tuple[int, int] | None = None
    known: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", {key: parse_kind(key, told) for key, told in self.kinds.items()})
        if self.binarization not in BINARIZATIONS:
            raise nearest("binarization", self.binarization, BINARIZATIONS)


def assemble(name: str, parts: Mapping[str, Any], where: str, how: Reading, source: dict[str, Any] | None = None) -> Data:
    """Data of raw parts ("train", perhaps "valid" and "test", or "" for what is cut here), with one description for all."""
    raw = {part: _store(obj, part, where, how) for part, obj in parts.items()}
    words: dict[str, KeySpec] = {}
    if texts := text_keys(raw.values(), how.kinds, how.like):  # the words are those of the training part
        if how.missing is not None:
            raise OptionError(f"missing is {how.missing!r}, but {where} has text, of which no value is missing; leave it out.")
        raw = _cut(raw[""], how.seed, where, how.sizes) if "" in raw else raw
        main = "x" if "x" in texts else next(iter(texts))
        there = {part: rows for part, rows in raw.items() if rows is not None}
        read, words = read_words(there, texts, main, where, how.known)
        raw = {**raw, **read}
    classes, scans = _asked_for_labels(how), []
    for part, rows in raw.items():
        here = f"{where} ({part})" if part else where
        if rows is not None:
            scans.append(scan_loader(rows, here, classes) if isinstance(rows, DataLoader) else scan(rows, here, classes))
    found = _merged(scans)
    if "" in raw:
        raw = _cut(raw[""], how.seed, where, how.sizes)
    keys = _describe(name, found, how, words)
    intakes = {key: Intake(key, known, name, own=how.like is None) for key, known in keys.items()}
    columns = how.columns or (how.like.columns if how.like is not None else {})
    spec, grey = _binarized(DataSpec(name, keys=keys, columns=columns), how)
    if how.missing is not None or (how.like is not None and how.like.roles and "mask" in keys):
        spec = with_role(spec)
    made: dict[str, Split | Stream | None] = {"valid": None, "test": None}
    for number, (part, rows) in enumerate(raw.items()):
        made[part] = None if rows is None else _part(rows, part, number, spec, grey, intakes, how)
    train = made["train"]
    assert train is not None
    if isinstance(train, Split) and spec.kind not in ("category", "tokens"):
        spec = replace(spec, mean=_mean(train))
    return Data(train, made["valid"], made["test"], spec, source, "" in parts and not how.known)  # type: ignore[arg-type]


def _store(obj: Any, part: str, where: str, how: Reading) -> Any:
    """The rows of a part as they lie; a DataLoader as it is, None of a part that is not there."""
    here = f"{where} ({part})" if part else where
    if isinstance(obj, DataLoader) or (obj is None and part in ("valid", "test")):
        if obj is not None and (how.columns is not None or how.missing is not None):
            raise OptionError(f"{here} is a DataLoader; columns and missing are for rows in memory: do it in its Dataset.")
        return obj
    return as_store(obj, here, how.columns or known_columns(obj, how.like), how.missing)


def _part(
    rows: Any, part: str, number: int, spec: DataSpec, grey: Grey, intakes: dict[str, Intake], how: Reading
) -> Split | Stream:
    drawn_once = grey.binarize == "dynamic" and (part != "train" or how.binarization == "fixed")
    if isinstance(rows, DataLoader):
        if drawn_once and how.binarization == "fixed":
            raise DataError(
                f"{spec.name}: binarization 'fixed' was asked of a DataLoader; expected numbered rows: "
                "pass the Dataset itself, or choose 'dynamic'."
            )
        return Stream(rows, spec, grey, frozen=drawn_once, intakes=intakes)
    split = Split(take_in(rows, intakes), spec, grey, seed=mix(how.seed, number))
    split = split.store_draw() if drawn_once else split
    return blank(split) if spec.roles.get("missing") else split


def _asked_for_labels(how: Reading) -> set[str]:
    """Keys whose distinct values are looked for: y, and what is told to be classes."""
    return {"y"} | {key for key, told in how.kinds.items() if told.kind in ("category", "ordinal")}


def _merged(scans: list[dict[str, Scan]]) -> dict[str, Scan]:
    """One scan a key; every part has the same keys."""
    first = scans[0]
    for other in scans[1:]:
        for key in first.keys() ^ other.keys():
            has, lacks = (first, other) if key in first else (other, first)
            label = "labels y" if key == "y" else repr(key)
            where = [next(iter(part.values())).where for part in (has, lacks)]
            raise DataError(f"{where[0]} has {label} but {where[1]} has none; expected {key} in all parts or in none.")
    return {key: reduce(merge_scans, [part[key] for part in scans]) for key in first}


def _cut(store: Store, seed: int, where: str, sizes: tuple[int, int] | None = None) -> dict[str, Store]:
    """Train, valid and test rows in a seeded order; ``sizes`` of valid and test, or a tenth each."""
    rows = len(store)
    if rows < 3:
        raise DataError(
            f"{where} has {rows} row(s); expected at least 3 to split in train, valid and test: "
            "add rows or pass a tuple (train, valid, test)."
        )
    valid, test = sizes or (max(1, rows // 10), max(1, rows // 10))
    order = torch.randperm(rows, generator=generator(seed, SPLIT))
    train, held_out, last = order.split([rows - valid - test, valid, test])
    return {"train": store.subset(train), "valid": store.subset(held_out), "test": store.subset(last)}


# ------------------------------------------------------------------------------------------------ descriptions
def _describe(name: str, found: dict[str, Scan], how: Reading, words: Mapping[str, KeySpec]) -> dict[str, KeySpec]:
    """The keys as they are stored, those of ``words`` as they are; what is said of them goes to the log."""
    main = "x" if "x" in found else next(iter(found))
    columns = {column for each in found.values() for column in each.columns}
    for key in how.kinds:
        if key not in found and key not in columns and key not in {name for each in words.values() for name in each.columns}:
            raise nearest(f"key of {name}", key, [*found, *columns])
    keys: dict[str, KeySpec] = {}
    said = []
    for key, each in found.items():
        known = None if how.like is None else how.like.keys.get(key)
        if key in words:
            keys[key] = words[key]
            said += [] if known is not None else [f"{key} {_in_words(Verdict(words[key], f'{words[key].text} of text'))}"]
            continue
        if known is not None and key not in how.kinds:
            known = _of_shape(known, each)
            keys[key] = _before_drawing(known, each, how.like) if key == main else known
            continue
        verdict = describe(each, how.kinds.get(key), key == main, how.kinds)
        keys[key] = verdict.spec
        said.append(f"{key} {_in_words(verdict)}")
        if verdict.warning:
            log.warning("%s: %s", name, verdict.warning)
    if said and not how.known:
        log.info("%s: %s.", name, "; ".join(said))
    if "mask" in found and how.missing is None and not (how.like is not None and how.like.roles):
        log.warning(
            "%s: mask is a key like any other, and the values of x beneath it are data; load with missing='mask' for x to be "
            "missing where it is 0, so that recipes build pairs of the observed part (or observed_part(pair) does).",
            name,
        )
    return keys


def _of_shape(known: KeySpec, found: Scan) -> KeySpec:
    """The key for rows of another shape, such as longer sequences; whether a pair takes those is for the pair to say."""
    shape = found.shape or ()
    turned = len(shape) == 3 and (shape[2], *shape[:2]) == known.shape
    if shape == known.shape or turned or known.columns or known.kind in ("category", "ordinal"):
        return known
    return replace(known, shape=shape)


def _before_drawing(known: KeySpec, found: Scan, like: DataSpec | None) -> KeySpec:
    """The key as it comes: grey where the data that it is like were binarized, and these are not yet."""
    if like is None or like.binarization == "none" or known.kind != "binary" or found.binary:
        return known
    if found.integer:
        return KeySpec(known.shape, "levels", size=known.size or 256)
    return KeySpec(known.shape, "unit")


def _in_words(verdict: Verdict) -> str:
    spec = verdict.spec
    size = f" of {spec.size}" if spec.size else ""
    return f"{spec.shape} {spec.kind}{size} ({verdict.why})"


def _binarized(spec: DataSpec, how: Reading) -> tuple[DataSpec, Grey]:
    """The description of the batch, and how the stored values of its main key become binary where that is asked for."""
    known, wanted = spec.keys[spec.main], how.binarization
    levels = spec.levels
    if known.kind == "binary":
        # Nothing is left to draw; "fixed" is what such data are.
        return replace(spec, binarization="fixed" if wanted == "fixed" else "none"), Grey()
    if wanted == "none":
        return spec, Grey(levels)
    if known.kind not in ("levels", "unit"):
        raise DataError(
            f"{spec.name}: binarization {wanted!r} was asked of {spec.main}, which is {known.kind}; expected x in [0, 1] or "
            "grey levels: rescale x, say kinds={'x': 'levels'} of integers 0..255, or set binarization to 'none'."
        )
    drawn = KeySpec(known.shape, "binary", size=levels)
    grey = Grey(levels, "threshold" if wanted == "threshold" else "dynamic")
    return replace(spec.with_keys({spec.main: drawn}), binarization=wanted), grey


def _mean(split: Split) -> Tensor:
    """The mean of what is seen of x over evenly spaced rows, fewer where each row runs code of its own."""
    held = isinstance(split.store, Arrays) and getattr(split.store.columns[split.spec.main], "looked_at", None) is None
    most = _MEAN_ROWS if held else _MEAN_ROWS // 10
    batch = split[torch.linspace(0, len(split) - 1, min(len(split), most)).long()]
    x = batch[split.spec.main].to(torch.float32)
    if not split.spec.roles.get("missing"):
        return x.mean(0)
    return x.sum(0) / batch["mask"].sum(0).clamp_min(1)


# ------------------------------------------------------------------------------------------------ rows of a verb
def read_rows(obj: Any, like: DataSpec | None, index: Tensor | None = None) -> Split | Stream:
    """All rows of what a user has, each key described by ``like`` where it has that key, and else by its values.

    With ``index``, the rows' numbers, they are a batch, whose classes are numbered already.
    """
    known = {} if like is None else dict(like.keys)
    loader = isinstance(obj, DataLoader)
    if not loader:
        missing = None if like is None or index is not None else like.roles.get("missing")
        store = as_store(obj, "data", known_columns(obj, like), missing, whole=False)
    if loader:
        found = scan_loader(obj, "data", ())
        names = tuple(found)
    else:
        names = store.keys
        found = scan(store, "data", (), [key for key in names if key not in known])
    main = "x" if "x" in names else names[0]
    keys = {key: known[key] if key in known else describe(found[key], None, key == main, classes=False).spec for key in names}
    intakes = {
        key: Intake(key, each, "data", key not in known, True if index is not None else None) for key, each in keys.items()
    }
    spec = DataSpec("data", keys=keys) if like is None else replace(like, keys=keys, roles=_roles(like, keys))
    grey = Grey(spec.levels)
    if loader:
        return Stream(obj, spec, grey, intakes=intakes)
    split = Split(take_in(store, intakes), spec, grey, index=index)
    return blank(split) if spec.roles.get("missing") else split


def _roles(like: DataSpec, keys: Mapping[str, KeySpec]) -> dict[str, str]:
    return {role: key for role, key in like.roles.items() if key in keys}
