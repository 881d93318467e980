"""Tables and figures of ``adversarial-warp``."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.lab import markdown
from benchmarks.lab.records import Row
from pyrovae.plots.figures import BLUE, ORANGE, new_figure

__all__ = ["figures", "tables"]

NAMED = ("azimuth", "scale")


def unpacked(text: str, *shape: int) -> np.ndarray:
    """The images again."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape)


def of(rows: Sequence[Row], system: str) -> list[Row]:
    """The rows of one system, in the order of its forms."""
    forms = list(dict.fromkeys(row["form"] for row in rows if row["system"] == system))
    return sorted((row for row in rows if row["system"] == system), key=lambda row: (forms.index(row["form"]), row["seed"]))


COLUMNS: dict[str, tuple[list[str], Callable[[Row], list[Any]]]] = {
    "vitae": (
        ["guide", "seed", "steps", "class from z_A", "from z_P", "R^2 of the angle from z_P", "from z_A", "log p(x), nats"],
        lambda r: [r["form"], r["seed"], r["steps"], *percents(r["accuracy z_A"], r["accuracy z_P"]),
                   *digits(r["angle z_P"], r["angle z_A"]),
                   f"{r['log_p']:.1f} +- {r['stderr']:.1f}"],
    ),
    "flow-field-vae": (
        ["data", "seed", "steps", "error of the flow, pixels", "of none", "folds", "sharpness", "of a VAE", "squared error",
         "of a VAE", "of the source"],
        lambda r: [r["form"], r["seed"], r["steps"], *digits(r.get("flow_error"), r.get("flow_error_of_none")),
                   f"{100 * r['folds']:.2f}%", *digits(r["sharpness"], r["sharpness of pixels"], r["error"],
                                                       r["error of pixels"], r["error of the source"])],
    ),
    "dc-ign": (
        ["recipe", "seed", "steps", "smallest R^2 of a code with its factor", "largest with the other",
         *(f"{code} code, {factor}" for code in NAMED for factor in ("azimuth", "scale", "object", "shape"))],
        lambda r: [r["form"], r["seed"], r["steps"], *digits(r["diagonal"], r["off"], *r["R2"][0], *r["R2"][1])],
    ),
    "nam": (
        ["mapping", "seed", "steps", "best ELBO, nats", "class kept", "by search", "of each restart: ELBO, kept"],
        lambda r: [r["form"], r["seed"], r["steps"], f"{r['bound']:.1f}", *percents(r["kept"], r["searched"]),
                   "; ".join(f"{bound:.1f}, {100 * kept:.0f}%" for bound, kept in r["restarts of"])],
    ),
    "attack": (
        ["recipe", "seed", "steps", "area, latent attacks", "area, output attacks"],
        lambda r: [r["form"], r["seed"], r["steps"],
                   *(f"{r[k]['area']:.3f} +- {r[k]['area_stderr']:.3f}" for k in ("latent", "output"))],
    ),
}  # fmt: skip


def percents(*values: float) -> list[str]:
    """Shares as percent."""
    return [f"{100 * value:.1f}%" for value in values]


def digits(*values: float | None) -> list[str]:
    """Three digits; nothing where nothing was measured."""
    return ["" if value is None else f"{value:.3f}" for value in values]


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A table for each system."""
    found = {}
    for system, (heads, line) in COLUMNS.items():
        if chosen := of(rows, system):
            found[f"adversarial-warp {system}"] = markdown.table(heads, [line(row) for row in chosen])
    return found


# ------------------------------------------------------------------------------------------------ figures
def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Arrows from neutral to smile, digits before and after their map, attacked digits, and curves of distortion."""
    found = {}
    if flows := of(rows, "flow-field-vae"):
        found["adversarial-warp-flow-field-vae"] = smile_figure(flows)
    if seen := of(rows, "vitae"):
        found["adversarial-warp-vitae"] = sheets(seen, 3, 10, ["x", "canvas", "T canvas"])
    if led := of(rows, "attack"):
        found["adversarial-warp-attack"] = sheets(led, 4, 4, ["x", "x + eta", "E[x | z]", "target"], across=True)
        found["adversarial-warp-attack-curves"] = curve_figure(led)
    if mapped := of(rows, "nam"):
        found["adversarial-warp-nam"] = mapped_figure(mapped)
    return found


def smile_figure(rows: Sequence[Row]) -> Figure:
    """A neutral face, its flow to a smile as arrows from where to where, half of the way, and all of it."""
    figure, axes = new_figure(8, 2.2 * len(rows), 4 * len(rows))
    figure.clear()
    axes = figure.subplots(len(rows), 4, squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        height, width = row["shape"]
        images = unpacked(row["pictures"], 4, height, width)
        down, right = (np.array(each).reshape(height, width) for each in row["arrows"])
        shown = [images[0], images[0], images[2], images[3]]
        for one, image, title in zip(line, shown, [row["form"], "to a smile", "half of the way", "smile"], strict=True):
            one.imshow(image, cmap="gray", vmin=0, vmax=255)
            one.set(xticks=[], yticks=[])
            one.set_title(title, fontsize=8)
        i, j = np.mgrid[0:height:2, 0:width:2]
        # what is read at u + f moves from there to u
        line[1].quiver(
            j + right[i, j], i + down[i, j], -right[i, j], -down[i, j], color=ORANGE, angles="xy", scale_units="xy", scale=1,
            width=0.006,
        )  # fmt: skip
    return figure


def sheets(rows: Sequence[Row], kinds: int, count: int, names: list[str], across: bool = False) -> Figure:
    """Of each row of records the images of each kind: a line a kind, or with ``across`` a column."""
    figure, axes = new_figure(2.4 * len(rows) if across else 6, 2.4 if across else 2.2 * len(rows), 1)
    figure.clear()
    axes = figure.subplots(1, len(rows), squeeze=False)[0] if across else figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for one, row in zip(axes, rows, strict=True):
        height, width = row["shape"]
        images = unpacked(row["pictures"], kinds, count, height, width)
        order = (1, 2, 0, 3) if across else (0, 2, 1, 3)
        sides = (count * height, kinds * width) if across else (kinds * height, count * width)
        one.imshow(images.transpose(order).reshape(sides), cmap="gray", vmin=0, vmax=255)
        middle = (np.arange(kinds) + 0.5) * (width if across else height)
        one.set(xticks=middle if across else [], yticks=[] if across else middle)
        (one.set_xticklabels if across else one.set_yticklabels)(names, fontsize=6)
        one.set_title(row["form"], fontsize=8)
    return figure


def curve_figure(rows: Sequence[Row]) -> Figure:
    """Distance of the reconstruction from the target's over the size of the change."""
    figure, axes = new_figure(7, 3.2, 2)
    for one, kind in zip(axes, ("latent", "output"), strict=True):
        one.plot([0, 1], [1, 0], color="0.7", linewidth=0.8)
        for marker, row in zip("os^Dv", rows, strict=False):
            curve = row[kind]
            order = np.argsort(curve["size"])
            places = [np.array(curve[name])[order] for name in ("size", "distance")]
            one.plot(*places, marker=marker, markersize=3, linewidth=1, label=f"{row['form']}, {curve['area']:.2f}")
        one.set(title=f"{kind} attacks", xlabel="size of the change", ylabel="distance to the target's reconstruction")
        one.legend(frameon=False, fontsize=7)
    return figure


def mapped_figure(rows: Sequence[Row]) -> Figure:
    """Images of the first domain above what they are mapped to."""
    figure, _ = new_figure(6, 1.6 * len(rows))
    figure.clear()
    axes = figure.subplots(2 * len(rows), 10, squeeze=False)
    for number, row in enumerate(rows):
        for line, key, shape in zip((0, 1), ("sources", "pictures"), row["shapes"], strict=True):
            for one, image in zip(axes[2 * number + line], unpacked(row[key], 10, *shape), strict=True):
                one.imshow(image, cmap="gray", vmin=0, vmax=255)
                one.set(xticks=[], yticks=[])
        axes[2 * number][0].set_title(row["form"], fontsize=8, loc="left", color=BLUE)
    return figure
