"""The loop: steps and epochs, to the end of the settings, to early stopping, or to a signal."""

from __future__ import annotations

import logging
import math
import time
from contextlib import ExitStack

import pyro

from pyrovae.core.parameters import parameter_scope
from pyrovae.files import random_states, set_random_states
from pyrovae.train.callbacks import CallbackError, Callbacks
from pyrovae.train.checkpoints import Checkpoints
from pyrovae.train.diagnosis import FiniteCheck
from pyrovae.train.early_stopping import BestParameters, EarlyStopping
from pyrovae.train.loggers import loggers_of
from pyrovae.train.run import Run
from pyrovae.train.signals import Signals
from pyrovae.train.training import Training
from pyrovae.train.validation import Validation

__all__ = ["Loop"]

log = logging.getLogger("pyrovae")

CHECK_STEPS = 100  # between two looks at whether all is finite, each of which waits for the device


class Loop:
    """Trains a run's pair from where it stands; the caller's random states are left as they were."""

    def __init__(self, training: Training, progress: bool = True) -> None:
        run, settings, processes = training.run, training.settings, training.processes
        self.training, self.run = training, run
        self.best = settings.early_stopping or BestParameters()
        self.callbacks = Callbacks(settings.callbacks, [self.best], loggers_of(settings, run, progress), processes)
        self.checkpoints = Checkpoints(training, self.best, self.callbacks)
        self.check_finite, self.validation, self.signals = FiniteCheck(training), Validation(training), Signals()
        self._done = False  # whether the last checkpoint is written, and the pair may have its best parameters
        training.wishes = lambda: (self.signals.received, self.checkpoints.due())

    def train(self) -> Run:
        """The run, trained; the checkpoint at its end holds the last parameters, the pair perhaps the best ones."""
        run, training, failed = self.run, self.training, None
        caller = random_states()
        with ExitStack() as stack:
            stack.callback(set_random_states, caller)
            self._seed()
            stack.enter_context(parameter_scope(training.model, training.guide))
            stack.enter_context(pyro.validation_enabled(False))
            stack.enter_context(self.signals.caught())
            try:
                self._fit()
                return run
            except CallbackError as error:
                failed = error.error
                self.callbacks.exception(run, failed)
                if error.consistent and not self._done and math.isfinite(training.stepper.total):
                    self.checkpoints.save()
            except BaseException as error:
                self.callbacks.exception(run, error)
                raise
        raise failed

    def _seed(self) -> None:
        seed, processes = self.training.settings.seed, self.training.processes
        if self.checkpoints.random is not None:
            set_random_states(self.checkpoints.random)
        elif processes is not None:
            processes.seed(seed + self.run.step)
        else:
            pyro.set_rng_seed(seed)

    def _fit(self) -> None:
        run = self.run
        run.should_stop, run.stopped = False, "finished"
        self.callbacks.fit_start(run)
        if run.step == 0:
            self.checkpoints.save()
        self._epochs()
        self.checkpoints.save()
        self._done = True
        if isinstance(self.best, EarlyStopping):
            self.best.put_back(run)
        self._say_unfinished()
        self.callbacks.fit_end(run)

    def _epochs(self) -> None:
        run, training = self.run, self.training
        while run.step < training.total_steps and not run.should_stop:
            epoch, start = divmod(run.step, training.epoch_steps)
            if start == 0:
                self.callbacks.epoch_start(run, epoch + 1)
            self._steps(epoch, start)
            if run.step % training.epoch_steps == 0 or run.step >= training.total_steps:
                self._end_epoch(epoch)
            stop, save = self._agreed()
            if stop is not None and run.step < training.total_steps:
                run.stopped = stop
                return
            if save:
                self.checkpoints.save()
        if run.should_stop:
            run.stopped = "early"

    def _steps(self, epoch: int, start: int) -> None:
        """The steps of an epoch from one on, until its end, that of the run, or a signal."""
        run, training, began = self.run, self.training, time.perf_counter()
        for batches in training.batches(epoch, start):
            if (run.step % training.epoch_steps - start) % CHECK_STEPS == 0:
                self.check_finite(epoch)
            try:
                bound = training.stepper(batches, training.schedule())
            except (IndexError, RuntimeError, ValueError):  # of data that no table or network takes
                self.check_finite.refuse(batches, epoch)
                raise
            training.add_rows(batches)
            if training.stepper.backend == "eager" and not math.isfinite(training.stepper.total):
                self.check_finite(epoch)
            training.step_schedulers()
            self.callbacks.step_end(run, bound)
            stop, save = self._agreed()
            if stop is not None or run.step >= training.total_steps:
                break
            if save and run.step % training.epoch_steps:
                self.check_finite(epoch)
                training.seconds += time.perf_counter() - began
                self.checkpoints.save()
                began = time.perf_counter()
        training.seconds += time.perf_counter() - began

    def _end_epoch(self, epoch: int) -> None:
        """Measure, move the schedulers, and tell the callbacks; the row stands in the history while they add to it."""
        self.check_finite(epoch)
        row = self.validation.row(epoch)
        self.training.end_epoch(row)
        self.run.records.append(row)
        self.callbacks.epoch_end(self.run, row)

    def _agreed(self) -> tuple[str | None, bool]:
        """By which signal to stop, if any, and whether to save; of several processes what all agreed upon at the last step."""
        return self.training.wishes() if self.training.processes is None else self.training.processes.agreed

    def _say_unfinished(self) -> None:
        run, processes = self.run, self.training.processes
        if run.unfinished and (processes is None or processes.rank == 0):
            how = {"interrupted": "interrupted by Ctrl-C", "terminated": "ended by SIGTERM"}[run.stopped]
            again = f"; pyrovae.resume({str(run.path)!r}) goes on" if run.path else ""
            log.warning("training did not finish: %s at step %d of %d%s", how, run.step, run.total_steps, again)
