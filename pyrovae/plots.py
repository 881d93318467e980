"""Pictures: each function returns a :class:`matplotlib.figure.Figure` of its own, outside pyplot's global state."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from pyrovae.errors import OptionError, RunError
from pyrovae.files import write_whole

__all__ = [
    "analogies",
    "completions",
    "estimates",
    "gap_bars",
    "image_grid",
    "kl_bars",
    "latent_scatter",
    "learning_curves",
    "manifold",
    "png",
    "posterior_histograms",
    "reconstructions",
    "save",
    "traversals",
]

DPI = 150
BLUE, ORANGE, GREY = "#1f5a96", "#d1731c", "#b8bec4"
MOST_CLASSES = 20  # that a legend can hold
MOST_BARS_NAMED = 32
Place = Callable[[int], tuple[float, float, float]]


# ------------------------------------------------------------------------------------------------ curves
def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """The bound of each epoch on training and validation data, in nats per datum.

    Args:
        history: dicts with ``epoch`` and, where measured, ``train`` and ``valid``.

    >>> learning_curves([{"epoch": 1, "train": -120.0, "valid": float("nan")}]).axes[0].get_ylabel()
    'bound (nats per datum)'
    """
    figure, axes = _figure(5.2, 3.4)
    drawn = False
    for key, label, color in (("train", "training", BLUE), ("valid", "validation", ORANGE)):
        points = [(row["epoch"], float(row[key])) for row in history if row.get(key) is not None]
        points = [(epoch, value) for epoch, value in points if math.isfinite(value)]
        if points:
            marker = "o" if len(points) == 1 else None
            axes.plot(*zip(*points, strict=True), color=color, label=label, lw=1.5, marker=marker)
            drawn = True
    if not drawn:
        raise OptionError("the history has no finite value of 'train' or 'valid'; fit the pair for an epoch first.")
    axes.set(xlabel="epoch", ylabel="bound (nats per datum)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return figure


# ------------------------------------------------------------------------------------------------ grids of data
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

    >>> len(image_grid(torch.rand(6, 8, 8), columns=3).axes)
    1
    """
    if len(images) == 0:
        raise OptionError("no images to show: images has no rows.")
    if titles is not None and len(titles) != len(images):
        raise OptionError(f"{len(titles)} titles came for {len(images)} images; give one for each.")
    columns = columns or math.ceil(math.sqrt(len(images)))
    figure, axes, place = _mosaic(images, columns, vmin, vmax, titled=titles is not None)
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
    blank = x.new_full((missing, *x.shape[1:]), math.nan)
    both = torch.stack([torch.cat([part.to(x), blank]).unflatten(0, (rows, columns)) for part in (x, x_hat)], 1)
    return _labelled(both.flatten(0, 1), ["x", "E[x | z]"] * rows, None, "", vmin, vmax)


def analogies(grid: Tensor, x: Tensor | None = None, vmin: float = 0.0, vmax: float = 1.0) -> Figure:
    """Rows of one style, a column for each class, (rows, C, *shape); data x, (rows, *shape), left of their row.

    >>> analogies(torch.rand(2, 3, 4, 4), torch.rand(2, 4, 4)).axes[0].get_xticklabels()[0].get_text()
    'x'
    """
    names = [str(c) for c in range(grid.shape[1])]
    if x is not None:
        grid, names = torch.cat([x.to(grid).unsqueeze(1), grid], 1), ["x", *names]
    return _labelled(grid, [""] * len(grid), names, "class", vmin, vmax)


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

    >>> len(completions(torch.rand(2, 4, 4), torch.ones(2, 4, 4), torch.rand(3, 2, 4, 4)).axes[0].get_xticklabels())
    5
    """
    left = torch.where(known.bool(), x, (vmin + vmax) / 2) if seen is None else seen
    grid = torch.stack([left, *draws, *([x] if whole else [])], 1)
    names = ["known", *[str(k) for k in range(1, len(draws) + 1)], *["x"] * whole]
    return _labelled(grid, [""] * len(x), names, "completions", vmin, vmax)


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
        values, dims: those that ``traverse`` was given; its defaults if None.
    """
    values = torch.linspace(-3, 3, pictures.shape[1]) if values is None else torch.as_tensor(values)
    names = [f"z[{i}]" for i in (range(len(pictures)) if dims is None else dims)]
    if len(values) != pictures.shape[1] or len(names) != len(pictures):
        raise OptionError(
            f"the pictures are {tuple(pictures.shape[:2])} (dimensions, values); {len(names)} dims and {len(values)} "
            "values came."
        )
    ticks = [f"{round(float(value), 3) + 0.0:g}" for value in values]
    return _labelled(pictures, names, ticks, "value of the latent dimension", vmin, vmax)


def manifold(pictures: Tensor, vmin: float = 0.0, vmax: float = 1.0) -> Figure:
    """E[x | z] over a 2-dimensional latent space, z[0] to the right, z[1] upwards.

    Args:
        pictures: (num, num, *shape), of :func:`pyrovae.generate.manifold`.
    """
    num = len(pictures)
    upright = pictures.transpose(0, 1).flip(0).flatten(0, 1)
    figure, axes, place = _mosaic(upright, num, vmin, vmax, size=5.5, gap=0.0)
    bottom, top = place(num * (num - 1)), place(num - 1)
    names = [f"{0.5 / num:.3g}", f"{1 - 0.5 / num:.3g}"]
    axes.set_xticks([bottom[0], top[0]], names)
    axes.set_yticks([bottom[2], top[2]], names)
    axes.set(xlabel="prior quantile of z[0]", ylabel="prior quantile of z[1]")
    return figure


# ------------------------------------------------------------------------------------------------ latent space
def latent_scatter(means: Tensor, labels: Tensor | None = None) -> Figure:
    """Posterior means (N, d): their two dimensions, or where d > 2 their two leading principal components.

    Args:
        means: (N, d), of :func:`pyrovae.evaluation.latents.posterior_moments`.
        labels: (N,), to colour by: whole numbers as classes with a legend, up to 20 of them, anything else on a scale.

    >>> latent_scatter(torch.randn(50, 2)).axes[0].get_xlabel()
    'posterior mean of z[0]'
    """
    if means.dim() != 2 or len(means) < 2 or means.shape[1] == 0:
        raise OptionError(f"means is {tuple(means.shape)}; expected (N, d) with at least two data.")
    plane, names = _plane(means)
    points = plane.numpy()
    labels = None if labels is None else labels.detach().cpu()
    figure, axes = _figure(5.4 if labels is not None else 4.6, 4.4)
    size = min(20.0, max(4.0, 5000 / len(means)))
    style: dict[str, Any] = {"s": size, "linewidths": 0, "alpha": 0.8}
    classes = None if labels is None else torch.unique(labels)
    if labels is None or classes is None:
        axes.scatter(points[:, 0], points[:, 1], color=BLUE, **style)
    elif labels.is_floating_point() or len(classes) > MOST_CLASSES:
        drawn = axes.scatter(points[:, 0], points[:, 1], c=labels.numpy(), cmap="viridis", **style)
        figure.colorbar(drawn, label="y", shrink=0.8).outline.set_visible(False)
    else:
        colors = colormaps["tab10" if len(classes) <= 10 else "tab20"].colors
        for color, label in zip(colors, classes.tolist(), strict=False):
            axes.scatter(*points[(labels == label).numpy()].T, color=color, label=str(int(label)), **style)
        axes.legend(title="y", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
    axes.set(xlabel=names[0], ylabel=names[1])
    return figure


def _plane(means: Tensor) -> tuple[Tensor, list[str]]:
    """(N, 2) and the names of the two axes."""
    means = means.detach().cpu().double()
    dim = means.shape[1]
    if dim <= 2:
        columns = means if dim == 2 else torch.cat([means, torch.zeros_like(means)], 1)
        return columns, ["posterior mean of z[0]", "posterior mean of z[1]" if dim == 2 else ""]
    centered = means - means.mean(0)
    variances, directions = torch.linalg.eigh(centered.T @ centered)
    leading = directions[:, [-1, -2]]
    largest = leading.abs().argmax(0)
    leading = leading * leading[largest, [0, 1]].sign()  # a sign that does not depend on the solver
    shares = 100 * variances[[-1, -2]] / variances.sum().clamp_min(1e-300)
    names = [f"principal component {i + 1} ({float(s):.0f}% of the variance)" for i, s in enumerate(shares)]
    return centered @ leading, names


def posterior_histograms(means: Tensor, scales: Tensor) -> Figure:
    """How posterior means and scales, (N, d) each, spread over data and dimensions, against a standard normal prior."""
    figure, (left, right) = _figure(7.2, 3.0, columns=2)
    means, scales = means.detach().cpu().flatten(), scales.detach().cpu().flatten()
    left.hist(means.numpy(), bins=80, density=True, color=BLUE)
    grid = torch.linspace(min(-3.5, float(means.min())), max(3.5, float(means.max())), 300)
    density = torch.exp(-grid.square() / 2) / math.sqrt(2 * math.pi)
    left.plot(grid.numpy(), density.numpy(), color=ORANGE, lw=1.2, label="N(0, 1)")
    left.margins(y=0.12)
    right.margins(y=0.12)
    left.set(xlabel="posterior mean", ylabel="density, over data and dimensions")
    left.legend(frameon=False)
    right.hist(scales.numpy(), bins=80, range=(0, max(1.1, float(scales.max()))), density=True, color=BLUE)
    right.axvline(1.0, color=ORANGE, lw=1.2, label="prior N(0, 1)")
    right.set(xlabel="posterior scale")
    right.legend(frameon=False)
    return figure


def kl_bars(kl: Tensor, active: Tensor | None = None) -> Figure:
    """KL(q(z_i | x) || p(z_i)) of each dimension, in nats per datum, largest first.

    Args:
        kl: (d,), of :func:`pyrovae.evaluation.latents.kl_per_dim`.
        active: (d,) of bool, of :func:`pyrovae.evaluation.latents.active_units`; inactive ones are drawn pale.
    """
    kl = kl.detach().cpu().flatten()
    active = torch.ones_like(kl, dtype=torch.bool) if active is None else active.cpu().flatten()
    if active.shape != kl.shape:
        raise OptionError(f"active is {tuple(active.shape)} and kl {tuple(kl.shape)}; expected equal shapes.")
    order = kl.argsort(descending=True)
    places = torch.arange(len(kl))
    heights = kl[order]
    figure, axes = _figure(min(9.0, max(3.6, 1.6 + 0.2 * len(kl))), 3.0)
    for chosen, color, label in ((active[order], BLUE, "active"), (~active[order], GREY, "inactive")):
        if chosen.any():
            label = f"{int(chosen.sum())} {label}"
            axes.bar(places[chosen].tolist(), heights[chosen].tolist(), color=color, label=label)
    names = order.tolist() if len(kl) <= MOST_BARS_NAMED else []
    axes.margins(y=0.15)
    axes.set_xticks(range(len(names)), [str(i) for i in names], fontsize=7)
    axes.set(xlabel="latent dimension" if names else "latent dimensions, sorted", ylabel="KL (nats per datum)")
    axes.legend(frameon=False)
    return figure


# ------------------------------------------------------------------------------------------------ log p(x)
def estimates(value: Tensor, stderr: Tensor, label: str, below: Tensor, limit: float | None = None) -> Figure:
    """Estimates of log p(x_b) with two standard errors, in order of value; beside them a diagnostic of each.

    Args:
        value, stderr: (N,), in nats.
        label: the diagnostic's name.
        below: (N,), the diagnostic.
        limit: drawn as a line, and data above it in orange.

    >>> len(estimates(torch.tensor([-1.0, -2.0]), torch.zeros(2), "k-hat", torch.tensor([0.1, 0.9]), 0.7).axes)
    2
    """
    order = value.argsort()
    value, error, below = value[order], 2 * stderr[order].nan_to_num(0.0), below[order]
    above = below > (math.inf if limit is None else limit)
    figure, (left, right) = _figure(8.0, 3.4, columns=2)
    for mask, color in ((~above, BLUE), (above, ORANGE)):
        rows = mask.nonzero()[:, 0]
        left.errorbar(rows, value[rows], yerr=error[rows], fmt=".", ms=3, lw=0.8, color=color)
        right.plot(rows, below[rows], ".", ms=3, color=color)
    if limit is not None:
        right.axhline(limit, color=GREY, lw=1)
    left.set(xlabel="datum, in order of log p(x)", ylabel="log p(x) (nats)")
    right.set(xlabel="datum, in order of log p(x)", ylabel=label)
    return figure


def gap_bars(rows: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """Stacked bars of gaps in nats with their standard errors: a bar for each name, a part for each gap.

    Args:
        rows: bar's name -> gap's name -> (value, standard error).

    >>> figure = gap_bars({"test": {"approximation": (1.4, 0.1), "amortization": (1.3, 0.1)}})
    >>> figure.axes[0].get_ylabel()
    'nats per datum'
    """
    figure, axes = _figure(1.6 + 1.2 * max(2, len(rows)), 3.4)
    for i, parts in enumerate(rows.values()):
        bottom = 0.0
        for (label, (value, error)), color in zip(parts.items(), (BLUE, ORANGE, GREY), strict=False):
            axes.bar(i, value, 0.6, bottom=bottom, color=color, yerr=error, capsize=3, label=None if i else label)
            bottom += value
    axes.set_xticks(range(len(rows)), list(rows))
    axes.set_ylabel("nats per datum")
    axes.legend(frameon=False, fontsize=8)
    return figure


# ------------------------------------------------------------------------------------------------ files
def png(figure: Figure) -> bytes:
    """The figure as a PNG.

    >>> png(learning_curves([{"epoch": 1, "train": -1.0}]))[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a PNG, whole or not at all.

    Raises:
        RunError: the folder does not exist; none is made here.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise RunError(f"folder {path.parent} does not exist; make it before saving {path.name} there.")
    write_whole(path, png(figure))
    return path


# ------------------------------------------------------------------------------------------------ parts
def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    for one in [axes] if columns == 1 else axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def _is_image(shape: Sequence[int]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))


def _mosaic(
    data: Tensor,
    columns: int,
    vmin: float,
    vmax: float,
    size: float | None = None,
    gap: float = 0.08,
    titled: bool = False,
) -> tuple[Figure, Axes, Place]:
    """n data (n, *shape) in one axes; also from a datum's number to its (middle x, top y, middle y)."""
    data = data.detach().cpu().float()
    rows = math.ceil(len(data) / columns)
    figure = Figure(layout="constrained")
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


def _labelled(
    grid: Tensor, row_names: Sequence[str], column_names: Sequence[str] | None, label: str, vmin: float, vmax: float
) -> Figure:
    """A grid (rows, columns, *shape) with names along its left and lower edges."""
    rows, columns = grid.shape[:2]
    figure, axes, place = _mosaic(grid.flatten(0, 1), columns, vmin, vmax)
    axes.set_yticks([place(i * columns)[2] for i in range(rows)], row_names)
    if column_names is not None:
        axes.set_xticks([place(i)[0] for i in range(columns)], column_names)
        axes.set_xlabel(label, fontsize=9)
    return figure
