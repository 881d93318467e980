"""A training: the pair, data, objective, optimizers and step of a run, made from its settings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pyro
import pyro.infer
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from pyrovae.compile import CompiledStep, PyroStep
from pyrovae.compile.graph import preserve_tensors
from pyrovae.compile.optimizers import build_optimizers, build_scheduler
from pyrovae.core.admission import to_pair
from pyrovae.core.parameters import buffers, parameter_scope, parameters
from pyrovae.core.program import Batch
from pyrovae.data import Stream
from pyrovae.data.seeds import mix
from pyrovae.errors import DataError, OptionError
from pyrovae.objectives import Given, Objective
from pyrovae.objectives.moves import Survey, moved_parameters, survey
from pyrovae.train.processes import Processes, join
from pyrovae.train.run import Run
from pyrovae.train.schedule import build_schedules, warm_from
from pyrovae.train.settings import FitSettings

__all__ = ["Training"]


class Training:
    """All that moves while a run's pair is trained, and where it stands; the parts of the loop read and move it.

    Attributes:
        train_data, valid_data: on the run's device.
        epoch_steps: steps in an epoch.
        schedules: of the objective's options.
        optimizers, schedulers: of each update.
        stepper: makes the steps, and sums their bounds and figures.
        count: rows of this epoch's data so far, whose bounds the stepper sums.
        seconds: that this epoch has taken so far.
        wishes: by which signal to stop, if any, and whether to save; the loop sets it.
    """

    def __init__(
        self, run: Run, objective: pyro.infer.ELBO, settings: FitSettings, processes: Processes | None = None
    ) -> None:
        self.run, self.objective, self.settings, self.processes = run, objective, settings, processes
        self.model, self.guide = run.pair.model, run.pair.guide
        self.device = torch.device(settings.device)
        self.train_data = run.data.train.to(self.device)
        self.valid_data = None if run.data.valid is None else run.data.valid.to(self.device)
        self.epoch_steps = self.train_data.num_batches(settings.batch_size)
        self.total_steps = run.total_steps = settings.steps or settings.epochs * self.epoch_steps
        self.schedules = build_schedules(settings.schedule, settings.kl_warmup, objective, self.epoch_steps)
        warm = warm_from(self.schedules, self.epoch_steps, self.total_steps)
        run.warm_from = max(warm, math.ceil(settings.kl_warmup * self.epoch_steps))
        moved = self._moved()
        self.optimizers = build_optimizers(
            objective, moved, settings.optimizer, settings.lr, settings.optimizer_options, settings.optimizers
        )
        self.schedulers = self._build_schedulers()
        found = self._survey(moved) if isinstance(objective, Objective) else None
        kind = CompiledStep if isinstance(objective, Objective) else PyroStep
        self.stepper = kind(
            objective,
            self.model,
            self.guide,
            self.optimizers,
            clip_norm=settings.clip_norm,
            precision=settings.precision,
            schedule=list(self.schedules),
            figures=() if found is None else found.figures,
            data_size=self._data_size(),
        )
        self.wishes = lambda: (None, False)
        if processes is not None:
            join(processes, run.pair, objective, found)
            self.stepper.exchange = lambda grads, bound, means: processes.exchange(grads, bound, means, self.wishes())
        self.count, self.seconds = 0, 0.0

    # ------------------------------------------------------------------------------------------------ making it
    def _moved(self) -> dict[str, list[Tensor]]:
        """The parameters that each update moves."""
        if not isinstance(self.objective, Objective):
            return {"pair": [p for p in parameters(self.model, self.guide).values() if p.requires_grad]}
        self.objective.observe_data(self.train_data, 1 if self.processes is None else self.processes.size)
        return moved_parameters(self.objective, self.model, self.guide)

    def _build_schedulers(self) -> dict[str, Any]:
        settings = self.settings
        if len(self.optimizers) > 1 and isinstance(settings.scheduler, LRScheduler):
            raise OptionError(
                f"scheduler is one object, and {self.objective!r} has an optimizer for each of {', '.join(self.optimizers)}; "
                "give its name."
            )
        if settings.scheduler is None:
            return {}
        made = settings.scheduler_options or {}
        return {name: build_scheduler(settings.scheduler, optimizer, made) for name, optimizer in self.optimizers.items()}

    def _data_size(self) -> int | None:
        """N; None of a stream that does not know it."""
        try:
            return len(self.train_data)
        except DataError:
            return None

    def _survey(self, moved: Mapping[str, list[Tensor]]) -> Survey:
        """What the objective's updates are, found out on a few rows; refuses what it cannot have of these data."""
        if self.objective.num_batches > 1 and isinstance(self.train_data, Stream):
            raise OptionError(
                f"{self.objective!r} takes {self.objective.num_batches} independent batches a step, which a DataLoader does "
                "not give; pass its Dataset."
            )
        batch = self.to_device(next(iter(self.train_data.batches(min(64, self.settings.batch_size)))))
        values = {name: torch.tensor(schedule(0), device=self.device) for name, schedule in self.schedules.items()}
        batches = [batch] * self.objective.num_batches
        given = Given(self.model, self.guide, batches, values, moved, self._data_size())
        held = [torch.zeros((), device=self.device), *buffers(self.model, self.guide).values()]
        with parameter_scope(self.model, self.guide), pyro.validation_enabled(False), preserve_tensors(held):
            return survey(self.objective, given)

    # ------------------------------------------------------------------------------------------------ the data
    def to_device(self, batch: Batch) -> Batch:
        """The batch on this run's device, in the pair's precision."""
        return to_pair(self.run.pair, batch, self.device)

    def batches(self, epoch: int, start: int) -> Iterator[list[Batch]]:
        """The batches of each step of an epoch from one on: the first in the epoch's order, further ones in their own.

        Of several processes each has its share of them.
        """
        seed, size = self.settings.seed, self.settings.batch_size
        seeds = [seed, *(mix(seed, number) for number in range(1, getattr(self.objective, "num_batches", 1)))]
        orders = [self.train_data.epoch(size, seed=each, epoch=epoch, start=start) for each in seeds]
        share = self.to_device if self.processes is None else lambda batch: self.processes.share(self.to_device(batch))
        return ([share(batch) for batch in batches] for batches in zip(*orders, strict=True))

    # ------------------------------------------------------------------------------------------------ its state
    def schedule(self) -> dict[str, float]:
        """The scheduled options' values at this step."""
        return {name: schedule(self.run.step) for name, schedule in self.schedules.items()}

    def weights(self) -> dict[str, float]:
        """The values at this step of all options of the objective that weigh something, scheduled or not."""
        return {**getattr(self.objective, "weights", {}), **self.schedule()}

    def lrs(self) -> dict[str, float]:
        """The learning rate; of several updates the others' too, each under its name."""
        first, *others = self.optimizers.items()
        return {"lr": first[1].param_groups[0]["lr"], **{f"lr_{name}": o.param_groups[0]["lr"] for name, o in others}}

    def add_rows(self, batches: list[Batch]) -> None:
        """Count a step and its rows, all processes' together."""
        self.count += len(next(iter(batches[0].values()))) if self.processes is None else self.processes.rows
        self.run.step += 1

    def step_schedulers(self) -> None:
        """Move the learning rates after a step, where the settings say so."""
        if self.settings.scheduler_interval == "step":
            for scheduler in self.schedulers.values():
                scheduler.step()

    def end_epoch(self, row: Mapping[str, Any]) -> None:
        """Start new sums, and move the learning rates by the epoch's bounds."""
        self.stepper.reset()
        self.count, self.seconds = 0, 0.0
        if self.run.step % self.epoch_steps:
            return  # `steps` ended the run within an epoch: schedulers of epochs wait for its end
        for scheduler in self.schedulers.values():
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(-(row["train"] if row["valid"] is None else row["valid"]))
            elif self.settings.scheduler_interval == "epoch":
                scheduler.step()

    def networks(self) -> dict[str, Tensor]:
        """The objective's own parameters and buffers."""
        networks = getattr(self.objective, "networks", None)
        return {} if networks is None else networks.state_dict()
