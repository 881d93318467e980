"""A published table's figures, drawn of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.lab.published import by_data

__all__ = ["curves", "points"]

COLORS = ("#1f5a96", "#d1731c", "#5a8f3c", "#8a4fa3", "#b8485c", "#4b9aa5", "#8c6d31", "#777777", "#d69ab8", "#1a1a1a")
Rows = Sequence[dict[str, Any]]


def points(rows: Rows) -> Figure:
    """log p(x) of each cell with two standard errors over seeds, beside the published figure."""
    figure = Figure(figsize=(7.0, 1.2 + 0.28 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        summary, published = row["summary"], row["published"]
        error = 2 * (summary["log_p_seed_stderr"] or 0.0)
        label = {"label": "ours, two standard errors over seeds"} if place == 0 else {}
        axes.errorbar(summary["log_p"], place, xerr=error, fmt="o", color=COLORS[0], ms=4, capsize=2, **label)
        if published:
            axes.plot(published["log_p"], place, "|", color=COLORS[1], ms=11, mew=2)
    axes.plot([], [], "|", color=COLORS[1], ms=11, mew=2, label="published")
    axes.set(xlabel="log p(x) (nats per datum)", yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5))
    names = {row["results"][0]["data"]["name"] for row in rows}
    axes.set_yticklabels([_named(row, len(names) > 1) for row in rows], fontsize=8)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _named(row: dict[str, Any], with_data: bool) -> str:
    return row["label"] + (f" ({row['results'][0]['data']['name']})" if with_data else "")


def curves(rows: Rows) -> Figure:
    """The training bound of each epoch, and the validation bound dashed, of each row's first seed.

    There is a panel for each data set and binarization; a row that goes on from another begins at that one's last epoch.
    """
    groups = by_data([row for row in rows if row["results"][0].get("curve")])
    figure = Figure(figsize=(7.0, 1.0 + 3.6 * max(1, len(groups))), layout="constrained")
    panels = figure.subplots(max(1, len(groups)), squeeze=False)[:, 0]
    for axes, (data, group) in zip(panels, groups.items(), strict=False):
        _draw_curves(axes, group)
        axes.set_title(", ".join(data), fontsize=9)
    return figure


def _draw_curves(axes: Axes, rows: Rows) -> None:
    best, epochs, dashed = [], [], False
    for color, row in zip(cycle(COLORS), rows, strict=False):
        curve, before = row["results"][0]["curve"], (row["results"][0].get("before") or {"epochs": 0})["epochs"]
        for part, line in (("train", "-"), ("valid", "--")):
            values = zip(curve["epoch"], curve[part], strict=True)
            drawn = [(before + epoch, value) for epoch, value in values if value is not None]
            if drawn:
                name = {"label": row["label"]} if part == "train" else {}
                axes.plot(*zip(*drawn, strict=True), line, color=color, lw=1.2, **name)
                best += [value for _, value in drawn[len(drawn) // 2 :]]
                epochs += [epoch for epoch, _ in drawn]
                dashed = dashed or part == "valid"
    axes.set_ylim(min(best) - 1, max(best) + 1)
    axes.legend(frameon=False, fontsize=6)
    axes.set(xlabel="epoch", ylabel=f"bound (nats per datum{'; validation dashed' if dashed else ''})")
    axes.set_xscale("log" if max(epochs) >= 10 * min(epochs) else "linear")
