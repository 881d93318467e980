"""How verbs take what a user has: a pair in any form, then data in any form, on the pair's device."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch

from pyrovae.core.admission import Admission
from pyrovae.core.layout import settle_particles
from pyrovae.core.pair import Pair, as_pair, known_spec, open_run
from pyrovae.core.parameters import parameter_scope
from pyrovae.core.program import Batch, batch_size, template
from pyrovae.core.run import has_rows
from pyrovae.data import Data, Split, Stream, as_split
from pyrovae.errors import ContractError, OptionError

__all__ = ["as_batch", "as_datum", "as_pair_and_rows", "batches", "training_batch"]


def batches(pair: Pair, data: Any, rows: int) -> Iterator[Batch]:
    """All rows of the data, so many at a time, on the pair's device, each batch looked at before (:class:`Admission`)."""
    for batch in map(Admission(pair), as_split(data, known_spec(pair)).batches(rows)):
        if has_rows(pair.model) is None:
            with parameter_scope(pair.model, pair.guide):
                settle_particles(pair.model, pair.guide, batch)
        yield batch


def as_batch(pair: Pair, data: Any) -> Batch:
    """All rows of the data as one batch on the pair's device."""
    parts = list(batches(pair, data, 2**20))
    if not parts:
        raise ContractError("the data are empty; expected at least one row.")
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def as_datum(pair: Pair, data: Any) -> Batch:
    """A batch of one row; a tensor x of the shape of one datum, (*shape), is one."""
    if isinstance(data, torch.Tensor):
        try:
            known = tuple(template(pair.model, 1)["x"].shape[1:])
        except (ContractError, KeyError):  # not known, or of a pair without the key x, which takes a dict
            known = None
        data = data.unsqueeze(0) if tuple(data.shape) == known else data
    batch = as_batch(pair, data)
    if batch_size(batch) != 1:
        raise ContractError(f"x came with {batch_size(batch)} rows; expected one datum, (1, *shape): pass x[i:i + 1].")
    return batch


def training_batch(pair: Pair, data: Any, rows: int) -> Batch:
    """The first rows of the data; of a whole Data set those of its training part."""
    part = data.train if isinstance(data, Data) else as_split(data, known_spec(pair))
    batch: Batch = {}
    for some in islice(part.batches(rows), rows):
        batch = {key: torch.cat([batch[key], value]) if batch else value for key, value in some.items()}
        if batch_size(batch) >= rows:
            break
    return {key: value[:rows] for key, value in batch.items()}


def as_pair_and_rows(source: Any, data: Any, verb: str) -> tuple[Pair, Split | Stream]:
    """The pair, and the data, or where there are none the test part of the run's own."""
    if data is not None:
        pair = as_pair(source)
        return pair, as_split(data, known_spec(pair))
    source = open_run(source, with_data=True)
    own = getattr(source, "data", None)
    if not isinstance(own, Data):
        raise OptionError(f"{verb} needs data; give data=..., as in {verb}(pair, data).")
    return as_pair(source), as_split(own)
