"""Keys of the batch that several sites are given parts of, as the steps of a sequence are, put together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyrovae.core.keys import Source, write_values
from pyrovae.core.program import Batch

__all__ = ["part_of_key", "whole_keys"]


def whole_keys(batch: Mapping[str, Tensor], sources: Mapping[str, Source], values: Mapping[str, Tensor]) -> Batch:
    """Those keys, (B, *shape), all of whose values are sites', several a key; zeros beyond ``lengths``.

    Args:
        batch: of the shape that the keys have.
        sources: of the sites.
        values: of the sites, (B, *event).
    """
    given: dict[str, list[str]] = {}
    for name, source in sources.items():
        given.setdefault(source.key, []).append(name)
    several = {key: names for key, names in given.items() if len(names) > 1 and _cover(sources, names, batch[key])}
    names = [name for each in several.values() for name in each]
    written = write_values(batch, {name: sources[name] for name in names}, values)
    return {key: _ended(written[key], batch.get("lengths")) for key in several}


def _cover(sources: Mapping[str, Source], names: list[str], value: Tensor) -> bool:
    """Whether the sites have each value of the key once."""
    places = [sources[name].places for name in names]
    if any(place is None for place in places):
        return False
    everything = torch.cat([place for place in places if place is not None])
    return torch.equal(everything.sort().values, torch.arange(value[0].numel(), device=everything.device))


def _ended(value: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None or lengths.dim() != 1 or value.dim() < 2 or not bool((lengths > 0).any()):
        return value
    here = torch.arange(value.shape[1], device=value.device) < lengths.unsqueeze(1)
    return value * here.reshape(*here.shape, *[1] * (value.dim() - 2))


def part_of_key(batch: Mapping[str, Tensor], source: Source, shape: tuple[int, ...]) -> Tensor | None:
    """The values of a site, (B, *shape), that are some of a key's; None where the program makes them of the key's."""
    if source.places is None:
        return None
    value = batch[source.key]
    return value.reshape(len(value), -1)[:, source.places].reshape(len(value), *shape)
