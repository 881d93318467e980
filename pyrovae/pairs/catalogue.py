"""The catalogue of recipes, and the decorator that enters one."""

from __future__ import annotations

import functools
import inspect
import re
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

# what most recipes take; a recipe's docstring says only what is its own, and gets the rest of its signature from here
SHARED = {
    "spec": "description of the data, ``data.spec``.",
    "latent_dim": "d, the dimension of z.",
    "hidden": "sizes of the hidden layers of the encoder, and reversed of the decoder.",
    "activation": "of the hidden layers.",
    "likelihood": "law of x given the latents; by default bernoulli for binary data, gaussian for grey levels and real data,\n"
    "        continuous-bernoulli for other data in [0, 1].",
    "scale": "of a gaussian (a number, 'shared' or 'predicted') or discretized-logistic likelihood.",
}


def get(name: str) -> Recipe:
    """The recipe of a name; an unknown name's error has the nearest match."""
    if name not in CATALOGUE:
        raise nearest("pair", name, CATALOGUE)
    return CATALOGUE[name]


def recipe(name: str, paper: str, year: int) -> Callable[[Callable[..., Pair]], Callable[..., Pair]]:
    """Enter ``build(spec, **options)`` into the catalogue; its pairs remember how they were made."""

    def enter(build: Callable[..., Pair]) -> Callable[..., Pair]:
        build.__doc__ = documented(build)

        @functools.wraps(build)
        def wrapped(spec: DataSpec, **options: Any) -> Pair:
            known = list(inspect.signature(build).parameters)[1:]
            for option in options:
                if option not in known:
                    raise nearest(f"option of pair {name}", option, known)
            pair = build(spec, **options)
            pair = replace(pair, recipe={"name": name, "options": options})
            if spec.roles.get("missing"):
                pair = observed_part(pair)
            shapes = {"x": spec.shape, **spec.covariates}
            remember(pair.model, {key: torch.zeros(1, *shape) for key, shape in shapes.items()})
            return pair

        CATALOGUE[name] = Recipe(name, paper, year, wrapped)
        return wrapped

    return enter


def documented(build: Callable[..., Pair]) -> str:
    """A recipe's docstring with an entry for every option of its signature, in that order, the shared ones filled in."""
    about, _, rest = inspect.cleandoc(build.__doc__ or "").partition("\nArgs:\n")
    if not rest:
        about, _, after = about.partition("\nReferences:")
        own, tail = "", f"\nReferences:{after}" if after else ""
    else:
        own, _, tail = rest.partition("\n\n")
        tail = f"\n{tail}" if tail else ""
    entries = {}
    for entry in re.split(r"\n(?=    \S)", own):
        names, _, text = entry.strip().partition(":")
        entries |= {names.split(",")[0]: (names, text.strip())} if names else {}
    covered = {name.strip() for names, _ in entries.values() for name in names.split(",")}
    lines = []
    for name in inspect.signature(build).parameters:
        if name in entries:
            lines.append("    {}: {}".format(*entries[name]))
        elif name not in covered and name in SHARED:
            lines.append(f"    {name}: {SHARED[name]}")
    return "\n".join([about.rstrip(), "", "Args:", *lines]) + (f"\n{tail}" if tail else "")
