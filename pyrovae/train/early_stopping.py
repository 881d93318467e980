"""The best parameters by a monitored metric, and early stopping."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

from pyrovae.core.tensors import load_tensors, tensors_of
from pyrovae.errors import OptionError, nearest
from pyrovae.train.callbacks import Callback
from pyrovae.train.run import Run

log = logging.getLogger("pyrovae")

__all__ = ["BestParameters", "EarlyStopping"]

Monitor = str | Callable[[Run, dict[str, Any]], float]


class BestParameters(Callback):
    """Keeps the parameters of the epoch with the best value of a metric.

    Args:
        monitor: a column of ``run.history``, or a function of the run and the epoch's metrics that returns a number, which is
            logged under the function's name.
        mode: "max" or "min", which is best.

    Attributes:
        value: the best so far; -inf or inf before the first.
        epoch: when that was, or None.
        tensors: the pair's parameters and buffers then.
    """

    def __init__(self, monitor: Monitor = "valid", mode: str = "max") -> None:
        if mode not in ("max", "min"):
            raise OptionError(f"mode is {mode!r}; expected 'max' or 'min'.")
        if not (callable(monitor) or isinstance(monitor, str)):
            raise OptionError(f"monitor is {monitor!r}; expected a metric's name, or a function of the run and its metrics.")
        self.monitor, self.mode = monitor, mode
        self.reset()

    @property
    def name(self) -> str:
        """The column of ``run.history`` that it goes by."""
        if isinstance(self.monitor, str):
            return self.monitor
        name = getattr(self.monitor, "__name__", type(self.monitor).__name__)
        return name if name.isidentifier() else "monitor"

    def reset(self) -> None:
        """Forget what was best."""
        self.value, self.epoch, self.tensors = -math.inf if self.mode == "max" else math.inf, None, {}

    def on_fit_start(self, run: Run) -> None:
        """Start anew where the run does."""
        if run.step == 0:
            self.reset()
        run.best_epoch = self.epoch

    def measure(self, run: Run, metrics: dict[str, Any]) -> None:
        """Log the value of a monitor that is a function; refuse a metric that there is not."""
        if callable(self.monitor):
            if self.name in metrics:
                raise OptionError(f"monitor is a function called {self.name!r}, as a metric is already; give it another name.")
            metrics[self.name] = float(self.monitor(run, metrics))
        elif self.monitor not in metrics:
            raise nearest("metric to monitor", self.monitor, metrics)

    def on_epoch_end(self, run: Run, metrics: dict[str, Any]) -> None:
        """Keep the parameters of a better epoch, once the weights of the objective have warmed up."""
        value = metrics.get(self.name)
        if value is None or metrics["step"] < run.warm_from:  # not measured, or of another objective than the last
            return
        if value > self.value if self.mode == "max" else value < self.value:
            tensors = {name: tensor.detach().clone() for name, tensor in tensors_of(run.pair).items()}
            self.value, self.epoch, self.tensors = float(value), metrics["epoch"], tensors
            run.best_epoch = self.epoch

    def state_dict(self) -> dict[str, Any]:
        """Monitor, value, epoch and tensors."""
        return {"monitor": self.name, "value": self.value, "epoch": self.epoch, "tensors": self.tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's best, if it was so by the same metric."""
        if state["monitor"] == self.name:
            self.value, self.epoch, self.tensors = state["value"], state["epoch"], state["tensors"]


class EarlyStopping(BestParameters):
    """Ends training after so many epochs without a better value, with the best parameters in the pair.

    Args:
        monitor: a column of ``run.history``, or a function of the run and the epoch's metrics that returns a number, which is
            logged under the function's name.
        patience: epochs without a better value.
        mode: "max" or "min", which is better.

    >>> import pyrovae as pv
    >>> data = pv.data.load("digits")
    >>> stopping = EarlyStopping("train", patience=2)
    >>> run = pv.fit(pv.pairs.vae(data.spec, latent_dim=2), data, epochs=1, callbacks=[stopping], progress=False)
    >>> run.best_epoch, run.weights
    (1, 'best')
    """

    def __init__(self, monitor: Monitor = "valid", patience: int = 10, mode: str = "max") -> None:
        super().__init__(monitor, mode)
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise OptionError(f"patience is {patience!r}; expected a whole number of at least 1.")
        self.patience = patience

    def on_fit_start(self, run: Run) -> None:
        """Wish no more epochs of a run that had stopped."""
        super().on_fit_start(run)
        if run.records:
            self._stop(run, run.records[-1]["epoch"])

    def on_epoch_end(self, run: Run, metrics: dict[str, Any]) -> None:
        """Keep the parameters of a better epoch, and stop where there was none for long."""
        super().on_epoch_end(run, metrics)
        self._stop(run, metrics["epoch"])

    def _stop(self, run: Run, epoch: int) -> None:
        if self.epoch is not None and epoch - self.epoch >= self.patience:
            run.should_stop = True

    def put_back(self, run: Run) -> None:
        """Give the pair its best parameters, if there are any."""
        if self.tensors:
            load_tensors(run.pair, self.tensors, "best parameters")
            run.weights = "best"
        elif run.warm_from > run.step:
            log.warning("no epoch came after the warmup of the KL, so none is the best: the pair has its last parameters.")

    def to_json(self) -> dict[str, Any]:
        """How ``config.json`` names it."""
        monitor = self.monitor if isinstance(self.monitor, str) else {"object": self.name}
        return {"name": "EarlyStopping", "monitor": monitor, "patience": self.patience, "mode": self.mode}
