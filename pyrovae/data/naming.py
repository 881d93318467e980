"""What a named data set says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyrovae.data.factors import Factors

__all__ = ["Named", "Parts", "Root", "drawn"]

Root = str | Path | None
Parts = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Named:
    """A named set: ``read(root)`` gives its raw parts, one part "" where no split is published.

    ``sizes`` are the rows of valid and test for such a set; ``binarization`` is the default, the first of
    ``allowed``; ``kinds`` are those told of keys; ``words(root)`` says what is counted, or which words are 0, 1, ..., ``text``
    whether these are words or characters; ``sets`` are the keys whose first axis are items in no order.
    """

    about: str
    read: Callable[[Root], Parts]
    levels: int | None = None
    allowed: tuple[str, ...] = ("none",)
    sizes: tuple[int, int] | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    words: Callable[[Root], tuple[str, ...]] | None = None
    text: str = "words"
    sets: tuple[str, ...] = ()

    @property
    def binarization(self) -> str:
        """The default binarization."""
        return self.allowed[0]


def drawn(about: str, source: Factors, levels: int | None = None, packed: bool = False, held: int | None = None) -> Named:
    """A set that is drawn by rule from factors, which are keys beside x; ``held`` rows each are valid and test."""

    def read(root: Root = None) -> Parts:
        return {"": source.columns(packed)}

    return Named(about, read, levels, ("none",), None if held is None else (held, held), source.kinds())
