"""Bounds that are not finite: found at checks, and traced to the batch and the site that are to blame."""

from __future__ import annotations

import math

import torch

from pyrovae.core.admission import Admission
from pyrovae.core.contract import find_non_finite
from pyrovae.core.program import Batch
from pyrovae.core.trace import trace_pair
from pyrovae.errors import NonFiniteError, PyrovaeError
from pyrovae.files import random_states, set_random_states
from pyrovae.train.run import kept
from pyrovae.train.training import Training

__all__ = ["FiniteCheck"]


class FiniteCheck:
    """Checks that all bounds so far are finite; remembers where it last found them so, to repeat what came after."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def __call__(self, epoch: int) -> None:
        """NonFiniteError if a bound since the last check was not finite; to look waits for the device."""
        t = self.training
        if not math.isfinite(t.stepper.total):
            raise NonFiniteError(self._diagnose(epoch))
        self.checked = t.run.step, float(t.stepper.moves), random_states()

    def _diagnose(self, epoch: int) -> str:
        """Repeat the noise and the batches since the last check, up to the one that is to blame, to name the site.

        The stepper moves no parameters any more, so they stand as they were before that batch.
        """
        t = self.training
        step, moves, states = self.checked
        bad = step + round(float(t.stepper.moves) - moves)
        set_random_states(states)
        update = self._culprit()
        for batches in t.batches(epoch, step % t.epoch_steps):
            batch = batches[0]
            if step == bad:
                break
            t.run.step = step
            t.stepper(batches, t.schedule())
            step += 1
        t.run.step = bad
        self.refuse(batches, epoch)
        with torch.no_grad():
            traced = trace_pair(t.model, t.guide, batch, t.objective.num_particles)
            try:
                site = find_non_finite(traced)
            except RuntimeError as error:
                site = str(error)
        where = f"batch {bad % t.epoch_steps} of epoch {epoch + 1} (step {bad})"
        rows = f", rows {batch['index'].tolist()[:8]}..." if "index" in batch else ""
        return self._sentence(update, site, where, rows)

    def refuse(self, batches: list[Batch], epoch: int) -> None:
        """A refusal of data that the pair cannot have, with the batch that holds them; nothing where all can be."""
        t = self.training
        for batch in batches:
            try:
                Admission(t.run.pair)(batch)
            except PyrovaeError as error:
                where = f"batch {t.run.step % t.epoch_steps} of epoch {epoch + 1}"
                rows = f" (rows {batch['index'].tolist()[:8]}...)" if "index" in batch else ""
                raise type(error)(f"{where}{rows}: {error}{kept(t.run)}") from error

    def _culprit(self) -> str | None:
        """The first update, of several, whose loss or gradient was not finite."""
        t = self.training
        return next((n for n in t.optimizers if n in t.stepper.sums and not t.stepper.sums[n].isfinite()), None)

    def _sentence(self, update: str | None, site: str | None, where: str, rows: str) -> str:
        t = self.training
        if update is not None and (site is None or update != next(iter(t.optimizers))):
            return (
                f"the loss or gradient of update {update!r} is not finite in {where}; lower its lr, as in "
                f"optimizers={{{update!r}: {{'lr': ...}}}}, or clip the gradient.{kept(t.run)}"
            )
        if site is None and t.settings.clip_norm:
            return f"the gradient is not finite in {where}{rows}; lower lr.{kept(t.run)}"
        site = site or "each site's log density is finite when repeated, their combination is not."
        return f"the bound is not finite in {where}{rows}: {site} Lower lr or clip the gradient.{kept(t.run)}"
