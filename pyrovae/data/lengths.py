"""Batches of sequences of like length, cut to their longest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from pyrovae.data.dataset import Data
from pyrovae.data.seeds import LENGTHS, generator
from pyrovae.data.split import Split
from pyrovae.data.transforms import enter
from pyrovae.errors import DataError, OptionError

__all__ = ["LikeLengthSplit", "like_length"]


class LikeLengthSplit(Split):
    """A split whose training batches hold rows of like length, and of sentences no more steps than the longest of them has.

    The rows of an epoch are shuffled, sorted by length within pools of so many batches, and the batches shuffled; rows that
    fill no batch are drawn before and come last. Batch number b is a pure function of (seed, epoch, b). Outside of training,
    rows are as they were.
    """

    pool: int = 50
    multiple: int = 4

    @classmethod
    def of(cls, split: Split, pool: int, multiple: int) -> LikeLengthSplit:
        """That split, in such batches."""
        made: LikeLengthSplit = cls(split.store, split.spec, split.grey, split.seed, split.index).with_(
            transforms=split.transforms, pool=pool, multiple=multiple
        )
        return made

    @cached_property
    def row_lengths(self) -> Tensor:
        """The steps of each row, (N,)."""
        lengths: Tensor = self["lengths"].cpu()
        return lengths

    def order(self, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
        """The rows of each batch of an epoch."""
        source = generator(seed, LENGTHS, epoch)
        rows = torch.randperm(len(self), generator=source)
        whole = len(rows) // batch_size * batch_size
        batches: list[Tensor] = []
        for some in rows[:whole].split(self.pool * batch_size):
            batches += some[self.row_lengths[some].argsort(stable=True)].split(batch_size)
        shuffled = [batches[number] for number in torch.randperm(len(batches), generator=source).tolist()]
        return shuffled + ([rows[whole:]] if whole < len(rows) else [])

    def _shuffled(self, batch_size: int, seed: int, epoch: int, numbers: range) -> Iterator[dict[str, Tensor]]:
        order = self.order(batch_size, seed, epoch)
        for number in numbers:
            rows = order[number]
            batch = self._batch(rows.to(self.device), draw=(seed, epoch, number))
            if self.spec.kind == "tokens":
                steps = -(-int(self.row_lengths[rows].max()) // self.multiple) * self.multiple
                batch[self.spec.main] = batch[self.spec.main][:, :steps]
            yield batch

    def with_(self, **changes: object) -> LikeLengthSplit:
        """A copy with these attributes in place of its own."""
        changed = super().with_(**changes)
        changed.__dict__.pop("row_lengths", None)
        return changed

    def fingerprint(self) -> str:
        """sha256 (hex) of the raw rows and of how they are batched."""
        return hashlib.sha256(f"{super().fingerprint()} like length {self.pool} {self.multiple}".encode()).hexdigest()


@enter("like-length")
def like_length(data: Data, *, pool: int = 50, multiple: int = 4) -> Data:
    """Training batches of sequences of like length; sentences are cut to the longest of the batch, which saves time.

    A batch is no longer drawn uniformly from the data: lengths vary between batches and little within one. Batches come in
    several shapes, and all but one of them run eagerly, so leave ``compile`` out.

    Args:
        data: with ``lengths``.
        pool: so many batches are sorted together; 1 leaves batches as they are drawn, sentences cut.
        multiple: steps are rounded up to a multiple of this.

    >>> from pyrovae.data import load
    >>> data = like_length(load({"x": ["a b c", "a", "b", "c a b"] * 5}, kinds={"x": "tokens"}), multiple=1)
    >>> sorted({tuple(batch["x"].shape) for batch in data.train.epoch(4, seed=0, epoch=0)})
    [(4, 2), (4, 4)]
    """
    for name, value in (("pool", pool), ("multiple", multiple)):
        if type(value) is not int or value < 1:
            raise OptionError(f"{name} is {value!r}; expected a whole number of at least 1.")
    if "lengths" not in data.spec.keys:
        raise DataError(f"{data.spec.name} has no lengths, by which like-length sorts; it has {', '.join(data.spec.keys)}.")
    assert isinstance(data.train, Split)
    return replace(data, train=LikeLengthSplit.of(data.train, pool, multiple))
