"""Bounds and estimates with their errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy
import pandas
from torch import Tensor

from pyrovae.errors import OptionError
from pyrovae.plots.figures import BLUE, GREY, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["estimates", "gap_bars", "learning_curves"]


def learning_curves(history: pandas.DataFrame | Sequence[Mapping[str, Any]], label: str = "bound in nats per datum") -> Figure:
    """The bound of each epoch on training and validation data, in nats per datum.

    Args:
        history: ``run.history``, or rows with ``epoch`` and, where measured, ``train`` and ``valid``.
        label: what these are: ``run.quantity``.

    >>> learning_curves([{"epoch": 1, "train": -120.0, "valid": float("nan")}]).axes[0].get_ylabel()
    'bound in nats per datum'
    """
    figure, axes = new_figure(5.2, 3.4)
    drawn, history = False, pandas.DataFrame(history)
    for key, part, color in (("train", "training", BLUE), ("valid", "validation", ORANGE)):
        values = history[key].astype("float64") if key in history else pandas.Series(dtype="float64")
        values = values[numpy.isfinite(values)]
        if len(values):
            marker = "o" if len(values) == 1 else None
            axes.plot(history["epoch"][values.index], values, color=color, label=part, lw=1.5, marker=marker)
            drawn = True
    if not drawn:
        raise OptionError("the history has no finite value of 'train' or 'valid'; fit the pair for an epoch first.")
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return figure


def estimates(value: Tensor, stderr: Tensor, label: str, below: Tensor, limit: float | None = None) -> Figure:
    """Estimates of log p(x_b) with two standard errors, in order of value; beside them a diagnostic of each.

    Args:
        value: estimates, (N,), in nats.
        stderr: their standard errors, (N,), in nats.
        label: the diagnostic's name.
        below: (N,), the diagnostic.
        limit: drawn as a line, and data above it in orange.

    >>> import torch
    >>> len(estimates(torch.tensor([-1.0, -2.0]), torch.zeros(2), "k-hat", torch.tensor([0.1, 0.9]), 0.7).axes)
    2
    """
    order = value.argsort()
    value, error, below = value[order], 2 * stderr[order].nan_to_num(0.0), below[order]
    above = below > (math.inf if limit is None else limit)
    figure, (left, right) = new_figure(8.0, 3.4, columns=2)
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
    figure, axes = new_figure(1.6 + 1.2 * max(2, len(rows)), 3.4)
    for i, parts in enumerate(rows.values()):
        bottom = 0.0
        for (label, (value, error)), color in zip(parts.items(), (BLUE, ORANGE, GREY), strict=False):
            axes.bar(i, value, 0.6, bottom=bottom, color=color, yerr=error, capsize=3, label=None if i else label)
            bottom += value
    axes.set_xticks(range(len(rows)), list(rows))
    axes.set_ylabel("nats per datum")
    axes.legend(frameon=False, fontsize=8)
    return figure
