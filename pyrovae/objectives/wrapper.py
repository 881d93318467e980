"""Objectives that are built on another one, their base."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from pyrovae.core.trace import PairTrace
from pyrovae.errors import nearest
from pyrovae.objectives.objective import Objective
from pyrovae.registry import parse_choice, refuse_values

__all__ = ["Wrapper", "base_objective"]


def base_objective(base: Any, bases: Mapping[str, type[Objective]], owner: str, **options: Any) -> Objective:
    """The objective that another is built on: a name of ``bases``, or a mapping with ``name`` and options."""
    name, given = parse_choice(base, f"base of {owner}")
    name = str(name)
    if name not in bases:
        raise nearest(f"base of {owner}", name, bases)
    known = inspect.signature(bases[name]).parameters
    for option in given:
        if option not in known:
            raise nearest(f"option of objective {name}", option, known)
    refuse_values(given, known)
    return bases[name](**{**options, **given})


class Wrapper(Objective):
    """An objective around another, :attr:`inner`, whose networks, weights and nature it has."""

    inner: Objective

    @property
    def networks(self) -> nn.Module | None:  # type: ignore[override]
        """The base's own parameters."""
        return self.inner.networks

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Whether the base's loss of a batch is the mean of its rows'."""
        return self.inner.separable

    @property
    def relaxes(self) -> bool:  # type: ignore[override]
        """Whether the base's training sees soft values of discrete sites."""
        return self.inner.relaxes

    @property
    def weights(self) -> dict[str, float]:
        """The base's options that may be scheduled."""
        return self.inner.weights

    def with_weight(self, name: str, value: float) -> Objective:
        """The same with another value of one of its own options or of the base's."""
        options = self.options()
        if name not in options:
            self.inner.with_weight(name, value)
            base = options["base"]
            name, value = "base", {**({"name": base} if isinstance(base, str) else dict(base)), name: value}  # type: ignore[assignment]
        return type(self)(**{**options, name: value})

    @property
    def lacks_networks(self) -> bool:
        """Whether the base has networks to make."""
        return self.inner.lacks_networks

    def build(self, traced: PairTrace) -> None:
        """Make the base's networks."""
        self.inner.build(traced)
