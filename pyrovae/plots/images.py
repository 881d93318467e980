"""Grids of data: samples, reconstructions, completions, traversals, manifolds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyrovae.errors import OptionError
from pyrovae.plots.mosaic import draw_grid, draw_mosaic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["analogies", "completions", "image_grid", "manifold", "reconstructions", "traversals"]


def image_grid(
    images: Tensor,
    columns: int | None = None,
    titles: Sequence[str] | None = None,
    vmin: float = 0.0,
    vmax: float = 1.0,
) -> Figure:
    """n data side by side: images (H, W) or (C, H, W) with C 1 or 3, anything else as curves over its dimensions.

    Args:
        images: (n, *shape); images are clipped to [vmin, vmax].
        columns: by default about as many as rows.
        titles: one for each image.
        vmin: the value shown black.
        vmax: the value shown white.

    >>> len(image_grid(torch.rand(6, 8, 8), columns=3).axes)
    1
    """
    if len(images) == 0:
        raise OptionError("no images to show: images has no rows.")
    if titles is not None and len(titles) != len(images):
        raise OptionError(f"{len(titles)} titles came for {len(images)} images; give one for each.")
    columns = columns or math.ceil(math.sqrt(len(images)))
    figure, axes, place = draw_mosaic(images, columns, vmin, vmax, titled=titles is not None)
    for i, title in enumerate(titles or []):
        x, top, _ = place(i)
        axes.text(x, top, title, ha="center", va="bottom", fontsize=7)
    return figure


def reconstructions(x: Tensor, x_hat: Tensor, columns: int = 10, vmin: float = 0.0, vmax: float = 1.0) -> Figure:
    """Pairs of rows: data x (n, *shape) above, their reconstructions below.

    >>> reconstructions(torch.rand(4, 8, 8), torch.rand(4, 8, 8)).axes[0].get_yticklabels()[1].get_text()
    'E[x | z]'
    """
    if x.shape != x_hat.shape:
        raise OptionError(f"x is {tuple(x.shape)} and x_hat {tuple(x_hat.shape)}; expected equal shapes.")
    columns = min(columns, len(x))
    rows = math.ceil(len(x) / columns)
    missing = rows * columns - len(x)
    blank = torch.full((missing, *x.shape[1:]), math.nan)
    both = torch.stack([torch.cat([part.float().cpu(), blank]).unflatten(0, (rows, columns)) for part in (x, x_hat)], 1)
    return draw_grid(both.flatten(0, 1), ["x", "E[x | z]"] * rows, None, "", vmin, vmax)


def analogies(grid: Tensor, x: Tensor | None = None, vmin: float = 0.0, vmax: float = 1.0) -> Figure:
    """Rows of one style, a column for each class, (rows, C, *shape); data x, (rows, *shape), left of their row.

    >>> analogies(torch.rand(2, 3, 4, 4), torch.rand(2, 4, 4)).axes[0].get_xticklabels()[0].get_text()
    'x'
    """
    names = [str(c) for c in range(grid.shape[1])]
    if x is not None:
        grid, names = torch.cat([x.to(grid).unsqueeze(1), grid], 1), ["x", *names]
    return draw_grid(grid, [""] * len(grid), names, "class", vmin, vmax)


def completions(
    x: Tensor,
    known: Tensor,
    draws: Tensor,
    seen: Tensor | None = None,
    whole: bool = True,
    vmin: float = 0.0,
    vmax: float = 1.0,
) -> Figure:
    """A row for each datum: what is known of it (the rest grey), its completions, and itself.

    Args:
        x: (B, *shape).
        known: (B, *shape), 1 where x is known.
        draws: (K, B, *shape).
        seen: what to show at the left, (B, *shape), where that is not x's known part.
        whole: whether all of x is there to be shown at the right.
        vmin: the value shown black.
        vmax: the value shown white.

    >>> len(completions(torch.rand(2, 4, 4), torch.ones(2, 4, 4), torch.rand(3, 2, 4, 4)).axes[0].get_xticklabels())
    5
    """
    left = torch.where(known.bool(), x, (vmin + vmax) / 2) if seen is None else seen
    grid = torch.stack([left, *draws, *([x] if whole else [])], 1)
    names = ["known", *[str(k) for k in range(1, len(draws) + 1)], *["x"] * whole]
    return draw_grid(grid, [""] * len(x), names, "completions", vmin, vmax)


def traversals(
    pictures: Tensor,
    values: Sequence[float] | Tensor | None = None,
    dims: Sequence[int] | None = None,
    vmin: float = 0.0,
    vmax: float = 1.0,
) -> Figure:
    """One row for each latent dimension, one column for each value it is given.

    Args:
        pictures: (num_dims, num_values, *shape), of :func:`pyrovae.generate.traverse`.
        values: those that ``traverse`` was given; its default for real numbers if None.
        dims: likewise.
        vmin: the value shown black.
        vmax: the value shown white.
    """
    values = torch.linspace(-3, 3, pictures.shape[1]) if values is None else torch.as_tensor(values)
    names = [f"z[{i}]" for i in (range(len(pictures)) if dims is None else dims)]
    if len(values) != pictures.shape[1] or len(names) != len(pictures):
        raise OptionError(
            f"the pictures are {tuple(pictures.shape[:2])} (dimensions, values); {len(names)} dims and {len(values)} "
            "values came."
        )
    ticks = [f"{round(float(value), 3) + 0.0:g}" for value in values]
    return draw_grid(pictures, names, ticks, "value of the latent dimension", vmin, vmax)


def manifold(pictures: Tensor, vmin: float = 0.0, vmax: float = 1.0) -> Figure:
    """E[x | z] over a 2-dimensional latent space, z[0] to the right, z[1] upwards.

    Args:
        pictures: (num, num, *shape), of :func:`pyrovae.generate.manifold`.
        vmin: the value shown black.
        vmax: the value shown white.
    """
    num = len(pictures)
    upright = pictures.transpose(0, 1).flip(0).flatten(0, 1)
    figure, axes, place = draw_mosaic(upright, num, vmin, vmax, size=5.5, gap=0.0)
    bottom, top = place(num * (num - 1)), place(num - 1)
    names = [f"{0.5 / num:.3g}", f"{1 - 0.5 / num:.3g}"]
    axes.set_xticks([bottom[0], top[0]], names)
    axes.set_yticks([bottom[2], top[2]], names)
    axes.set(xlabel="prior quantile of z[0]", ylabel="prior quantile of z[1]")
    return figure
