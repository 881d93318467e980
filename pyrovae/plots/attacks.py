"""Adversarial examples beside what a pair makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyrovae.errors import OptionError
from pyrovae.plots.mosaic import draw_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["attacks"]


def attacks(
    x: Tensor,
    clean: Tensor,
    eta: Tensor,
    reconstruction: Tensor,
    aim: Tensor,
    target: Tensor,
    vmin: float = 0.0,
    vmax: float = 1.0,
) -> Figure:
    """A row for each datum: x and its reconstruction, the change, x + eta and its reconstruction, the target and its own.

    The change is drawn around grey, the largest of a row at black or white.

    >>> images = torch.rand(3, 8, 8)
    >>> [label.get_text() for label in attacks(*[images] * 6).axes[0].get_xticklabels()][:3]
    ['x', 'E[x | z]', 'eta']
    """
    images = (x, clean, eta, reconstruction, aim, target)
    if len({each.shape for each in images}) > 1:
        raise OptionError(f"the images have shapes {[tuple(each.shape) for each in images]}; expected equal ones.")
    largest = eta.flatten(1).abs().amax(1).clamp_min(1e-12).reshape(-1, *[1] * (eta.dim() - 1))
    shown = vmin + (vmax - vmin) * (0.5 + 0.5 * eta / largest)
    grid = torch.stack([x, clean, shown, x + eta, reconstruction, target, aim], 1)
    names = ["x", "E[x | z]", "eta", "x + eta", "E[x | z]", "target", "E[x | z]"]
    return draw_grid(grid, [""] * len(x), names, "", vmin, vmax)
