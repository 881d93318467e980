"""Latent spaces: posterior means and scales, KL of each dimension."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyrovae.errors import OptionError
from pyrovae.plots.figures import BLUE, GREY, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["code_bars", "kl_bars", "latent_scatter", "posterior_histograms"]


MAX_LEGEND_CLASSES = 20  # that a legend can hold


MAX_NAMED_BARS = 32


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
    figure, axes = new_figure(5.4 if labels is not None else 4.6, 4.4)
    size = min(20.0, max(4.0, 5000 / len(means)))
    style: dict[str, Any] = {"s": size, "linewidths": 0, "alpha": 0.8}
    classes = None if labels is None else torch.unique(labels)
    if labels is None or classes is None:
        axes.scatter(points[:, 0], points[:, 1], color=BLUE, **style)
    elif labels.is_floating_point() or len(classes) > MAX_LEGEND_CLASSES:
        drawn = axes.scatter(points[:, 0], points[:, 1], c=labels.numpy(), cmap="viridis", **style)
        figure.colorbar(drawn, label="y", shrink=0.8).outline.set_visible(False)
    else:
        from matplotlib import colormaps

        colormap: Any = colormaps["tab10" if len(classes) <= 10 else "tab20"]  # a ListedColormap
        colors = colormap.colors
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
    figure, (left, right) = new_figure(7.2, 3.0, columns=2)
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
    figure, axes = new_figure(min(9.0, max(3.6, 1.6 + 0.2 * len(kl))), 3.0)
    for chosen, color, label in ((active[order], BLUE, "active"), (~active[order], GREY, "inactive")):
        if chosen.any():
            label = f"{int(chosen.sum())} {label}"
            axes.bar(places[chosen].tolist(), heights[chosen].tolist(), color=color, label=label)
    names = order.tolist() if len(kl) <= MAX_NAMED_BARS else []
    axes.margins(y=0.15)
    axes.set_xticks(range(len(names)), [str(i) for i in names], fontsize=7)
    axes.set(xlabel="latent dimension" if names else "latent dimensions, sorted", ylabel="KL (nats per datum)")
    axes.legend(frameon=False)
    return figure


def code_bars(counts: Tensor) -> Figure:
    """How often each code is used, as shares, most used first, beside equal use.

    Args:
        counts: (V,), of :func:`pyrovae.evaluation.codes.code_use`.
    """
    counts = counts.detach().cpu().flatten().double()
    if not len(counts) or counts.sum() == 0:
        raise OptionError("counts has no code that is used; expected one at least.")
    shares = (counts / counts.sum()).sort(descending=True).values
    figure, axes = new_figure(min(9.0, max(3.6, 1.6 + 0.05 * len(shares))), 3.0)
    used = int((counts > 0).sum())
    axes.bar(range(len(shares)), shares.tolist(), width=1.0, color=BLUE, label=f"{used} of {len(shares)} used")
    axes.axhline(1 / len(shares), color=ORANGE, lw=1.2, label="equal use")
    axes.set(xlabel="codes, most used first", ylabel="share of draws")
    axes.legend(frameon=False)
    return figure
