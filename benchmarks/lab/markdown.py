"""Tables and figures as text: Markdown, numbers with their errors, blocks of a page that are made of records."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from pyrovae.errors import OptionError

__all__ = ["block", "mean_error", "table", "write_block"]


def table(heads: Sequence[str], lines: Sequence[Sequence[object]], spaced: bool = False) -> str:
    """A Markdown table; ``spaced`` sets the rule under the heads apart from its bars."""
    rule = f"| {' | '.join(['---'] * len(heads))} |" if spaced else "|" + "---|" * len(heads)
    return "\n".join([f"| {' | '.join(heads)} |", rule, *(f"| {' | '.join(map(str, line))} |" for line in lines)])


def mean_error(values: Sequence[float], digits: int = 2, sign: str = "") -> str:
    """The mean, and, of several, its standard error."""
    error = f" +- {statistics.stdev(values) / math.sqrt(len(values)):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.{digits}f}{error}"


def block(name: str, text: str, figures: Sequence[str] = ()) -> str:
    """A table between its markers, and its figures."""
    return "\n\n".join(
        [f"<!-- table: {name} -->", text, *(f"![](figures/{figure}.png)" for figure in figures), "<!-- end -->"]
    )


def write_block(path: Path, name: str, new: str) -> None:
    """Put a block where its markers are in a file, or at its end."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    marker = f"<!-- table: {name} -->"
    if marker in text:
        text, count = re.subn(f"{re.escape(marker)}.*?<!-- end -->", lambda _: new, text, flags=re.DOTALL)
        if count != 1:
            raise OptionError(f"{path}: expected the marker {marker} once, with <!-- end --> after it; found {count}.")
    else:
        text = f"{text.rstrip()}\n\n{new}\n".lstrip()
    path.write_text(text, encoding="utf-8")
