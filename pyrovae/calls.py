"""What every public function asks of a call, whatever it does: names that it knows, and values of the kind that it says."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pyrovae.errors import ContractError, OptionError, PyrovaeError, nearest

__all__ = ["public"]

F = TypeVar("F", bound=Callable[..., Any])

MOST_LETTERS = 300  # of what a program raises: torch prints whole tensors
# the least value of whole numbers by name; of others it is 1
LEAST = {"seed": 0, "steps": 0}
# first words of annotations, the types that they stand for, and what a sentence calls them
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a text"),
    "bool": ((bool,), "True or False"),
    "os.PathLike": ((os.PathLike,), "a path"),
    "Mapping": ((Mapping,), "a mapping of names to values"),
    "dict": ((Mapping,), "a mapping of names to values"),
    "Sequence": ((Sequence,), "a list"),
    "Iterable": ((Iterable,), "a list"),
    "Callable": ((Callable,), "a function"),  # type: ignore[dict-item]
    "DataSpec": ((), "the description of data, data.spec"),  # by the name of its class, which stands above this room
}


def public(*, without: Collection[str] = ()) -> Callable[[F], F]:
    """A decorator: refuse a call whose names, or values of plain types, are not those of the function's signature.

    What a pair's own program raises within the call comes out as a sentence that names the program and its batch.

    Args:
        without: arguments whose values the function itself looks at.

    >>> @public()
    ... def draw(pair, num: int = 1): return num
    >>> draw(0, nun=3)
    Traceback (most recent call last):
    pyrovae.errors.OptionError: no argument of draw is called 'nun'; did you mean 'num'? Known: num, pair.
    >>> draw(0, num=2.5)
    Traceback (most recent call last):
    pyrovae.errors.OptionError: num is 2.5; expected a whole number of at least 1.
    """

    def decorate(function: F) -> F:
        parameters = inspect.signature(function).parameters
        checks = {name: kinds for name, p in parameters.items() if name not in without and (kinds := kinds_of(p))}

        @functools.wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            args, named = bound(function.__name__, parameters, args, named)
            alone = callable(named.get("pair"))  # a model without its guide, whose arguments are all one place too far
            for name, kinds in checks.items():
                if name in named and not alone:
                    named[name] = checked(name, named[name], kinds)
            try:
                return function(*args, **named)
            except PyrovaeError:
                raise
            except Exception as error:
                if (failed := getattr(error, "failed", None)) is None:
                    raise
                fact = " ".join(str(error).partition("\nTrace Shapes:")[0].split())
                fact = fact if len(fact) <= MOST_LETTERS else f"{fact[:MOST_LETTERS]} ..."
                raise ContractError(f"{failed}: {type(error).__name__}: {fact}") from error

        return call  # type: ignore[return-value]

    return decorate


def bound(
    name: str, parameters: Mapping[str, inspect.Parameter], args: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """All arguments by their names; OptionError where Python would raise a TypeError."""
    places = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    takes_more = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if len(args) > len(places):
        raise OptionError(
            f"{name} takes {len(places)} arguments by their place ({', '.join(places)}), and {len(args)} came; give others by "
            "their names."
        )
    if twice := [place for place, _ in zip(places, args, strict=False) if place in named]:
        raise OptionError(f"{name} got {twice[0]} twice, by its place and by its name; give it once.")
    for other in named:
        if other not in parameters and not takes_more:
            raise nearest(f"argument of {name}", other, parameters)
    given = {**dict(zip(places, args, strict=False)), **named}
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if missing := [each for each in needed if each not in given]:
        raise OptionError(f"{name} needs {missing[0]}, as in {name}({', '.join(needed)}).")
    return (), given


def kinds_of(parameter: inspect.Parameter) -> list[str]:
    """The first words of an annotation's alternatives; none where one of them is no plain type."""
    if parameter.kind is parameter.VAR_KEYWORD or not isinstance(parameter.annotation, str):
        return []
    kinds = [word.partition("[")[0].strip() for word in alternatives(parameter.annotation)]
    return kinds if all(kind in {*KINDS, "int", "float", "None"} for kind in kinds) else []


def alternatives(annotation: str) -> list[str]:
    """The parts of an annotation between its outer bars.

    >>> alternatives("Mapping[str, int | None] | None")
    ['Mapping[str, int | None] ', ' None']
    """
    parts, depth = [""], 0
    for letter in annotation:
        depth += (letter == "[") - (letter == "]")
        if letter == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def checked(name: str, value: Any, kinds: Sequence[str]) -> Any:
    """The value, numbers of NumPy as Python's; OptionError where it is of none of the kinds."""
    if value is None and "None" in kinds:
        return None
    if isinstance(value, (str, os.PathLike)) and "\0" in str(value):
        raise OptionError(f"{name} holds a character of code 0; expected a text without it.")
    least, expected = LEAST.get(name, 1), []
    for kind in kinds:
        if kind == "int":
            whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            if whole and least <= int(value) < 2**63:
                return int(value)
            expected.append(f"a whole number {'from 0 to 2^63 - 1' if name == 'seed' else f'of at least {least}'}")
        elif kind == "float":
            if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
                return value
            expected.append("a finite number")
        elif kind != "None":
            types, word = KINDS[kind]
            unlisted = isinstance(value, (str, bytes, Mapping)) and kind in ("Sequence", "Iterable")
            named = any(each.__name__ == kind for each in type(value).__mro__)
            if named or (isinstance(value, types) and not unlisted):
                return value
            expected.append(word)
    if "None" in kinds:
        expected.append("None")
    raise OptionError(f"{name} is {shown(value)}; expected {' or '.join(dict.fromkeys(expected))}.")


def shown(value: Any) -> str:
    """A value in a sentence: short, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"a {type(value).__name__}"
