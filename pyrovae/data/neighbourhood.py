"""Each datum's number among the training data, and its nearest neighbours there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyrovae.data.dataset import Data
from pyrovae.data.spec import KeySpec
from pyrovae.data.split import Split
from pyrovae.data.store import Arrays
from pyrovae.data.transforms import enter
from pyrovae.errors import DataError, OptionError

__all__ = ["neighbours", "row_numbers"]

CHUNK_ROWS = 1000
KEY = "neighbours"
ROW = "row"


class NeighbourSplit(Split):
    """A split whose batches have the nearest rows of the training part, (B, k, *shape), these rows' numbers, and their own."""

    source: Split
    num: int = 1
    is_source: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """Those of the rows, and of their neighbours."""
        return (*super().keys, KEY, f"{KEY}_index", ROW)

    def with_(self, **changes: Any) -> Any:
        """A copy with these attributes in place of its own."""
        changed = super().with_(**changes)
        if "store" in changes:
            changed.__dict__.pop("nearest", None)
            changed.__dict__.pop("own", None)
        return changed

    def to(self, device: torch.device | str) -> Split:
        """The same split, and the part that neighbours come from, on ``device``."""
        moved: Split = super().to(device).with_(source=self.source.to(device))
        return moved

    def subset(self, rows: Any) -> Split:
        """The split of the given rows, whose neighbours are what they were."""
        numbers = self._numbers(rows).to(self.nearest.device)
        part: Split = super().subset(rows)
        part.__dict__.update(nearest=self.nearest[numbers], own=self.own[numbers])
        return part

    @cached_property
    def own(self) -> Tensor:
        """Each row's number among the training data, -1 in other parts, (N,)."""
        return torch.arange(len(self)) if self.is_source else torch.full((len(self),), -1)

    @cached_property
    def nearest(self) -> Tensor:
        """Numbers of the k nearest rows of the source by Euclidean distance of raw values, none its own, (N, k)."""
        main = self.spec.main

        def values(split: Split, rows: Tensor) -> Tensor:
            return split.store.take(rows, [main])[main].to(torch.float32).flatten(1)

        others = values(self.source, torch.arange(len(self.source)))
        found = []
        for rows in torch.arange(len(self)).split(CHUNK_ROWS):
            own = values(self, rows)
            distance = others.square().sum(1) - 2 * own @ others.T
            if self.is_source:
                distance[torch.arange(len(rows)), rows] = torch.inf
            found.append(distance.topk(self.num, 1, largest=False).indices)
        return torch.cat(found)

    def _batch(
        self, rows: Tensor, draw: tuple[int, int, int] | None = None, keys: tuple[str, ...] | None = None
    ) -> dict[str, Tensor]:
        batch = super()._batch(rows, draw, keys)
        if keys is not None:
            return batch
        index = self.nearest[rows.to(self.nearest.device)]
        main = self.spec.main
        near = self.source._batch(index.flatten(), draw, (main,))[main].unflatten(0, (len(rows), self.num))
        own = self.own[rows.to(self.own.device)].to(self.device)
        return {**batch, KEY: near, f"{KEY}_index": index, ROW: own}

    def fingerprint(self) -> str:
        """sha256 (hex) of the raw rows, of those of the source, and of k."""
        return hashlib.sha256(f"{super().fingerprint()} {self.source.fingerprint()} {self.num}".encode()).hexdigest()


@enter("neighbours")
def neighbours(data: Data, *, num: int = 10) -> Data:
    """Each datum with its ``num`` nearest training data, (B, num, *shape) as key ``neighbours``, never itself.

    Nearest by the Euclidean distance of raw values, found once, before the first batch: N^2 D products, a minute of one core
    for 50,000 images of 784 pixels. ``neighbours_index``, (B, num), are their row numbers in the training part, and ``row``,
    (B,), is the datum's own, -1 of data of other parts.

    Args:
        data: any, in memory.
        num: how many, nearest first.

    References: Norouzi, Fleet and Norouzi, Exemplar VAE, 2020, Section 3.2.
    """
    source = data.train
    assert isinstance(source, Split)
    if type(num) is not int or not 1 <= num < len(source):
        raise OptionError(f"num is {num!r}; expected a whole number from 1 to {len(source) - 1}.")
    x = data.spec.keys[data.spec.main]
    index = replace(x, shape=(num,), kind="count", dtype="int64", size=None)
    row = KeySpec((), "category", size=len(source))
    spec = data.spec.with_keys({KEY: replace(x, shape=(num, *x.shape)), f"{KEY}_index": index, ROW: row})
    parts: dict[str, Split | None] = {}
    for name, part in data.parts().items():
        assert isinstance(part, Split | None)
        if part is not None:
            made = NeighbourSplit(part.store, spec, part.grey, part.seed, part.index)
            part = made.with_(transforms=part.transforms, source=source, num=num, is_source=name == "train")
        parts[name] = part
    return replace(data, spec=spec, **parts)


@enter("row-numbers")
def row_numbers(data: Data) -> Data:
    """Each datum with its number among the training data, key ``row`` (B,); -1 of data of other parts.

    For pairs that keep a table of their training data's codes. Unlike ``index`` it tells the parts apart, and stays when rows
    are chosen from one.

    Args:
        data: any, in memory.

    >>> from pyrovae.data import load
    >>> data = row_numbers(load("digits"))
    >>> data.train[5:7]["row"].tolist(), data.test[5:7]["row"].tolist()
    ([5, 6], [-1, -1])
    """
    if ROW in data.spec.keys:
        raise DataError(f"{data.spec.name} has a key {ROW!r} already; rename it, or leave row-numbers out.")
    spec = data.spec.with_keys({ROW: KeySpec((), "category", size=len(data.train))})
    parts: dict[str, Split | None] = {}
    for name, part in data.parts().items():
        assert isinstance(part, Split | None)
        if part is not None:
            if not isinstance(part.store, Arrays):
                raise DataError(f"{data.spec.name}: rows of a Dataset cannot be numbered here; let it give {ROW!r} itself.")
            number = torch.arange(len(part)) if name == "train" else torch.full((len(part),), -1)
            columns = {**part.store.columns, ROW: number.to(part.store.device)}
            part = part.with_(store=replace(part.store, columns=columns), spec=spec)
        parts[name] = part
    return replace(data, spec=spec, **parts)
