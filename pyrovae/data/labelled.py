"""Partly labelled rows: batches with a fixed number of labelled and of unlabelled ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from pyrovae.data.seeds import LABELS, generator
from pyrovae.data.split import Split, check_count
from pyrovae.errors import DataError

__all__ = ["LabelledSplit", "choose_labels", "choose_rows"]


def choose_labels(y: Tensor, num_labels: int, num_classes: int, seed: int) -> Tensor:
    """Labels (N,) with all but ``num_labels`` of them, as many of each class, replaced by -1.

    >>> choose_labels(torch.tensor([0, 0, 1, 1]), 2, 2, seed=0).sort().values
    tensor([-1, -1,  0,  1])
    """
    check_count("num_labels", num_labels, 1)
    if num_labels % num_classes:
        raise DataError(f"num_labels is {num_labels}; expected a multiple of the {num_classes} classes, for as many of each.")
    each = num_labels // num_classes
    order = torch.randperm(len(y), generator=generator(seed, LABELS)).to(y.device)
    labels = torch.full_like(y, -1)
    for c in range(num_classes):
        rows = order[y[order] == c][:each]
        if len(rows) < each:
            raise DataError(f"class {c} has {len(rows)} rows; expected at least {each}: lower num_labels.")
        labels[rows] = c
    return labels


def choose_rows(factors: dict[str, Tensor], num_labels: int, seed: int) -> dict[str, Tensor]:
    """Factors, (N,) each, that are -1 but in ``num_labels`` rows, the same of all.

    >>> int((choose_rows({"scale": torch.zeros(9, dtype=torch.int64)}, 4, seed=0)["scale"] >= 0).sum())
    4
    """
    check_count("num_labels", num_labels, 1)
    size = len(next(iter(factors.values())))
    if num_labels >= size:
        raise DataError(f"num_labels is {num_labels}; expected fewer than the {size} training rows.")
    kept = torch.randperm(size, generator=generator(seed, LABELS))[:num_labels]
    found = {}
    for name, values in factors.items():
        found[name] = torch.full_like(values, -1, dtype=torch.int64)
        found[name][kept] = values[kept].long()
    return found


class LabelledSplit(Split):
    """A split whose labels are -1 in some rows, with as many labelled rows in each batch of an epoch.

    Batches have one shape: ``share`` of their rows are labelled and come first. An epoch has each unlabelled row once, the
    last batch being filled up from the first rows of the epoch's order, and goes round the labelled rows as often as it takes.
    Batch number b is a pure function of (seed, epoch, b).
    """

    share: float = 0.1
    label: str = "y"

    @classmethod
    def of(cls, split: Split, share: float, label: str = "y") -> LabelledSplit:
        """That split, in such batches; ``label`` is the key that is -1."""
        made = cls(split.store, split.spec, split.grey, split.seed)
        made = made.with_(transforms=split.transforms, share=share, label=label)
        if not len(made.rows[0]) or not len(made.rows[1]):
            raise DataError(
                f"{split.spec.name} has {len(made.rows[0])} labelled and {len(made.rows[1])} unlabelled rows ({label} = -1); "
                "expected some of both."
            )
        return made

    @cached_property
    def rows(self) -> tuple[Tensor, Tensor]:
        """Numbers of the labelled rows and of the others."""
        known = (self[self.label] >= 0).reshape(len(self), -1).all(1)
        return known.nonzero()[:, 0], (~known).nonzero()[:, 0]

    def sizes(self, batch_size: int) -> tuple[int, int]:
        """How many labelled and unlabelled rows a batch has."""
        check_count("batch_size", batch_size, 2)
        labelled = min(max(1, round(self.share * batch_size)), batch_size - 1)
        return labelled, batch_size - labelled

    def num_batches(self, batch_size: int) -> int:
        """ceil(unlabelled rows / unlabelled rows a batch)."""
        return -(-len(self.rows[1]) // self.sizes(batch_size)[1])

    def _shuffled(self, batch_size: int, seed: int, epoch: int, numbers: range) -> Iterator[dict[str, Tensor]]:
        orders = [
            rows[torch.randperm(len(rows), generator=generator(seed, LABELS, epoch, part)).to(rows.device)]
            for part, rows in enumerate(self.rows)
        ]
        sizes = self.sizes(batch_size)
        for number in numbers:
            rows = torch.cat([_round(order, number * size, size) for order, size in zip(orders, sizes, strict=True)])
            yield self._batch(rows, draw=(seed, epoch, number))

    def with_(self, **changes: object) -> LabelledSplit:
        """A copy with these attributes in place of its own."""
        changed = super().with_(**changes)
        changed.__dict__.pop("rows", None)  # of other rows, or on another device
        return changed

    def fingerprint(self) -> str:
        """sha256 (hex) of the raw rows and of which are labelled."""
        return hashlib.sha256(f"{super().fingerprint()} {self.share} {self.rows[0].tolist()}".encode()).hexdigest()


def _round(order: Tensor, start: int, size: int) -> Tensor:
    """``size`` entries from ``start`` on, beginning anew at the end."""
    return order[(torch.arange(start, start + size, device=order.device)) % len(order)]
