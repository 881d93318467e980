"""The errors that pyrovae raises: each message names the site or option, what came, what was expected, how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ContractError",
    "DataError",
    "NonFiniteError",
    "OptionError",
    "PyrovaeError",
    "RunError",
    "UnusedOptionError",
    "nearest",
]


class PyrovaeError(ValueError):
    """Base of all errors whose message is meant for the user, not for a debugger."""


class ContractError(PyrovaeError):
    """A model or a guide breaks the contract of a pair."""


class DataError(PyrovaeError):
    """Data that cannot be found, read or used."""


class OptionError(PyrovaeError):
    """An option's name or value that is not known."""


class UnusedOptionError(OptionError):
    """An option that was given, and that the other options leave without effect.

    Attributes:
        option: its name.
    """

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message)
        self.option = option


class RunError(PyrovaeError):
    """A run folder or checkpoint that cannot be written, read or resumed."""


class NonFiniteError(PyrovaeError):
    """A bound, gradient or parameter that is infinite or not a number."""


def nearest(kind: str, name: str, known: Iterable[str]) -> OptionError:
    """The error for an unknown ``name``, with the nearest match.

    >>> print(nearest("objective", "elbow", ["elbo", "iwae"]))
    no objective is called 'elbow'; did you mean 'elbo'? Known: elbo, iwae.
    """
    known = sorted(known)
    match = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {match[0]!r}?" if match else "."
    return OptionError(f"no {kind} is called {name!r}{hint} Known: {', '.join(known)}.")
