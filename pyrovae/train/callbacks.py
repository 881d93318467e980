"""Callbacks: what is done at fixed points of training, by the user's own code and by the built-in loggers alike."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from pyrovae.errors import OptionError, RunError, nearest
from pyrovae.files import random_states, set_random_states
from pyrovae.train.processes import Processes
from pyrovae.train.run import Run

__all__ = ["Callback", "CallbackError", "Callbacks", "Logger"]

log = logging.getLogger("pyrovae")


class Callback:
    """What ``fit(callbacks=[...])`` calls while it trains; override the hooks you need.

    Epochs and steps are counted from 1, as in ``run.history``. ``run.step`` is the number of steps made, ``run.total_steps``
    that of all to be made; ``run.should_stop = True`` ends training after the epoch at hand, and ``run.stopped`` is then
    "early". Random numbers that a hook draws leave those of training as they were, but for :meth:`on_step_end`.

    An error that a hook raises ends training after a checkpoint and reaches the caller of ``fit`` as it is; the log names the
    callback and the hook. Of several processes each calls its callbacks; process 0's metrics and wish to stop count.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in vars(cls):
            if name.startswith("on_") and not hasattr(Callback, name):
                raise nearest(f"hook of callback {cls.__qualname__}", name, [n for n in vars(Callback) if n.startswith("on_")])

    def on_fit_start(self, run: Run) -> None:
        """Training begins, or goes on from a checkpoint whose state has been loaded."""

    def on_epoch_start(self, run: Run, epoch: int) -> None:
        """An epoch begins at its first step."""

    def on_step_end(self, run: Run, step: int, bound: torch.Tensor) -> None:
        """A step has been made; ``bound`` is the mean over its batch, in nats per datum, a 0-d tensor: to read it waits for
        the device."""

    def on_epoch_end(self, run: Run, metrics: dict[str, Any]) -> None:
        """An epoch has ended and been validated; what is added to ``metrics`` (numbers, text, None), its row of
        ``run.history``, is logged."""

    def on_fit_end(self, run: Run) -> None:
        """Training has ended, for the reason in ``run.stopped``, and its last checkpoint is written."""

    def on_exception(self, run: Run, error: BaseException) -> None:
        """Training ends by an error, which goes on to the caller afterwards."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback: nested dicts, lists and tuples of numbers, text and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of a checkpoint, before :meth:`on_fit_start`; that of process 0 in every process."""

    def to_json(self) -> dict[str, Any]:
        """How ``config.json`` names it; one that is named as an object must be given to ``resume`` again."""
        return {"object": type(self).__qualname__}


class Logger(Callback):
    """A callback that comes after all others, in process 0 alone, and sees the row of metrics with all that they added."""


class CallbackError(Exception):
    """Carries an error of a callback out of the loop, which unwraps it.

    Attributes:
        error: what the callback raised.
        consistent: whether all processes know of it, so that a checkpoint can be written.
    """

    def __init__(self, error: BaseException, consistent: bool) -> None:
        super().__init__(str(error))
        self.error, self.consistent = error, consistent


class Callbacks:
    """Calls the hooks: the user's callbacks in their order, then the built-in ``last`` ones, then loggers."""

    def __init__(
        self, given: Sequence[Callback], last: Sequence[Callback], loggers: Iterable[Logger], processes: Processes | None
    ) -> None:
        self.processes = processes
        self.given = [callback for callback in given if not isinstance(callback, Logger) and callback not in last]
        self.last = list(last)
        own = [callback for callback in given if isinstance(callback, Logger)]
        replaced = [logger for logger in loggers if not any(isinstance(each, type(logger)) for each in own)]
        self.loggers = [*own, *replaced] if processes is None or processes.rank == 0 else []
        self._on_step = [each for each in self.all if type(each).on_step_end is not Callback.on_step_end]

    @property
    def all(self) -> list[Callback]:
        """All of them in the order in which they are called."""
        return [*self.given, *self.last, *self.loggers]

    def fit_start(self, run: Run) -> None:
        """Call ``on_fit_start``."""
        raise_first([self._call(self.all, "on_fit_start", run)])

    def epoch_start(self, run: Run, epoch: int) -> None:
        """Call ``on_epoch_start``."""
        raise_first([self._call(self.all, "on_epoch_start", run, epoch)])

    def step_end(self, run: Run, bound: torch.Tensor) -> None:
        """Call ``on_step_end`` of those that have one."""
        failed = None
        for callback in self._on_step:
            try:
                callback.on_step_end(run, run.step, bound)
            except Exception as error:
                say(callback, "on_step_end", error)
                failed = failed or error
        if failed is not None:
            raise CallbackError(failed, self.processes is None) from failed

    def epoch_end(self, run: Run, metrics: dict[str, Any]) -> None:
        """Call ``on_epoch_end``; all processes go on with the row, and the wish to stop, of process 0."""
        fixed = {name: metrics[name] for name in ("epoch", "step")}
        errors = [self._call(self.given, "on_epoch_end", run, metrics), self._call(self.last, "measure", run, metrics)]
        metrics |= fixed
        if self.processes is not None:
            row, run.should_stop = self.processes.same((dict(metrics), run.should_stop))
            metrics.clear()
            metrics |= row
        errors += [self._call(callbacks, "on_epoch_end", run, metrics) for callbacks in (self.last, self.loggers)]
        raise_first(errors)  # now that the best parameters and the loggers have the epoch

    def fit_end(self, run: Run) -> None:
        """Call ``on_fit_end``."""
        raise_first([self._call(self.all, "on_fit_end", run)])

    def exception(self, run: Run, error: BaseException) -> None:
        """Call ``on_exception`` of all, whatever single ones raise, which is logged."""
        for callback in self.all:
            try:
                callback.on_exception(run, error)
            except Exception as further:
                say(callback, "on_exception", further)

    def states(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and state of each callback that has any, for a checkpoint."""
        named = [(type(callback).__qualname__, callback.state_dict()) for callback in self.given]
        return [(name, state) for name, state in named if state]

    def load_states(self, saved: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Give each callback the state of the checkpoint's next one of its name."""
        left = list(saved)
        for callback in self.given:
            found = next((item for item in left if item[0] == type(callback).__qualname__), None)
            if found is not None:
                left.remove(found)
                callback.load_state_dict(found[1])

    def _call(self, callbacks: Sequence[Callback], hook: str, run: Run, *args: Any) -> CallbackError | None:
        """Call a hook of each, with the random numbers of training put back; the first error."""
        called = [each for each in callbacks if getattr(type(each), hook, None) is not getattr(Callback, hook, None)]
        failed = None
        states = random_states() if called else None
        for callback in called:
            try:
                getattr(callback, hook)(run, *args)
                if hook in ("on_epoch_end", "measure"):
                    make_plain(callback, *args)
            except Exception as error:
                say(callback, hook, error)
                failed = failed or error
        if states is not None:
            set_random_states(states)
        if self.processes is not None and callbacks is not self.loggers:
            failed = self._agree(failed)
        return None if failed is None else CallbackError(failed, callbacks is not self.loggers or self.processes is None)

    def _agree(self, failed: Exception | None) -> Exception | None:
        """This process's error, or one that names the process that has one."""
        assert self.processes is not None
        messages = self.processes.gather(None if failed is None else f"{type(failed).__name__}: {failed}")
        other = next((rank for rank, message in enumerate(messages) if message is not None), None)
        if failed is None and other is not None:
            return RunError(f"a callback of process {other} raised {messages[other]}")
        return failed


def raise_first(errors: Iterable[CallbackError | None]) -> None:
    """Raise the first error there is."""
    for error in errors:
        if error is not None:
            raise error from error.error


def say(callback: Callback, hook: str, error: Exception) -> None:
    """Name in the log who raised an error."""
    log.error("callback %s raised in %s: %s: %s", type(callback).__qualname__, hook, type(error).__name__, error)


def make_plain(callback: Callback, metrics: dict[str, Any]) -> None:
    """Turn what a callback left in its metrics into numbers, text and None; what is none of these is taken out and refused."""
    for name, value in list(metrics.items()):
        if value is None or type(value) in (bool, int, float, str):
            continue
        if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
            value = value.item()
        if not isinstance(name, str) or not isinstance(value, (bool, int, float, str)):
            del metrics[name]
            raise OptionError(
                f"callback {type(callback).__qualname__} sets metric {name!r} to {value!r}; expected a name, and a number, "
                "text or None."
            )
        metrics[name] = value
