"""The built-in loggers: metrics.csv, TensorBoard, the progress bar."""

from __future__ import annotations

import csv
import io
import math
import time
from typing import Any

import torch
from tqdm import tqdm

from pyrovae.files import write_whole
from pyrovae.train.callbacks import Logger
from pyrovae.train.run import METRICS, Run
from pyrovae.train.settings import FitSettings

__all__ = ["CSVLog", "ProgressBar", "TensorBoard", "loggers_of"]


class CSVLog(Logger):
    """Writes ``run.history`` to metrics.csv in the run's folder after each epoch; what was not measured is empty."""

    def on_epoch_end(self, run: Run, metrics: dict[str, Any]) -> None:
        """Write the whole file anew, or leave the one that stands."""
        if run.path is None:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list({name: None for row in run.records for name in row}))
        writer.writeheader()
        writer.writerows(run.records)
        write_whole(run.path / METRICS, text.getvalue().encode())


class TensorBoard(Logger):
    """Writes the numbers of ``run.history`` as events into the run folder's ``tensorboard/``, where TensorBoard is installed.

    The bounds are ``bound/train`` and ``bound/valid``, everything else has its own name; the horizontal axis is the step.
    """

    def __init__(self) -> None:
        self._writer: Any = None

    def on_epoch_end(self, run: Run, metrics: dict[str, Any]) -> None:
        """Add an event for each metric."""
        writer = self._opened(run)
        if writer is None:
            return
        for name in metrics.keys() - {"epoch", "step", "seconds"}:
            value = metrics[name]
            if value is not None and not isinstance(value, str):
                writer.add_scalar(f"bound/{name}" if name in ("train", "valid") else name, value, metrics["step"])
        writer.flush()

    def on_fit_end(self, run: Run) -> None:
        """Close the file, and end the thread that writes it."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def on_exception(self, run: Run, error: BaseException) -> None:
        """Close the file, and end the thread that writes it."""
        self.on_fit_end(run)

    def _opened(self, run: Run) -> Any:
        """The writer, made at the first event so that events of a run that goes on are replaced from there on."""
        if self._writer is None and run.path is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return None
            self._writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=run.step)
        return self._writer


class ProgressBar(Logger):
    """A bar of all steps with the last bounds and the best epoch; where stderr is no terminal, a line every ten seconds."""

    every = 10.0  # seconds between two lines

    def on_fit_start(self, run: Run) -> None:
        """Show it where the run stands."""
        self.bar = tqdm(total=run.total_steps, initial=run.step, unit="step", disable=None, dynamic_ncols=True)
        self._said, self._line = -math.inf, ""

    def on_step_end(self, run: Run, step: int, bound: torch.Tensor) -> None:
        """Move it on."""
        self.bar.update()

    def on_epoch_end(self, run: Run, metrics: dict[str, Any]) -> None:
        """Show the bounds."""
        shown = {part: f"{metrics[part]:.2f}" for part in ("train", "valid") if metrics.get(part) is not None}
        valid = {row["epoch"]: row["valid"] for row in run.records if row.get("valid") is not None}
        best = {"best epoch": max(valid, key=valid.__getitem__)} if valid else {}
        self.bar.set_postfix(shown | best | {"epoch": metrics["epoch"]}, refresh=False)
        if self.bar.disable:
            self._line = self._text(run, metrics, shown, best)
            if time.monotonic() - self._said >= self.every:
                self._say()

    def on_fit_end(self, run: Run) -> None:
        """Take it down."""
        self._say()
        self.bar.close()

    def on_exception(self, run: Run, error: BaseException) -> None:
        """Take it down."""
        if hasattr(self, "bar"):
            self._say()
            self.bar.close()

    def _text(self, run: Run, metrics: dict[str, Any], shown: dict[str, str], best: dict[str, int]) -> str:
        """An epoch in a line: its bounds, which epoch was best, what an epoch takes, what is left."""
        bounds = ", ".join(f"{part} {value}" for part, value in shown.items())
        unit = "nats per datum" if run.config.get("bound") != "none" else "nats per datum (no bound on log p(x))"
        left = (run.total_steps - run.step) / max(1, run.step) * sum(row["seconds"] for row in run.records)
        which = f" (best: epoch {best['best epoch']})" if best else ""
        return f"epoch {metrics['epoch']}: {bounds} {unit}{which}, {metrics['seconds']:.1f} s an epoch, {left:.0f} s left"

    def _say(self) -> None:
        """Print the line that was not."""
        if self._line:
            tqdm.write(self._line)
        self._said, self._line = time.monotonic(), ""


def loggers_of(settings: FitSettings, run: Run, progress: bool) -> list[Logger]:
    """The loggers that the settings ask for."""
    written = run.path is not None
    return [
        *([CSVLog()] if written else []),
        *([TensorBoard()] if written and settings.tensorboard else []),
        *([ProgressBar()] if progress else []),
    ]
