"""The catalogue of recipes, and the decorator that enters one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from pyrovae.data import DataSpec
from pyrovae.errors import nearest
from pyrovae.missing import observed_part
from pyrovae.pair import Pair, remember

__all__ = ["CATALOGUE", "Recipe", "get", "recipe"]


@dataclass(frozen=True)
class Recipe:
    """A way to build a pair: its name on the command line, its paper, and ``build(spec, **options) -> Pair``."""

    name: str
    paper: str
    year: int
    build: Callable[..., Pair]


CATALOGUE: dict[str, Recipe] = {}


def get(name: str) -> Recipe:
    """The recipe of a name; an unknown name's error has the nearest match."""
    if name not in CATALOGUE:
        raise nearest("pair", name, CATALOGUE)
    return CATALOGUE[name]


def recipe(name: str, paper: str, year: int) -> Callable[[Callable[..., Pair]], Callable[..., Pair]]:
    """Enter ``build(spec, **options)`` into the catalogue; its pairs remember how they were made."""

    def enter(build: Callable[..., Pair]) -> Callable[..., Pair]:
        @functools.wraps(build)
        def wrapped(spec: DataSpec, **options: Any) -> Pair:
            known = list(inspect.signature(build).parameters)[1:]
            for option in options:
                if option not in known:
                    raise nearest(f"option of pair {name}", option, known)
            pair = build(spec, **options)
            pair = replace(pair, recipe={"name": name, "options": options})
            if "mask" in spec.covariates:
                pair = observed_part(pair)
            shapes = {"x": spec.shape, **spec.covariates}
            remember(pair.model, {key: torch.zeros(1, *shape) for key, shape in shapes.items()})
            return pair

        CATALOGUE[name] = Recipe(name, paper, year, wrapped)
        return wrapped

    return enter
