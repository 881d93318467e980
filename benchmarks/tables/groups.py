"""Groups, sets and functions: contexts of sets, functions completed, codes told by neighbours, tables with gaps.

- ``families``: sets of 200 numbers of four families; the family of test sets by five nearest contexts.
- ``spatial``: digits of MNIST as 50 points each; log p of 50 further points of the same digits, beside the mixture of 50
  Gaussians, one at each point of the set, of the scale that leaves each point best predicted by the others.
- ``few-shot``: characters of two alphabets that training did not see (59 characters; training has the 157 of five others).
- ``gaussian-process``: log p of a value given 1 to 20 others, beside the process that the functions are drawn from.
- ``completion``: pixels of MNIST from some of them.
- ``acn``, ``vae``: the paper's cost, which is no bound, and the bound on log p(x); a linear classifier on codes.
- ``fvae``: factors of a table beside the true ones, and pictures that are missing.
"""

from __future__ import annotations

import base64
import functools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.tables import groups_codes, groups_sets
from pyrovae.data.families import FAMILIES
from pyrovae.plots import image_grid
from pyrovae.plots.figures import empty_figure, new_figure

__all__ = ["ENTRY"]

CELLS = {**groups_sets.CELLS, **groups_codes.CELLS}


def run(job: Job) -> None:
    """Each system and seed."""
    options = job.options
    for system in options.systems:
        for seed in options.seeds:
            key = {"system": system, "seed": seed, "seconds": options.seconds, "lr": options.lr}
            job.records.cell(key, functools.partial(CELLS[system], seed, options))


def rate(value: float, error: float | None = None, digits: int = 3) -> str:
    """A figure, with its standard error."""
    return f"{value:.{digits}f}" + ("" if error is None else f" +- {error:.{digits}f}")


def per_cent(value: float, error: float | None = None) -> str:
    """A share in per cent."""
    return rate(100 * value, None if error is None else 100 * error, 1)


def lines_of(row: Row) -> list[tuple[str, str, str]]:
    """What one cell found: the question, the figure, what it is held against."""
    system = row["system"]
    if system == "families":
        return [("family by the nearest contexts, %", per_cent(row["neighbours"]), "25 by chance"),
                ("-ELBO, nats a number", rate(-row["elbo an item"]), "")]  # fmt: skip
    if system == "spatial":
        gain = f"{rate(row['mixture'])} of the mixture; more by {rate(row['gain'], row['stderr'])}"
        return [("log p of a further point, nats", rate(row["log p a point"]), gain)]
    if system == "few-shot":
        found = []
        for ways, shots, own, other, error, other_error in row["rates"]:
            beside = f"{per_cent(other, other_error)} by pixels"
            found.append((f"{ways} classes of {row['classes']}, {shots} shot, %", per_cent(own, error), beside))
        return found
    if system == "gaussian-process":
        return [("log p of a value, with a latent", rate(*row["neural-process"]), f"{rate(row['process'])} of the process"),
                ("the same without a latent", rate(*row["conditional-neural-process"]),
                 f"{rate(row['process, each alone'])} of the process, each value alone")]  # fmt: skip
    if system == "completion":
        return [(f"log p of a pixel given {number}, nats", rate(own, error, 4), f"{rate(alone, None, 4)} of pixels alone")
                for number, own, error, alone in row["rates"]]  # fmt: skip
    if system == "fvae":
        least = f"{min(row['rows']):.3f} and {min(row['columns']):.3f}"
        other = f"{row['error of SVD']:.5f} of a VAE's codes and SVD (rank {row['rank']})"
        shown = f"{other}, {row['error of the mean']:.5f} of the mean"
        return [("least canonical correlation of rows, of columns, with the true factors", least, ""),
                ("squared error of a missing pixel", f"{row['error']:.5f}", shown)]  # fmt: skip
    found = [("log p(x), nats, from below", rate(row["log_p"], row["stderr"], 2), f"{rate(-row['elbo'], None, 2)} is -ELBO"),
             ("class by a linear classifier, %", per_cent(row["linear"]), "")]  # fmt: skip
    if "cost" in row:
        bound = f"{rate(row['cost'] + row['log_n'], None, 2)} with log N"
        found.insert(0, ("cost where a neighbour is told, nats, no bound", rate(row["cost"], None, 2), bound))
    return found


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A figure a line; and what each picture is of."""
    lines = []
    for row in sorted(rows, key=lambda row: (list(CELLS).index(row["system"]), row["seed"])):
        epochs = row["epochs"] if isinstance(row["epochs"], int) else ", ".join(map(str, row["epochs"]))
        head = [row["system"], row["seed"], f"{row['seconds']:g}", epochs]
        lines += [[*(head if number == 0 else [""] * 4), *line] for number, line in enumerate(lines_of(row))]
    heads = ["system", "seed", "CPU s", "epochs", "what", "figure", "beside"]
    drawn = {DRAW[row["system"]][0]: f"Of {row['system']}, drawn:" for row in rows if row["system"] in DRAW}
    return {"groups": markdown.table(heads, lines), **dict(sorted(drawn.items()))}


# ------------------------------------------------------------------------------------------------ figures
def unpacked(text: str, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Numbers that were packed."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape)
    return low + (high - low) * values / 255


def draw_families(row: Row) -> Figure:
    """Contexts of test sets, two of their dimensions at a time."""
    codes, labels = (np.array(each) for each in row["contexts"])
    figure, axes = new_figure(9, 3, columns=3)
    for ax, (i, j) in zip(axes, ((0, 1), (0, 2), (1, 2)), strict=True):
        for number, name in enumerate(FAMILIES):
            ax.scatter(*codes[labels == number][:, [i, j]].T, s=5, label=name)
        ax.set(xlabel=f"c_{i + 1}", ylabel=f"c_{j + 1}")
    axes[0].legend(fontsize=7)
    return figure


def draw_spatial(row: Row) -> Figure:
    """Given sets, draws at their posterior, draws of the model."""
    points = unpacked(row["points"], 3, -1, row["shown"], 2, low=-1.5, high=1.5)
    figure = empty_figure(figsize=(points.shape[1], 3.3), layout="constrained")
    axes = figure.subplots(3, points.shape[1])
    for place, (ax, some) in enumerate(zip(np.ravel(axes), points.reshape(-1, row["shown"], 2), strict=True)):
        ax.scatter(*some.T, s=2, color="black")
        ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[], aspect="equal")
        if place % points.shape[1] == 0:
            ax.set_ylabel(["given", "posterior", "drawn"][place // points.shape[1]], fontsize=8)
    return figure


def draw_functions(row: Row) -> Figure:
    """What each says of three functions, given some of their values: mean and two standard deviations."""
    names, grid = ("process", "neural-process", "conditional-neural-process"), np.linspace(-2, 2, 81)
    figure = empty_figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots(3, 3)
    for line, entry in enumerate(row["curves"]):
        for column, name in enumerate(names):
            ax, (mean, scale) = axes[line, column], (np.array(each) for each in entry[name])
            ax.fill_between(grid, mean - 2 * scale, mean + 2 * scale, alpha=0.3, linewidth=0)
            ax.plot(grid, mean)
            ax.scatter(*entry["given"], s=12, color="black", zorder=3)
            ax.set(ylim=(-3.5, 3.5), title=name if line == 0 else "")
    return figure


def draw_images(text: str | Sequence[str], side: int, names: Sequence[str] = ()) -> Figure:
    """Rows of images, which have these names again and again."""
    parts = [unpacked(each, -1, side, side) for each in ([text] if isinstance(text, str) else text)]
    images, wide = torch.from_numpy(np.concatenate(parts)), groups_sets.SHOWN
    titles = [names[n // wide % len(names)] if n % wide == 0 else "" for n in range(len(images))] if names else None
    return image_grid(images, wide, titles)


DRAW: dict[str, tuple[str, Any]] = {
    "families": ("groups-families", draw_families),
    "spatial": ("groups-spatial", draw_spatial),
    "gaussian-process": ("groups-functions", draw_functions),
    "completion": ("groups-completion", lambda row: draw_images(row["sheet"], row["side"], ("given", "mean", "true"))),
    "acn, mlp": ("groups-daydreams", lambda row: draw_images(row["daydreams"], row["side"])),
    "fvae": ("groups-table", lambda row: draw_images(row["pictures"], 16)),
}


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """One for each system that has pictures, of its first seed."""
    found = {}
    for row in sorted(rows, key=lambda row: row["seed"], reverse=True):
        if row["system"] in DRAW:
            name, draw = DRAW[row["system"]]
            found[name] = draw(row)
    return dict(sorted(found.items()))


SMOKE = {"seconds": 0.0, "num": 20, "codes": 200, "episodes": 2, "tiny": True}
SILENT = ("contexts", "points", "curves", "sheet", "daydreams", "pictures")

ENTRY = Entry(
    name="groups",
    shows="Sets by their contexts, functions completed, codes told by neighbours, a table with gaps.",
    budgets={"smoke": Spend("20 seconds", SMOKE), "cpu": Spend("9 cells of 2 to 8 minutes of one core", {})},
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "systems": Option("which", list(CELLS), str, tuple(CELLS)),
        "seconds": Option("of the processor for training a pair, after which the epoch at hand is the last", 150.0),
        "lr": Option("of Adam", 1e-3),
        "num": Option("test data that are scored", 1000),
        "codes": Option("training and test images whose codes are classified", 10_000),
        "episodes": Option("of few shots", 200),
        "tiny": Option("small networks and data, one epoch", False),
    },
    silent=SILENT,
)
