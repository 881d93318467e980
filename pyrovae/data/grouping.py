"""Rows that come together: groups of one class, pairs that differ in few factors, each datum beside its neighbours."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyrovae.data.dataset import Data
from pyrovae.data.spec import KeySpec
from pyrovae.data.split import Split, Uniform
from pyrovae.data.transforms import enter
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["GatheredSplit", "groups", "pairs"]

GATHER = 1000  # number of the noise of the choice, beyond that of any transform
SEARCHED_ROWS = 5000  # of a part, up to which partners are searched for among all of them
CANDIDATES = 32  # else so many are tried, of which one must be in the part


class Gather:
    """Whose rows come together with a row; made for the rows of one part."""

    width: int
    own: tuple[str, ...] = ()  # keys that a group has one value of
    keys: tuple[str, ...] = ()  # that :meth:`more` adds

    @abstractmethod
    def members(self, rows: Tensor, uniform: Uniform) -> Tensor:
        """Row numbers, (B, g), the first column ``rows`` themselves."""

    def more(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is told of the groups."""
        return {}


class GatheredSplit(Split):
    """A split whose batches have g rows for each of their own: every key (B, g, *shape), but for those of the group.

    The rows of a subset come together with rows of the whole part.
    """

    anchors: Tensor | None = None  # of a subset, the numbers of its rows in the part
    recipe: Any  # makes the Gather of a split
    description: str = ""
    inner: int = 0  # how many of the transforms are of single rows, before they come together
    _gather: Gather | None = None

    @classmethod
    def of(cls, split: Split, recipe: Any, description: str) -> GatheredSplit:
        """That split, its rows in groups."""
        made: GatheredSplit = cls(split.store, split.spec, split.grey, split.seed, split.index).with_(
            transforms=split.transforms, recipe=recipe, description=description, inner=len(split.transforms), _gather=None
        )
        made.gather  # noqa: B018 - refuses now what it could not serve later
        return made

    @property
    def gather(self) -> Gather:
        """Whose rows come together."""
        if self._gather is None:
            self._gather = self.recipe(Split(self.store, self.spec, self.grey, self.seed))
        return self._gather

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the rows, and what is told of the groups."""
        return (*super().keys, *self.gather.keys)

    def with_(self, **changes: Any) -> Any:
        """A copy with these attributes in place of its own."""
        return super().with_(**({"_gather": None} if "store" in changes else {}), **changes)

    def __len__(self) -> int:
        return len(self.store) if self.anchors is None else len(self.anchors)

    def subset(self, rows: slice | Tensor | np.ndarray | list[int] | range) -> Split:
        """The split of the given rows (numbered anew from 0), which come together with rows of this whole part."""
        numbers = self._numbers(rows)
        chosen: Split = self.with_(anchors=numbers if self.anchors is None else self.anchors[numbers], index=None)
        return chosen

    def _batch(
        self, rows: Tensor, draw: tuple[int, int, int] | None = None, keys: tuple[str, ...] | None = None
    ) -> dict[str, Tensor]:
        gather, own = self.gather, rows
        rows = rows if self.anchors is None else self.anchors.to(rows.device)[rows]
        wanted = None if keys is None else tuple(key for key in keys if key in self.store.keys)
        members = gather.members(rows, self._uniform(rows, draw, GATHER))
        flat = Split._batch(self.with_(transforms=self.transforms[: self.inner]), members.flatten(), draw, wanted)
        batch = {key: value.unflatten(0, (len(rows), gather.width)) for key, value in flat.items()}
        batch |= {key: batch[key][:, 0] for key in ("index", *gather.own) if key in batch}
        if self.anchors is not None and "index" in batch:
            batch["index"] = own.to(self.device)
        batch |= gather.more(batch) if wanted is None else {}
        for number, change in enumerate(self.transforms[self.inner :] if wanted is None else (), self.inner):
            batch = change(batch, self._uniform(rows, draw, number))
        return batch

    def fingerprint(self) -> str:
        """sha256 (hex) of the raw rows and of what comes together."""
        chosen = "" if self.anchors is None else self.anchors.tolist()
        return hashlib.sha256(f"{super().fingerprint()} {self.description} {chosen}".encode()).hexdigest()


def _gathered(data: Data, recipe: Any, description: str, width: int, own: Sequence[str], more: dict[str, KeySpec]) -> Data:
    """The data with every part in groups, and a spec that says so."""
    spec = data.spec
    keys = {key: known if key in own else replace(known, shape=(width, *known.shape)) for key, known in spec.keys.items()}
    mean = None if spec.mean is None else spec.mean.expand(width, *spec.mean.shape)
    spec = replace(spec, keys={**keys, **more}, mean=mean)
    parts = {
        name: None if part is None else GatheredSplit.of(part, recipe, description)
        for name, part in data.parts().items()
        if isinstance(part, (Split, type(None)))
    }
    return replace(data, spec=spec, **parts)


@dataclass(frozen=True, kw_only=True)
class _SameClass(Gather):
    """Others of the class of a row, drawn independently and uniformly, never the row itself."""

    width: int
    own: tuple[str, ...]
    order: Tensor  # the rows by class
    first: Tensor  # where a row's class begins there
    count: Tensor  # how many rows it has
    place: Tensor  # of a row in its class

    def members(self, rows: Tensor, uniform: Uniform) -> Tensor:
        rows = rows.to(self.order.device)
        u = uniform((self.width - 1,)).to(rows.device)
        others = (u * (self.count[rows] - 1).unsqueeze(1)).long()
        others = others + (others >= self.place[rows].unsqueeze(1))  # not the row itself
        return torch.cat([rows.unsqueeze(1), self.order[self.first[rows].unsqueeze(1) + others]], 1)


@enter("groups")
def groups(data: Data, *, size: int = 2, by: str = "y") -> Data:
    """Each datum with ``size`` - 1 others of its class: x (B, size, *shape), the class itself (B,).

    The others are drawn anew in each epoch, independently and uniformly from the rest of the class in the same part; outside
    of training they are a function of the row.

    Args:
        data: with classes or other whole numbers ``by``.
        size: g, data of a group; 1 leaves each alone.
        by: the key that a group has in common.

    References: Bouchacourt, Tomioka and Nowozin, Multi-Level Variational Autoencoder, 2018, Section 3.

    >>> from pyrovae.data import load
    >>> batch = next(groups(load("digits"), size=3).train.batches(4))
    >>> tuple(batch["x"].shape), tuple(batch["y"].shape)
    ((4, 3, 8, 8), (4,))
    """
    if type(size) is not int or size < 1:
        raise OptionError(f"size is {size!r}; expected a whole number of at least 1, the data of a group.")
    if by not in data.spec.keys or data.spec.keys[by].shape != () or data.spec.keys[by].dtype != "int64":
        whole = [key for key, known in data.spec.keys.items() if known.shape == () and known.dtype == "int64"]
        raise nearest("key of classes", by, whole)

    def recipe(split: Split) -> Gather:
        values = split[by]
        if bool((values < 0).any()):
            raise DataError(f"{by} is -1, not known, in {int((values < 0).sum())} rows; groups need the class of each.")
        _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
        if size > 1 and int(counts.min()) < 2:
            raise DataError(f"{by} has a class of one row in a part of {len(values)}; expected two at least for groups.")
        order = inverse.argsort(stable=True)
        starts = counts.cumsum(0) - counts
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device) - starts[inverse[order]]
        of_row = {"first": starts[inverse], "count": counts[inverse], "place": place}
        return _SameClass(width=size, own=(by,), order=order, **of_row)

    return _gathered(data, recipe, f"groups {size} {by}", size, (by,), {})


@dataclass(frozen=True, kw_only=True)
class _FewVaried(Gather):
    """A row, and one of the same factors but for some that have another value."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    may_vary: tuple[int, ...]
    num_varied: int
    table: Tensor  # row number of each combination, -1 where the part has none
    values: Tensor  # (N, F)
    width: int = 2
    own: tuple[str, ...] = ()
    keys: tuple[str, ...] = ("varied",)

    def members(self, rows: Tensor, uniform: Uniform) -> Tensor:
        rows = rows.to(self.values.device)
        if len(self.values) <= SEARCHED_ROWS:
            return torch.cat([rows.unsqueeze(1), self.searched(rows, uniform)], 1)
        count = len(self.may_vary)
        u = uniform((CANDIDATES, 2, count)).to(rows.device)
        chosen = u[:, :, 0].argsort(-1) < self.num_varied  # (B, R, F'), as many as asked
        sizes = torch.tensor([self.sizes[i] for i in self.may_vary], device=rows.device)
        own = self.values[rows][:, list(self.may_vary)].unsqueeze(1)
        step = 1 + (u[:, :, 1] * (sizes - 1)).long()
        moved = torch.where(chosen, (own + step) % sizes, own)
        tried = self.values[rows].unsqueeze(1).repeat(1, CANDIDATES, 1)
        tried[:, :, list(self.may_vary)] = moved
        weights = torch.tensor([int(np.prod(self.sizes[i + 1 :])) for i in range(len(self.sizes))], device=rows.device)
        found = self.table[(tried * weights).sum(-1)]  # (B, R)
        partner = found.gather(1, (found >= 0).int().argmax(1, keepdim=True))
        if bool((partner < 0).any()):
            raise DataError(
                f"a row has no partner that differs in {self.num_varied} of {', '.join(self.names)} in its part; keep the "
                "rows of all factors together, or let more factors vary."
            )
        return torch.cat([rows.unsqueeze(1), partner], 1)

    def searched(self, rows: Tensor, uniform: Uniform) -> Tensor:
        """A partner of each row, (B, 1), out of all rows of a small part."""
        differs = self.values[rows].unsqueeze(1) != self.values  # (B, N, F)
        may = torch.zeros(len(self.names), dtype=torch.bool, device=rows.device)
        may[list(self.may_vary)] = True
        count = differs.sum(-1).masked_fill((differs & ~may).any(-1), len(self.names) + 1)
        enough = count.masked_fill(count < self.num_varied, len(self.names) + 1)
        best = enough.amin(1, keepdim=True)
        if bool((best > len(self.names)).any()):
            raise DataError(
                f"a row has no partner that differs in {self.num_varied} of {', '.join(self.names)} in its part; keep the "
                "rows of all factors together, or let more factors vary."
            )
        u = uniform((len(self.values),)).to(rows.device)
        return u.masked_fill(enough != best, -1.0).argmax(1, keepdim=True)

    def more(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        values = torch.stack([batch[name] for name in self.names], -1)
        return {"varied": (values[:, 0] != values[:, 1]).to(torch.float32)}


@enter("pairs")
def pairs(data: Data, *, num_varied: int = 1, factors: list[str] | None = None) -> Data:
    """Each datum with another that differs in ``num_varied`` of its factors: x (B, 2, *shape), ``varied`` (B, F) of 0 and 1.

    Where a small part has no such row, with one that differs in as few more as there is.
    Which factors differ, and their other values, are drawn anew in each epoch, uniformly; outside of training they are a
    function of the row. Every factor is (B, 2) in the batch.

    Args:
        data: with factors of variation as keys of kind category or ordinal, most combinations of which are rows.
        num_varied: how many factors differ.
        factors: which may differ; by default all that have two values at least.

    References: Locatello et al., Weakly-Supervised Disentanglement Without Compromises, 2020, Section 5.
    """
    spec = data.spec
    known = {key: each.size for key, each in spec.keys.items() if each.kind in ("category", "ordinal") and each.shape == ()}
    known = {key: size for key, size in known.items() if key not in (spec.main, "y") and size is not None}
    if not known:
        raise DataError(f"{spec.name} has no factors of variation (keys of kind category or ordinal); pairs needs some.")
    chosen = [key for key, size in known.items() if size and size > 1] if factors is None else list(factors)
    for name in chosen:
        if name not in known:
            raise nearest("factor", name, known)
    if type(num_varied) is not int or not 1 <= num_varied <= len(chosen):
        raise OptionError(f"num_varied is {num_varied!r}; expected a whole number from 1 to {len(chosen)}.")
    names, sizes = tuple(known), tuple(int(size or 0) for size in known.values())

    def recipe(split: Split) -> Gather:
        values = torch.stack([split[name].long() for name in names], -1)
        weights = torch.tensor([int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))], device=values.device)
        table = torch.full((int(np.prod(sizes)),), -1, dtype=torch.int64, device=values.device)
        table[(values * weights).sum(-1)] = torch.arange(len(values), device=values.device)
        may_vary = tuple(names.index(name) for name in chosen)
        return _FewVaried(names=names, sizes=sizes, may_vary=may_vary, num_varied=num_varied, table=table, values=values)

    more = {"varied": KeySpec((len(names),), "binary")}
    return _gathered(data, recipe, f"pairs {num_varied} {chosen}", 2, (), more)
