"""Enumeration of discrete sites, of vectors too: every combination of the values of their elements."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyro.distributions as dist
import torch
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyrovae.distributions.density import unmasked
from pyrovae.errors import ContractError

__all__ = ["EnumerateVectors", "is_enumerable"]

MAX_COMBINATIONS = 4096


def is_enumerable(fn: Any) -> bool:
    """Whether all values of a distribution can be written down.

    >>> is_enumerable(dist.Bernoulli(torch.zeros(3)).to_event(1)), is_enumerable(dist.Poisson(1.0))
    (True, False)
    """
    while isinstance(fn, torch.distributions.Independent):
        fn = fn.base_dist
    return bool(fn.has_enumerate_support)


class Combinations(dist.Independent):
    """Independent elements, of which every combination of values is enumerated."""

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return bool(self.base_dist.has_enumerate_support)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values, (V^n, *batch_shape, *event_shape), n elements of V values each, or with ones for the batch."""
        batch, event = self.batch_shape, self.base_dist.batch_shape[len(self.batch_shape) :]
        values = self.base_dist.enumerate_support(expand=False)
        own = self.base_dist.event_shape
        values = values.reshape(len(values), *own)
        index = torch.cartesian_prod(*[torch.arange(len(values), device=values.device)] * event.numel())
        found = values[index.reshape(-1, *event)]
        found = found.reshape(len(found), *[1] * len(batch), *event, *own)
        all_values: Tensor = found.expand(len(found), *batch, *event, *own) if expand else found
        return all_values


class EnumerateVectors(Messenger):
    """Within it, sites that ask to be enumerated may be vectors; to be entered inside Pyro's own enumeration.

    Args:
        settled: names of sites whose values come from elsewhere, which are not enumerated.
    """

    def __init__(self, settled: Collection[str] = ()) -> None:
        super().__init__()
        self.settled = settled

    def _pyro_sample(self, msg: Any) -> None:
        fn: Any = msg["fn"]
        if msg["name"] in self.settled:
            msg["infer"] = {key: value for key, value in msg["infer"].items() if key != "enumerate"}
        asks = msg["infer"].get("enumerate") == "parallel" and not msg["done"] and not site_is_subsample(msg)
        if not asks or msg["is_observed"] or not isinstance(fn, torch.distributions.Independent):
            return
        inner: Any = unmasked(msg["fn"])
        elements = inner.base_dist.batch_shape[len(inner.batch_shape) :].numel()
        if not is_enumerable(inner) or not fn.reinterpreted_batch_ndims:
            return
        values = len(inner.base_dist.enumerate_support(expand=False))
        if values**elements > MAX_COMBINATIONS:
            raise ContractError(
                f"site {msg['name']!r} is a vector of {elements} elements of {values} values each, {values}^{elements} "
                f"combinations; expected at most {MAX_COMBINATIONS}: draw it (objectives vimco, rws, nvil), or declare fewer "
                "elements."
            )
        msg["fn"] = Combinations(fn.base_dist, fn.reinterpreted_batch_ndims)
