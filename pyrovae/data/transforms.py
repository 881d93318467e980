"""Changes of a data set, each seeded, recorded in ``source`` and replayed: their table, and few labels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyrovae.data.dataset import Data
from pyrovae.data.labelled import LabelledSplit, choose_labels, choose_rows
from pyrovae.data.spec import KeySpec
from pyrovae.data.split import RowTransform, Split
from pyrovae.data.store import Arrays
from pyrovae.errors import DataError, OptionError, nearest
from pyrovae.registry import Registry

__all__ = ["TRANSFORMS", "append", "each_part", "enter", "few_labels", "require_images", "transform"]

TRANSFORMS: Registry[Callable[..., Data]] = Registry("transform", given=1)


def transform(data: Data, chosen: str | Mapping[str, Any]) -> Data:
    """The data changed by a named transform: ``"few-labels:num_labels=100,seed=1"``, or a mapping with ``name``."""
    return TRANSFORMS.build(chosen, data)


def enter(name: str) -> Callable[[Callable[..., Data]], Callable[..., Data]]:
    """Enter a transform into the table; it writes itself into the data's source."""

    def decorate(change: Callable[..., Data]) -> Callable[..., Data]:
        @functools.wraps(change)
        def apply(data: Data, **options: Any) -> Data:
            for part in data.parts().values():
                if not isinstance(part, (Split, type(None))):
                    raise DataError(f"{name} needs numbered rows, not a DataLoader: pass its Dataset, or do it there.")
            source = data.source
            if source is not None:
                source = {**source, "transforms": [*source.get("transforms", []), {"name": name, **options}]}
            return replace(change(data, **options), source=source)

        TRANSFORMS[name] = apply
        return apply

    return decorate


def each_part(data: Data, change: Callable[[Split, int], Split], covariates: Sequence[str] = ()) -> Data:
    """The data with each part changed, and new covariates of x's shape."""
    if "x" not in data.spec.keys:
        raise DataError(f"{data.spec.name} has no x to change; it has {', '.join(data.spec.keys)}.")
    alike = KeySpec(data.spec.shape, "real", is_set=data.spec.keys["x"].is_set)
    spec = data.spec.with_keys(dict.fromkeys(covariates, alike))
    parts = enumerate(data.parts().items())
    made = {name: part and change(part, number).with_(spec=spec) for number, (name, part) in parts}
    return replace(data, spec=spec, **made)


def append(data: Data, row_transform: RowTransform) -> Data:
    """The data with a change of each batch added, and its keys, of x's shape."""
    return each_part(data, lambda part, _: part.with_(transforms=(*part.transforms, row_transform)), row_transform.keys)


def require_images(data: Data) -> None:
    """Refuse data whose x is no image."""
    if len(data.spec.shape) not in (2, 3):
        raise DataError(f"{data.spec.name}: x has shape {data.spec.shape}; expected images, (H, W) or (C, H, W).")


@enter("few-labels")
def few_labels(
    data: Data, *, num_labels: int | None = None, keys: Sequence[str] | None = None, share: float = 0.1, seed: int = 0
) -> Data:
    """Training data with y = -1 but in ``num_labels`` rows, as many of each class; valid and test keep their labels.

    So a semi-supervised bound of valid data is one on log p(x, y), that of training data for the most part on log p(x).

    Every training batch has the same number of labelled rows, and they come first in it: an epoch has each unlabelled row
    at least once, and the labelled ones as often as needed (:class:`~pyrovae.data.labelled.LabelledSplit`).

    Args:
        data: with labels y, or the keys.
        num_labels: how many labels stay, a multiple of the number of classes; None keeps those that are there.
        keys: factors that are hidden in place of y, all in the same rows, which are drawn at random.
        share: of a batch, the rows that are labelled, at least one.
        seed: of the choice.

    >>> from pyrovae.data import load
    >>> int((few_labels(load("digits"), num_labels=50).train["y"] >= 0).sum())
    50
    """
    if not 0 < share < 1:
        raise OptionError(f"share is {share!r}; expected a number between 0 and 1, the labelled part of a batch.")
    train = data.train
    if keys is None and not data.spec.classes:
        raise DataError(f"{data.spec.name} has no labels y; few-labels needs some, or keys=[...] that are factors.")
    hidden = ["y"] if keys is None else list(keys)
    for key in hidden:
        if data.spec.keys.get(key) is None or data.spec.keys[key].kind not in ("category", "ordinal"):
            able = [name for name, spec in data.spec.keys.items() if spec.kind in ("category", "ordinal")]
            raise nearest("key of classes in keys", str(key), able)
    if not hidden:
        raise OptionError("keys is empty; expected the names of factors, or None for y.")
    if num_labels is not None:
        if not isinstance(train.store, Arrays):
            raise DataError(f"{data.spec.name}: labels of a Dataset cannot be hidden here; let it give -1 itself.")
        if keys is None:
            columns = {"y": choose_labels(train["y"], num_labels, data.spec.classes, seed)}
        else:
            columns = choose_rows({key: train[key] for key in keys}, num_labels, seed)
        train = train.with_(store=replace(train.store, columns={**train.store.columns, **columns}))
    return replace(data, train=LabelledSplit.of(train, share, hidden[0]))
