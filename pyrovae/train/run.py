"""A run: a pair, the data it was trained on, how, and what came of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas

from pyrovae.core.pair import Pair
from pyrovae.core.program import Program
from pyrovae.data import Data

__all__ = ["CHECKPOINT", "CONFIG", "LEFTOVERS", "METRICS", "Run", "kept"]

CHECKPOINT, CONFIG, METRICS = "checkpoint.safetensors", "config.json", "metrics.csv"
LEFTOVERS = (CONFIG, METRICS, "tensorboard")  # of a run that died before its first checkpoint


@dataclass
class Run:
    """What :func:`~pyrovae.train.fitting.fit` returns and :func:`~pyrovae.runs.folders.load` reads back.

    Attributes:
        pair: the pair; its parameters are the trained ones.
        data: the data.
        config: JSON of how the run was made: pair, data, fit, versions.
        records: the rows of :attr:`history`, as they were measured; None is what was not.
        path: the run folder; None for a run that was not written.
        weights: which parameters the pair now has, "last" or "best" (by the monitored metric).
        stopped: why training ended: "finished"; "early", by a callback; "interrupted", by Ctrl-C; "terminated", by SIGTERM.
        best_epoch: epoch of the best value of the monitored metric, the validation bound unless early stopping names another;
            None without.
        step: how many steps have been made.
        total_steps: how many are to be made; None of a run that is not being trained.
        warm_from: the step from which the weight of the KL stands at its value; epochs before it are never the best.
        should_stop: set by a callback, ends training after the epoch at hand.
    """

    pair: Pair
    data: Data
    config: dict[str, Any]
    records: list[dict[str, Any]] = field(default_factory=list)
    path: Path | None = None
    weights: str = "last"
    stopped: str = "finished"
    best_epoch: int | None = None
    step: int = 0
    total_steps: int | None = None
    should_stop: bool = False
    warm_from: int = 0

    @property
    def history(self) -> pandas.DataFrame:
        """A new data frame with one row an epoch.

        Columns: epoch and step (so many were made by its end), train and valid (bounds in nats per datum), lr, the weights of
        the objective and what it and callbacks measure, seconds. What was not measured is NaN: ``valid`` without validation.
        """
        frame = pandas.DataFrame(self.records)
        for name, column in frame.items():
            if column.dtype.kind == "O" and all(each is None or isinstance(each, (bool, int, float)) for each in column):
                frame[name] = column.astype("float64")
        return frame

    @property
    def unfinished(self) -> bool:
        """Whether a signal ended training; ``resume`` goes on."""
        return self.stopped in ("interrupted", "terminated")

    def parameters_in_pyro(self) -> AbstractContextManager[None]:
        """Within it Pyro's parameter store is that of the run's pair (:meth:`Pair.parameters_in_pyro`)."""
        return self.pair.parameters_in_pyro()

    @property
    def model(self) -> Program:
        """The generative model."""
        return self.pair.model

    @property
    def guide(self) -> Program:
        """The guide."""
        return self.pair.guide

    @property
    def quantity(self) -> str:
        """What ``train`` and ``valid`` of the history are, and their unit: of an energy they are no bound."""
        names = {"none": "objective (no bound on log p(x))", "estimate": "estimate of log p(x)"}
        return f"{names.get(self.config.get('bound', 'lower'), 'bound')} in nats per datum"

    def __repr__(self) -> str:
        last = self.records[-1] if self.records else {}
        bounds = ", ".join(f"{part} {last[part]:.3f}" for part in ("train", "valid") if last.get(part) is not None)
        where = f" in {self.path}" if self.path else ""
        return f"Run({last.get('epoch', 0)} epochs, {self.stopped}; {self.quantity}: {bounds or 'none'}){where}"


def kept(run: Run) -> str:
    """What an error adds about the checkpoint that stands."""
    return f" The last good checkpoint is kept in {run.path}." if run.path else ""
