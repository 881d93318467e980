"""Piano rolls: keys upwards, steps to the right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyrovae.errors import OptionError
from pyrovae.plots.figures import empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["piano_rolls"]


def piano_rolls(
    x: Tensor,
    lengths: Tensor | None = None,
    given: int = 0,
    columns: int | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """n sequences side by side, (n, T, D): steps to the right, values upwards, from 0 (white) to 1 (black).

    Args:
        x: draws, or probabilities.
        lengths: steps of each, (n,); those beyond are grey.
        given: steps of each that were given, left of a line.
        columns: by default about as many as rows.
        titles: one for each.

    >>> len(piano_rolls(torch.rand(3, 7, 5)).axes)
    3
    """
    if x.dim() != 3 or len(x) == 0:
        raise OptionError(f"x has shape {tuple(x.shape)}; expected (n, T, D), sequences of D values a step.")
    if titles is not None and len(titles) != len(x):
        raise OptionError(f"{len(titles)} titles came for {len(x)} sequences; give one for each.")
    rows = x.detach().float().cpu()
    if lengths is not None:
        beyond = torch.arange(x.shape[1]) >= lengths.cpu().unsqueeze(1)
        rows = rows.masked_fill(beyond.unsqueeze(-1), math.nan)
    columns = columns or math.ceil(math.sqrt(len(x)))
    lines = math.ceil(len(x) / columns)
    figure = empty_figure(figsize=(3.2 * columns, 1.6 * lines), layout="constrained")
    for i, row in enumerate(rows):
        axes = figure.add_subplot(lines, columns, i + 1)
        axes.set_facecolor("0.85")
        axes.imshow(row.T.numpy(), origin="lower", aspect="auto", cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        if given:
            axes.axvline(given - 0.5, color="C1", linewidth=1)
        axes.tick_params(labelsize=6)
        if titles is not None:
            axes.set_title(titles[i], fontsize=7)
    return figure
