"""Films: grids of data frame by frame, as one GIF."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

from torch import Tensor

from pyrovae.errors import OptionError, RunError
from pyrovae.files import write_whole
from pyrovae.plots.figures import png
from pyrovae.plots.images import image_grid

__all__ = ["gif", "save_film"]

FRAME_DPI = 80


def gif(film: Tensor, columns: int | None = None, milliseconds: int = 100, vmin: float = 0.0, vmax: float = 1.0) -> bytes:
    """A film of n data side by side, which repeats without end.

    Args:
        film: (F, n, *shape), F frames of what :func:`~pyrovae.plots.image_grid` takes.
        columns: by default about as many as rows.
        milliseconds: for which a frame is shown; a GIF has tens of them.
        vmin: the value shown black.
        vmax: the value shown white.

    >>> import torch
    >>> gif(torch.rand(2, 4, 8, 8))[:6]
    b'GIF89a'
    """
    from PIL import Image  # needed for films only

    if film.dim() < 3 or not len(film):
        raise OptionError(f"film is {tuple(film.shape)}; expected (frames, n, *shape) with at least one frame.")
    if milliseconds < 10:
        raise OptionError(f"milliseconds is {milliseconds!r}; expected at least 10.")
    columns = columns or math.ceil(math.sqrt(film.shape[1]))
    shown = [png(image_grid(frame, columns, vmin=vmin, vmax=vmax), FRAME_DPI) for frame in film]
    images = [Image.open(io.BytesIO(each)).convert("RGB").quantize(64) for each in shown]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return buffer.getvalue()


def save_film(film: Tensor, path: str | os.PathLike[str], columns: int | None = None, milliseconds: int = 100) -> Path:
    """Write a film, (F, n, *shape), as a GIF, whole or not at all.

    Raises:
        RunError: the folder does not exist; none is made here.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise RunError(f"folder {path.parent} does not exist; make it before saving {path.name} there.")
    low, high = min(0.0, float(film.min())), max(1.0, float(film.max()))
    write_whole(path, gif(film, columns, milliseconds, low, high))
    return path
