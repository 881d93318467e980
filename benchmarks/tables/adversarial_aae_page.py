"""Tables and figures of ``adversarial-aae``."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.lab import markdown
from benchmarks.lab.records import Row
from pyrovae.plots.figures import new_figure

__all__ = ["figures", "packed", "tables"]


def packed(images: Tensor) -> str:
    """Images in [0, 1] as bytes in a text."""
    values = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8)
    return base64.b64encode(zlib.compress(values.numpy().tobytes(), 9)).decode()


def unpacked(text: str, *shape: int) -> np.ndarray:
    """The images again."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape)


def of(rows: Sequence[Row], kind: str) -> list[Row]:
    """The rows of one kind, in the order of its forms."""
    forms = list(dict.fromkeys(row["form"] for row in rows if row["kind"] == kind))
    return sorted((row for row in rows if row["kind"] == kind), key=lambda row: (forms.index(row["form"]), row["seed"]))


def nears(row: Row) -> list[str]:
    """MMD^2, what it is between draws of the prior, and their ratio."""
    return [f"{row['mmd']:.4f}", f"{row['null']:.4f}", f"{row['mmd'] / row['null']:.1f}"]


NEAR = ["MMD^2 of 500 codes", "95% quantile of draws", "ratio"]
LEAD = ["form", "seed", "length", "steps"]
COLUMNS: dict[str, tuple[list[str], Callable[[Row], list[Any]]]] = {
    "toy": (["variance of codes", "loss of D (2 log 2 = 1.386)", "its accuracy"],
            lambda r: [f"{r['variance']:.3f}", f"{r['discriminate']:.3f}", f"{r['accuracy']:.2f}"]),
    "codes": (["squared error", *NEAR, "variance of codes"],
              lambda r: [f"{r['squared_error']:.1f}", *nears(r), f"{r['variance']:.2f}"]),
    "maps": ([*NEAR, "in the part of their class: labelled", "the rest"],
             lambda r: [*nears(r), *(percent(r.get(f"in_class of {word}")) for word in ("labelled", "others"))]),
    "style": (["class from z by neighbours", *NEAR], lambda r: [percent(r["class_from_z"]), *nears(r)]),
    "semi": (["error, %"], lambda r: [f"{r['error']:.2f}"]),
    "cluster": (["error, %"], lambda r: [f"{r['error']:.2f}"]),
    "heads": (["error, %", "distance of the closest heads"], lambda r: [f"{r['error']:.2f}", f"{r['closest_heads']:.1f}"]),
}  # fmt: skip


def percent(value: float | None) -> str:
    """A share as percent; nothing where nothing was measured."""
    return "" if value is None else f"{100 * value:.1f}%"


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A table for each kind."""
    found = {}
    for kind, (heads, line) in COLUMNS.items():
        if chosen := of(rows, kind):
            lines = [[*(row[name] for name in LEAD), *line(row)] for row in chosen]
            found[f"adversarial-aae {kind}"] = markdown.table([*LEAD, *heads], lines)
    return found


# ------------------------------------------------------------------------------------------------ figures
def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Code maps with decoded sheets (picture 7), style sheets (picture 8), maps apart beside two of t-SNE."""
    makes: dict[str, Callable[[list[Row]], Figure]] = {"toy": path_figure, "maps": map_figure}
    found = {f"adversarial-aae-{kind}": make(of(rows, kind)) for kind, make in makes.items() if of(rows, kind)}
    for kind in ("style", "cluster"):
        if sheets := [row for row in of(rows, kind) if "sheet" in row]:
            found[f"adversarial-aae-{kind}"] = sheet_figure(sheets)
    if apart := of(rows, "heads"):
        found["adversarial-aae-heads"] = apart_figure([*apart, *of(rows, "tsne")])
    return found


def path_figure(rows: Sequence[Row]) -> Figure:
    """The variance of the toy's codes on its way to 1."""
    figure, axis = new_figure(5, 3)
    for row in rows:
        steps = np.linspace(0, row["steps"], len(row["path"]) + 1)[1:]
        axis.plot(steps, row["path"], linewidth=1, label=row["form"])
    axis.axhline(1, color="0.7", linewidth=0.8)
    axis.set(xlabel="steps", ylabel="variance of codes", yscale="log")
    axis.legend(frameon=False)
    return figure


def scatter(axis: Any, row: Row) -> None:
    """Codes by their classes."""
    z = np.array(row["z"])
    axis.scatter(z[:, 0], z[:, 1], c=row["y"], cmap="tab10", s=2, linewidths=0)
    axis.set(xticks=[], yticks=[], aspect="equal", title=f"{row['form']}")
    axis.title.set_fontsize(8)


def mosaic(text: str, lines: int, columns: int, shape: Sequence[int]) -> np.ndarray:
    """Images side by side."""
    height, width = shape
    images = unpacked(text, lines, columns, height, width)
    return images.transpose(0, 2, 1, 3).reshape(lines * height, columns * width)


def show(axis: Any, image: np.ndarray, title: str) -> None:
    """A sheet of images."""
    axis.imshow(image, cmap="gray_r", vmin=0, vmax=255)
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=8)


def map_figure(rows: Sequence[Row]) -> Figure:
    """Of each prior the codes of test images, and below points of the prior decoded: a line a petal, or a tenth of a roll."""
    figure, _ = new_figure(3 * len(rows), 5)
    figure.clear()
    axes = figure.subplots(2, len(rows), squeeze=False, gridspec_kw={"height_ratios": [2, 1]})
    for column, row in enumerate(rows):
        scatter(axes[0, column], row)
        show(axes[1, column], mosaic(row["sheet"], 10, 20, row["shape"]), "decoded")
    return figure


def sheet_figure(rows: Sequence[Row]) -> Figure:
    """A line a style, a column a class or cluster; where styles are of test images these stand first."""
    figure, _ = new_figure(5 * len(rows), 4)
    figure.clear()
    for axis, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        columns = 11 if row["kind"] == "style" else int(row["form"])
        title = "test image, its style in ten classes" if row["kind"] == "style" else f"{columns} clusters, ten styles"
        show(axis, mosaic(row["sheet"], 10, columns, row["shape"]), title)
    return figure


def apart_figure(rows: Sequence[Row]) -> Figure:
    """Maps of the same test images."""
    figure, _ = new_figure(3 * len(rows), 3.2)
    figure.clear()
    for axis, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        scatter(axis, row)
    return figure
