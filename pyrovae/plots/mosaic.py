"""Many data side by side in one axes: images as images, anything else as curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyrovae.plots.figures import BLUE, empty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_grid", "draw_mosaic"]


Place = Callable[[int], tuple[float, float, float]]


def _is_image(shape: Sequence[int]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))


def _side_by_side(data: Tensor) -> Tensor:
    """Groups of images, (N, n, H, W) or (N, n, C, H, W), each as one wide image; other data as they are."""
    shape = data.shape[1:]
    if len(shape) < 3 or _is_image(shape) or not _is_image(shape[1:]):
        return data
    gap = torch.full((*data.shape[:-1], 1), math.nan)
    return torch.cat([data, gap], -1).movedim(1, -2).flatten(-2)[..., :-1]


def draw_mosaic(
    data: Tensor,
    columns: int,
    vmin: float,
    vmax: float,
    size: float | None = None,
    gap: float = 0.08,
    titled: bool = False,
) -> tuple[Figure, Axes, Place]:
    """n data (n, *shape) in one axes; also from a datum's number to its (middle x, top y, middle y)."""
    data = _side_by_side(data.detach().cpu().float())
    rows = math.ceil(len(data) / columns)
    figure = empty_figure(layout="constrained")
    axes = figure.subplots()
    draw = _draw_images if _is_image(data.shape[1:]) else _draw_curves
    place, ratio = draw(axes, data, rows, columns, gap + 0.3 * titled, vmin, vmax)
    width = size or min(8.0, max(2.0, 0.75 * columns))
    figure.set_size_inches(width, min(11.0, max(0.8, width * ratio)))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    return figure, axes, place


def _draw_images(
    axes: Axes, data: Tensor, rows: int, columns: int, gap: float, vmin: float, vmax: float
) -> tuple[Place, float]:
    if data.dim() == 3:
        data = data.unsqueeze(1)
    n, channels, height, width = data.shape
    pad = math.ceil(gap * max(height, width))
    tall, wide = height + pad, width + pad
    canvas = torch.ones(rows * tall + pad, columns * wide + pad, channels)
    for i in range(n):
        top, left = pad + i // columns * tall, pad + i % columns * wide
        tile = ((data[i] - vmin) / (vmax - vmin)).clamp(0, 1).nan_to_num(1.0)
        canvas[top : top + height, left : left + width] = tile.permute(1, 2, 0)
    picture = canvas.squeeze(-1) if channels == 1 else canvas
    axes.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")

    def place(i: int) -> tuple[float, float, float]:
        top = pad + i // columns * tall - 0.5
        return pad + i % columns * wide + width / 2 - 0.5, top, top + height / 2

    return place, canvas.shape[0] / canvas.shape[1]


def _draw_curves(
    axes: Axes, data: Tensor, rows: int, columns: int, gap: float, vmin: float, vmax: float
) -> tuple[Place, float]:
    """Every datum's dimensions from left to right, all on one vertical scale, that of the data."""
    from matplotlib.collections import LineCollection

    data = data.flatten(1)
    seen = data[data.isfinite()]
    low, high = (float(seen.min()), float(seen.max())) if seen.numel() else (vmin, vmax)
    scaled = (data - low) / ((high - low) or 1.0)
    along = torch.linspace(0, 1, data.shape[1]) if data.shape[1] > 1 else torch.tensor([0.5])
    step = 1 + max(gap, 0.1)
    lines = []
    for i in range(len(data)):
        points = torch.stack([along + i % columns * step, scaled[i] + (rows - 1 - i // columns) * step], -1)
        lines.append(points[points.isfinite().all(-1)].numpy())
    axes.add_collection(LineCollection(lines, colors=BLUE, linewidths=0.8))
    axes.set(xlim=(-0.1, columns * step), ylim=(-0.1, rows * step))

    def place(i: int) -> tuple[float, float, float]:
        low = (rows - 1 - i // columns) * step
        return i % columns * step + 0.5, low + 1, low + 0.5

    return place, 0.6 * rows / columns


def draw_grid(
    grid: Tensor, row_names: Sequence[str], column_names: Sequence[str] | None, label: str, vmin: float, vmax: float
) -> Figure:
    """A grid (rows, columns, *shape) with names along its left and lower edges."""
    rows, columns = grid.shape[:2]
    figure, axes, place = draw_mosaic(grid.flatten(0, 1), columns, vmin, vmax)
    axes.set_yticks([place(i * columns)[2] for i in range(rows)], row_names)
    if column_names is not None:
        axes.set_xticks([place(i)[0] for i in range(columns)], column_names)
        axes.set_xlabel(label, fontsize=9)
    return figure
