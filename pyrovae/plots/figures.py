"""Figures and their files: outside pyplot's global state, written whole."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrovae.errors import RunError
from pyrovae.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BLUE", "DPI", "GREY", "ORANGE", "empty_figure", "new_figure", "png", "save"]


DPI = 150


BLUE = "#1f5a96"


ORANGE = "#d1731c"


GREY = "#b8bec4"


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as a PNG of so many dots per inch.

    >>> png(empty_figure())[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = DPI) -> Path:
    """Write a PNG of so many dots per inch, whole or not at all.

    Raises:
        RunError: the folder does not exist; none is made here.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise RunError(f"folder {path.parent} does not exist; make it before saving {path.name} there.")
    write_whole(path, png(figure, dpi))
    return path


def empty_figure(**options: Any) -> Figure:
    """A figure without axes."""
    from matplotlib.figure import Figure  # half a second to import, needed for pictures only

    return Figure(**options)


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    """A figure of so many inches and its axes, without the upper and right spines."""
    figure = empty_figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    for one in [axes] if columns == 1 else axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes
