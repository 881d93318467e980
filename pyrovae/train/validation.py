"""What is measured at an epoch's end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pyrovae.compile import pyro_program
from pyrovae.core.inference import evaluation_mode, precision_context
from pyrovae.core.sites import ScaleOf
from pyrovae.data.seeds import set_seed
from pyrovae.errors import NonFiniteError
from pyrovae.files import random_states, set_random_states
from pyrovae.objectives import Given, Objective
from pyrovae.train.run import kept
from pyrovae.train.training import Training

__all__ = ["Validation"]

SEED_OFFSET = 1_000_003  # the same noise at each validation, apart from the training noise
FIGURE_ROWS = 500  # on which an objective measures at an epoch's end


class Validation:
    """Measures a training's bounds and figures, with noise of its own: the random states are left as they were."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def row(self, epoch: int) -> dict[str, Any]:
        """The metrics of an epoch that has just ended; epochs count from 0 here, and from 1 in the row.

        Raises:
            NonFiniteError: the validation bound is not finite.
        """
        t = self.training
        valid = self.bound()
        row = {
            "epoch": epoch + 1,
            "step": t.run.step,
            "train": float(t.stepper.total) / t.count,
            "valid": valid,
            **t.lrs(),
            **t.weights(),
            **{name: float(value) / t.count for name, value in t.stepper.sums.items()},
            **self.figures(),
            "seconds": round(t.seconds, 4),
        }
        if valid is not None and not math.isfinite(valid):
            raise NonFiniteError(f"the validation bound is {valid} after epoch {epoch + 1}.{kept(t.run)}")
        return row

    def bound(self) -> float | None:
        """The bound of the validation data, averaged over data, in nats per datum; None where there are none."""
        t = self.training
        if t.valid_data is None or not t.settings.validate:
            return None
        total, count = 0.0, 0
        with self._aside():
            for batch in t.valid_data.batches(t.settings.batch_size):
                batch = t.to_device(batch)
                if isinstance(t.objective, Objective):
                    total += float(t.objective.evaluate(t.model, t.guide, batch).double().sum())
                else:
                    with ScaleOf() as scale:
                        loss = t.objective.loss(pyro_program(t.model, "model"), pyro_program(t.guide, "guide"), **batch)
                    total -= float(loss / scale.value)
                count += len(next(iter(batch.values())))
        return total / count

    def figures(self) -> dict[str, float]:
        """What the objective itself measures, on validation data where there are any."""
        t = self.training
        if not isinstance(t.objective, Objective):
            return {}
        data = t.train_data if t.valid_data is None else t.valid_data
        with self._aside():
            batch = t.to_device(next(iter(data.batches(FIGURE_ROWS))))
            figures = t.objective.epoch_figures(Given(t.model, t.guide, [batch] * t.objective.num_batches))
        return {name: float(value) for name, value in figures.items()}

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Evaluation mode, the run's precision, no gradient, and random numbers that are the same each time."""
        t = self.training
        states = random_states()
        set_seed(SEED_OFFSET + t.settings.seed)
        precision = precision_context(t.settings.precision, t.model, t.guide)
        try:
            with torch.no_grad(), evaluation_mode(t.model, t.guide), precision:
                yield
        finally:
            set_random_states(states)
