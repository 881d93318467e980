"""A user's DataLoader behind the interface of a Split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyrovae.data.checks import Scan
from pyrovae.data.columns import tensor
from pyrovae.data.grey import Grey
from pyrovae.data.intake import Intake
from pyrovae.data.seeds import BINARIZE, STREAM, PrivateRandom, generator
from pyrovae.data.spec import DataSpec
from pyrovae.data.split import check_count, hash_columns, in_batch
from pyrovae.data.store import as_record
from pyrovae.errors import DataError

__all__ = ["Stream", "scan_loader"]

_SCANNED_BATCHES = 100
_HASHED_BATCHES = 8


class Stream:
    """Batches of a DataLoader {"x": (B, *shape), "y": (B,), ...}, ordered by (seed, epoch), each looked at when it comes.

    The loader decides the batch size, the shuffling and whether a short last batch is dropped: the
    ``batch_size`` of the methods is ignored. What it shuffles by are torch's random numbers, which are lent
    to it from a private stream (as are its own and its sampler's generators) and put back after each batch;
    a sampler's ``set_epoch`` is called. There is an ``index`` only where the loader's items hold one. With
    ``frozen``, a dynamic draw is the same at each call. ``intakes`` read each key's raw values, and refuse what the spec, made
    of the first batches, does not hold.
    """

    def __init__(
        self,
        loader: DataLoader[Any],
        spec: DataSpec,
        grey: Grey | None = None,
        *,
        frozen: bool = False,
        device: torch.device | str = "cpu",
        intakes: Mapping[str, Intake] | None = None,
    ) -> None:
        self.loader = loader
        self.spec = spec
        self.grey = grey or Grey()
        self.frozen = frozen
        self.intakes = dict(intakes or {})
        self.device = torch.device(device)

    def __len__(self) -> int:
        """N: the rows of one epoch."""
        try:
            rows = len(self.loader.dataset)  # type: ignore[arg-type]
        except TypeError as error:
            raise DataError(
                "the DataLoader's Dataset has no length; expected one that says how many rows there are: give it a __len__."
            ) from error
        if self.loader.sampler is not None and hasattr(self.loader.sampler, "__len__"):
            rows = min(rows, len(self.loader.sampler)) if self.loader.batch_size else rows
        size = self.loader.batch_size
        return rows - rows % size if self.loader.drop_last and size else rows

    def __repr__(self) -> str:
        return f"Stream({self.spec.name}; {type(self.loader.dataset).__name__})"

    def num_batches(self, batch_size: int | None = None) -> int:
        """Batches of one epoch of the loader."""
        len(self)
        return len(self.loader)

    def epoch(self, batch_size: int | None = None, *, seed: int, epoch: int, start: int = 0) -> Iterator[dict[str, Tensor]]:
        """The loader's batches, a function of (seed, epoch); ``start`` of them are dropped first."""
        check_count("start", start, 0)
        return self._batches(seed, epoch, start)

    def _batches(self, seed: int, epoch: int, start: int) -> Iterator[dict[str, Tensor]]:
        for number, record in enumerate(records(self.loader, seed, epoch)):
            if number < start:
                continue
            source = (0, 0, number) if self.frozen else (seed, epoch, number)
            noise = generator(source[0], BINARIZE, *source[1:], device=self.device)
            batch = {}
            for key, raw in record.items():
                read = self.intakes.get(key)
                stored = (raw if read is None else read(raw, f"batch {number} of the DataLoader: ")).to(self.device)
                drawn = key == self.spec.main and self.grey != Grey()
                batch[key] = self.grey(stored, noise) if drawn else in_batch(stored, self.spec.keys.get(key))
            yield batch

    def batches(self, batch_size: int | None = None) -> Iterator[dict[str, Tensor]]:
        """The loader's batches, the same at each call (a shuffling loader in one fixed order)."""
        return self.epoch(seed=0, epoch=0)

    def to(self, device: torch.device | str) -> Stream:
        """The same stream with its batches on ``device``."""
        return Stream(self.loader, self.spec, self.grey, frozen=self.frozen, device=device, intakes=self.intakes)

    def fingerprint(self) -> str:
        """sha256 (hex) of the first 8 batches of :meth:`batches`."""
        digest = hashlib.sha256()
        raw = Stream(self.loader, self.spec, replace(self.grey, binarize="none"), intakes=self.intakes)
        for batch in islice(raw.batches(), _HASHED_BATCHES):
            hash_columns(digest, batch, len(next(iter(batch.values()))))
        return digest.hexdigest()


def records(loader: DataLoader[Any], seed: int, epoch: int) -> Iterator[dict[str, Tensor]]:
    """The loader's batches as dicts of tensors; its random numbers are those of (seed, epoch)."""
    samplers = [loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)]
    owned = [getattr(owner, "generator", None) for owner in (loader, *samplers)]
    lent = PrivateRandom(seed, STREAM, epoch, own=[each for each in owned if isinstance(each, torch.Generator)])
    for sampler in {id(each): each for each in samplers}.values():
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
    with lent:
        batches = iter(loader)
    while True:
        try:
            with lent:
                batch = next(batches)
        except StopIteration:
            return
        record = as_record(batch, "a batch of the DataLoader")
        yield {
            key: tensor(value) if isinstance(value, np.ndarray) else torch.as_tensor(value) for key, value in record.items()
        }


def scan_loader(loader: DataLoader[Any], where: str, classes: Iterable[str] = ("y",)) -> dict[str, Scan]:
    """Look at the first 100 batches of a loader; the others are looked at when they come."""
    found: dict[str, Scan] = {}
    for batch in islice(records(loader, 0, 0), _SCANNED_BATCHES):
        for key, values in batch.items():
            if key != "index":
                found.setdefault(key, Scan(where, key, labels=set() if key in classes else None)).add(values)
    if not found:
        raise DataError(f"{where} gives no batch; expected at least one: check its length and drop_last.")
    return found
