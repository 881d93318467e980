"""What the worked examples share: their options, figures that are saved (and shown in a notebook), the numbers they find."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from pyrovae.plots import BLUE, GREY, ORANGE, save
from pyrovae.plots.figures import DPI

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "Example", "mosaic", "panels", "settings"]

GREEN = "#3f8f4f"
NOTEBOOK = "ipykernel" in sys.modules
CURRENT: dict[str, Any] = {"smoke": False, "out": Path("figures"), "quiet": False}  # as in a notebook


@contextlib.contextmanager
def settings(smoke: bool, out: Path, quiet: bool) -> Iterator[None]:
    """Examples run with these; with full settings otherwise."""
    before = dict(CURRENT)
    CURRENT.update(smoke=smoke, out=out, quiet=quiet)
    try:
        yield
    finally:
        CURRENT.update(before)


class Example:
    """An example that runs as an entry of the benchmarks, and in a notebook with full settings.

    Attributes:
        smoke: whether to run in seconds on little data, as tests do.
        out: folder of the figures.
        found: the numbers, by name.
    """

    def __init__(self) -> None:
        self.smoke, self.out, self.quiet = CURRENT["smoke"], CURRENT["out"], CURRENT["quiet"]
        self.found: dict[str, Any] = {}
        self.out.mkdir(parents=True, exist_ok=True)

    def choose(self, full: Any, smoke: Any) -> Any:
        """The setting of this run."""
        return smoke if self.smoke else full

    def show(self, figure: Figure, name: str) -> None:
        """Save a figure as ``name``.png, with a palette, which takes a third of the bytes; in a notebook show it too."""
        path = save(figure, self.out / f"{name}.png", dpi=self.choose(DPI, 40))
        picture = Image.open(path).convert("RGB")
        picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
        if NOTEBOOK:
            from IPython.display import display

            display(figure)

    def tell(self, **numbers: Any) -> None:
        """Keep numbers, print them as a line of JSON each."""
        for name, number in numbers.items():
            self.found[name] = _rounded(number)
            if not self.quiet:
                print(json.dumps({name: self.found[name]}), flush=True)


def panels(width: float, height: float, columns: int = 1, rows: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of its own and its axes, row by row, without frames above and at the right."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def mosaic(axes: Axes, images: Tensor, row_names: Sequence[str] = (), column_names: Sequence[str] = ()) -> None:
    """Images in [0, 1], (rows, columns, H, W), as one picture with names at its edges."""
    rows, _, height, width = images.shape
    padded = torch.nn.functional.pad(images.detach().clamp(0, 1), (1, 1, 1, 1), value=1.0)
    axes.imshow(padded.permute(0, 2, 1, 3).reshape(rows * (height + 2), -1).numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set_yticks([(i + 0.5) * (height + 2) - 0.5 for i in range(len(row_names))], row_names)
    axes.set_xticks([(i + 0.5) * (width + 2) - 0.5 for i in range(len(column_names))], column_names)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _rounded(number: Any) -> Any:
    """Plain JSON values; floats with six digits, which is more than any of them is good for."""
    if isinstance(number, dict):
        return {str(key): _rounded(value) for key, value in number.items()}
    if isinstance(number, (list, tuple)):
        return [_rounded(value) for value in number]
    if hasattr(number, "tolist"):  # of torch and numpy
        return _rounded(number.tolist())
    return float(f"{number:.6g}") if isinstance(number, float) else number
