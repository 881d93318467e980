"""Things named with options in one text: ``"iwae:num_particles=50"``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pyrovae.errors import OptionError

__all__ = ["named"]


def named(chosen: str | Mapping[str, Any], what: str) -> tuple[str | None, dict[str, Any]]:
    """Name and options of ``"name:option=value,..."``, or of a mapping with ``name``; ``what`` begins the message.

    An option that is itself something named takes its own options after a dot.

    >>> named("iwae:num_particles=50", "objective")
    ('iwae', {'num_particles': 50})
    >>> named("semisupervised:alpha=3,base=meanfield,base.beta=10", "objective")
    ('semisupervised', {'alpha': 3, 'base': {'name': 'meanfield', 'beta': 10}})
    """
    if isinstance(chosen, Mapping):
        options = dict(chosen)
        return options.pop("name", None), options
    name, _, text = str(chosen).partition(":")
    options: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise OptionError(f"{what} {chosen!r}: {item!r} is not option=value.")
        outer, dot, inner = key.strip().partition(".")
        own = options.get(outer, {})
        if dot:
            options[outer] = {**(own if isinstance(own, dict) else {"name": own}), inner: _value(value)}
        else:
            options[outer] = {**own, "name": _value(value)} if own and isinstance(own, dict) else _value(value)
    return name, options


def _value(text: str) -> Any:
    """The number, truth value or word that an option's text is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return yaml.safe_load(text)
