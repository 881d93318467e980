"""The loop: steps, epochs, validation, early stopping, checkpoints, exact resume."""

from __future__ import annotations

import csv
import io
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyro.infer
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from tqdm import tqdm

from pyrovae.compile import CompiledStep, PyroStep, pyro_program
from pyrovae.compile.graph import preserve_tensors
from pyrovae.compile.optimizers import build_optimizers, build_scheduler
from pyrovae.core.contract import find_non_finite
from pyrovae.core.inference import evaluation_mode, precision_context
from pyrovae.core.pair import Batch, buffers, parameter_scope, parameters
from pyrovae.core.trace import trace_pair
from pyrovae.data import Stream
from pyrovae.data.seeds import mix
from pyrovae.errors import DataError, NonFiniteError, OptionError, RunError
from pyrovae.files import load_state, random_states, save_state, set_random_states, write_whole
from pyrovae.objectives import Given, Objective
from pyrovae.objectives.moves import moved_parameters, survey
from pyrovae.train.processes import Processes
from pyrovae.train.run import CHECKPOINT, METRICS, Run, load_tensors, tensors_of
from pyrovae.train.schedule import build_schedules

__all__ = ["Trainer"]

VALIDATION_SEED = 1_000_003  # the same noise at each validation, apart from the training noise
CHECK = 100  # steps between two looks at whether all is finite, each of which waits for the device
FIGURE_ROWS = 500  # on which an objective measures at an epoch's end
LONG = (3_000, 2_000_000)  # steps, or steps x data x particles, from which a run earns back the seconds of its compilation


class Trainer:
    """Trains a run's pair from where it stands; see :func:`~pyrovae.train.fitting.fit` for the settings."""

    def __init__(
        self,
        run: Run,
        objective: pyro.infer.ELBO,
        settings: Mapping[str, Any],
        progress: bool,
        processes: Processes | None = None,
    ) -> None:
        self.run, self.objective, self.settings, self.processes = run, objective, settings, processes
        self.progress = progress and (processes is None or processes.rank == 0)
        self.model, self.guide = run.pair.model, run.pair.guide
        self.device = torch.device(settings["device"])
        self.train_data, self.valid_data = run.data.train.to(self.device), run.data.valid
        if self.valid_data is not None:
            self.valid_data = self.valid_data.to(self.device)
        self.epoch_steps = self.train_data.num_batches(settings["batch_size"])
        self.total_steps = settings["steps"] or settings["epochs"] * self.epoch_steps
        self.schedules = build_schedules(settings.get("schedule"), settings["kl_warmup"], objective, self.epoch_steps)
        if isinstance(objective, Objective):
            objective.observe_data(self.train_data, 1 if processes is None else processes.size)
            moved = moved_parameters(objective, self.model, self.guide)
        else:
            moved = {"pair": [p for p in parameters(self.model, self.guide).values() if p.requires_grad]}
        self.optimizers = build_optimizers(
            objective,
            moved,
            settings["optimizer"],
            settings["lr"],
            settings["optimizer_options"],
            settings.get("optimizers"),
        )
        if len(moved) > 1 and isinstance(settings["scheduler"], LRScheduler):
            raise OptionError(
                f"scheduler is one object, and {objective!r} has an optimizer for each of {', '.join(moved)}; give its name."
            )
        self.schedulers = {
            name: build_scheduler(settings["scheduler"], optimizer, settings["scheduler_options"] or {})
            for name, optimizer in self.optimizers.items()
            if settings["scheduler"] is not None
        }
        self.survey = self._survey(moved) if isinstance(objective, Objective) else None
        kind = CompiledStep if isinstance(objective, Objective) else PyroStep
        self.stepper = kind(
            objective,
            self.model,
            self.guide,
            self.optimizers,
            clip_norm=settings["clip_norm"],
            precision=settings["precision"],
            schedule=list(self.schedules),
            figures=() if self.survey is None else self.survey.figures,
            data_size=self._data_size(),
        )
        if processes is not None:
            self._join(processes)
        # what a checkpoint holds, beside tensors, optimizer, scheduler and random states
        self.step = 0
        self.count = 0  # of this epoch's data so far, whose bounds the stepper sums
        self.seconds = 0.0
        self.best: dict[str, Any] = {"valid": -math.inf, "epoch": None, "tensors": {}}
        self.saved_at = time.monotonic()
        self.stop_signal = False
        self.states: dict[str, Any] | None = None  # of the random generators, where a run continues

    def _data_size(self) -> int | None:
        """N; None of a stream that does not know it."""
        try:
            return len(self.train_data)
        except DataError:
            return None

    def _survey(self, moved: Mapping[str, list[Tensor]]) -> Any:
        """What the objective's updates are, found out on a few rows; refuses what it cannot have of these data."""
        if self.objective.num_batches > 1 and isinstance(self.train_data, Stream):
            raise OptionError(
                f"{self.objective!r} takes {self.objective.num_batches} independent batches a step, which a DataLoader does "
                "not give; pass its Dataset."
            )
        batch = next(iter(self.train_data.batches(min(64, self.settings["batch_size"]))))
        batch = {key: value.to(self.device) for key, value in batch.items()}
        values = {name: torch.tensor(schedule(0), device=self.device) for name, schedule in self.schedules.items()}
        batches = [batch] * self.objective.num_batches
        given = Given(self.model, self.guide, batches, values, moved, self._data_size())
        held = [torch.zeros((), device=self.device), *buffers(self.model, self.guide).values()]
        with parameter_scope(self.model, self.guide), pyro.validation_enabled(False), preserve_tensors(held):
            return survey(self.objective, given)

    def _join(self, processes: Processes) -> None:
        """Start from process 0's parameters, and let the stepper take the gradient of all processes' rows."""
        networks = getattr(self.objective, "networks", None)
        if self.survey is not None and self.survey.has_state:
            raise OptionError(
                f"{self.objective!r} keeps moving averages of its batches, which several processes would keep apart; train "
                "in one process, or choose another objective."
            )
        if not getattr(self.objective, "separable", True):
            raise OptionError(
                f"{self.objective!r} has a loss of the whole batch that is not the mean of its rows' losses, which several "
                "processes would take of their own rows; train in one process, or choose another objective."
            )
        if self.survey is not None and self.survey.skips:
            raise OptionError(
                f"{self.objective!r} skips update {self.survey.skips!r} by its batch, where several processes may differ; "
                "train in one process."
            )
        load_tensors(self.run.pair, processes.same(tensors_of(self.run.pair)), "process 0")
        if networks is not None:
            networks.load_state_dict(processes.same(networks.state_dict()))
        self.stepper.exchange = lambda grads, bound, means: processes.exchange(grads, bound, means, self._wants())

    def compile(self) -> None:
        """Compile the step as asked for, or as the run that is continued did; records how in the run's configuration."""
        done = self.run.config.get("compiled")
        asked = self.settings.get("compile")
        if asked is None:
            particles = getattr(self.objective, "num_particles", 1)
            work = self.total_steps * self.settings["batch_size"] * particles
            asked = self.total_steps >= LONG[0] or work >= LONG[1]
        if isinstance(self.stepper, CompiledStep) and (asked if done is None else done["backend"] != "eager"):
            self.stepper.compile(
                next(self._batches(0, 0)),
                matmul=done and (done.get("products") or done["matmul"]),
                backend=done and done["backend"],
                asked=bool(self.settings.get("compile")),
            )
        if done is None:
            names = ("backend", "matmul", "products")
            self.run.config["compiled"] = {name: getattr(self.stepper, name, {}) for name in names}

    # ------------------------------------------------------------------------------------------------ the loop
    def train(self) -> Run:
        """Run to the end of the settings, to early stopping, or to Ctrl-C."""
        caller = random_states()
        fresh = self.step == 0
        try:
            if self.states is not None:
                set_random_states(self.states)
            elif self.processes is not None:
                self.processes.seed(self.settings["seed"] + self.step)
            else:
                pyro.set_rng_seed(self.settings["seed"])
            with (
                parameter_scope(self.model, self.guide),
                pyro.validation_enabled(False),
                self._catching_signals(),
                self._bar() as bar,
            ):
                if fresh:
                    self._save()
                self._epochs(bar)
            self._save()
        finally:
            set_random_states(caller)
        if self.settings["patience"] and self.best["tensors"]:
            load_tensors(self.run.pair, self.best["tensors"], "best parameters")
            self.run.weights = "best"
        return self.run

    def _epochs(self, bar: tqdm) -> None:
        self.run.stopped = "finished"
        while self.step < self.total_steps and not self._out_of_patience():
            epoch, start = divmod(self.step, self.epoch_steps)
            began = time.perf_counter()
            for batches in self._batches(epoch, start):
                self._step(batches, epoch)
                bar.update()
                stop, save = self._agreed()
                if stop or self.step >= self.total_steps:
                    break
                if save and self.step % self.epoch_steps:
                    self._check(epoch)
                    self.seconds += time.perf_counter() - began
                    self._save()
                    began = time.perf_counter()
            self.seconds += time.perf_counter() - began
            if self.step % self.epoch_steps == 0 or self.step >= self.total_steps:
                self._end_epoch(epoch, bar)
            stop, save = self._agreed()
            if stop:
                self.run.stopped = "interrupted"
                return
            if save:
                self._save()
        if self._out_of_patience():
            self.run.stopped = "early"

    def _batches(self, epoch: int, start: int) -> Iterator[list[Batch]]:
        """The batches of each step of an epoch from one on: the first in the epoch's order, further ones in their own."""
        seed, size = self.settings["seed"], self.settings["batch_size"]
        seeds = [seed, *(mix(seed, number) for number in range(1, getattr(self.objective, "num_batches", 1)))]
        orders = [self.train_data.epoch(size, seed=each, epoch=epoch, start=start) for each in seeds]
        return ([self._own(batch) for batch in batches] for batches in zip(*orders, strict=True))

    def _own(self, batch: Batch) -> Batch:
        """The batch on this run's device; of several processes, this one's share."""
        batch = {key: value.to(self.device) for key, value in batch.items()}
        return batch if self.processes is None else self.processes.share(batch)

    def _wants(self) -> tuple[bool, bool]:
        """Whether to stop, and whether to save."""
        return self.stop_signal, time.monotonic() - self.saved_at > self.settings["checkpoint_seconds"]

    def _agreed(self) -> tuple[bool, bool]:
        """What this process wants, or what all agreed upon at the last step."""
        return self._wants() if self.processes is None else self.processes.agreed

    def _step(self, batches: list[Batch], epoch: int) -> None:
        if self.step % self.epoch_steps % CHECK == 0:
            self._check(epoch)
        self.stepper(batches, self.schedule)
        self.count += len(next(iter(batches[0].values()))) if self.processes is None else self.processes.rows
        self.step += 1
        if self.stepper.backend == "eager" and not math.isfinite(self.stepper.total):
            self._check(epoch)
        if self.settings["scheduler_interval"] == "step":
            for scheduler in self.schedulers.values():
                scheduler.step()

    def _check(self, epoch: int) -> None:
        """NonFiniteError if a bound since the last check was not finite; remembers where this check stands."""
        if not math.isfinite(self.stepper.total):
            raise NonFiniteError(self._diagnose(epoch))
        self.checked = self.step, float(self.stepper.moves), random_states()

    @property
    def schedule(self) -> dict[str, float]:
        """The scheduled options' values at this step."""
        return {name: schedule(self.step) for name, schedule in self.schedules.items()}

    @property
    def weights(self) -> dict[str, float]:
        """The values at this step of all options of the objective that weigh something, scheduled or not."""
        return {**getattr(self.objective, "weights", {}), **self.schedule}

    # ------------------------------------------------------------------------------------------------ epochs' ends
    def _end_epoch(self, epoch: int, bar: tqdm) -> None:
        self._check(epoch)
        valid = self._validate()
        row = {
            "epoch": epoch + 1,
            "step": self.step,
            "train": float(self.stepper.total) / self.count,
            "valid": valid,
            **self._lrs(),
            **self.weights,
            **{name: float(value) / self.count for name, value in self.stepper.sums.items()},
            **self._epoch_figures(),
            "seconds": round(self.seconds, 4),
        }
        if valid is not None and not math.isfinite(valid):
            raise NonFiniteError(f"the validation bound is {valid} after epoch {epoch + 1}.{self._kept()}")
        self.run.history.append({k: float(v) if isinstance(v, Tensor) else v for k, v in row.items()})
        self.stepper.reset()
        self.count, self.seconds = 0, 0.0
        if valid is not None and valid > self.best["valid"]:
            tensors = {name: tensor.detach().clone() for name, tensor in tensors_of(self.run.pair).items()}
            self.best = {"valid": valid, "epoch": epoch + 1, "tensors": tensors}
            self.run.best_epoch = epoch + 1
        if self.step % self.epoch_steps:
            pass  # `steps` ended the run within an epoch: schedulers of epochs wait for its end
        else:
            for scheduler in self.schedulers.values():
                if isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step(-(row["train"] if valid is None else valid))
                elif self.settings["scheduler_interval"] == "epoch":
                    scheduler.step()
        self._log(row)
        shown = {part: f"{row[part]:.2f}" for part in ("train", "valid") if row[part] is not None}
        bar.set_postfix(shown | {"epoch": epoch + 1}, refresh=False)
        if bar.disable and self.progress:
            tqdm.write(
                f"epoch {epoch + 1}: "
                + ", ".join(f"{part} {value}" for part, value in shown.items())
                + f" nats per datum, {row['seconds']:.1f} s"
            )

    def _lrs(self) -> dict[str, float]:
        """The learning rate; of several updates the others' too, each under its name."""
        first, *others = self.optimizers.items()
        return {"lr": first[1].param_groups[0]["lr"], **{f"lr_{name}": o.param_groups[0]["lr"] for name, o in others}}

    @torch.no_grad()
    def _epoch_figures(self) -> dict[str, float]:
        """What the objective measures at an epoch's end, on validation data where there are any, with its own noise."""
        if not isinstance(self.objective, Objective):
            return {}
        data = self.train_data if self.valid_data is None else self.valid_data
        states = random_states()
        torch.manual_seed(VALIDATION_SEED + self.settings["seed"])
        with evaluation_mode(self.model, self.guide), precision_context(self.settings["precision"], self.model, self.guide):
            batch = next(iter(data.batches(FIGURE_ROWS)))
            batch = {key: value.to(self.device) for key, value in batch.items()}
            figures = self.objective.epoch_figures(Given(self.model, self.guide, [batch] * self.objective.num_batches))
        set_random_states(states)
        return {name: float(value) for name, value in figures.items()}

    @torch.no_grad()
    def _validate(self) -> float | None:
        """The bound of the validation data, averaged over data, with the same noise at each call."""
        if self.valid_data is None or not self.settings["validate"]:
            return None
        states = random_states()
        torch.manual_seed(VALIDATION_SEED + self.settings["seed"])
        total, count = 0.0, 0
        with evaluation_mode(self.model, self.guide), precision_context(self.settings["precision"], self.model, self.guide):
            for batch in self.valid_data.batches(self.settings["batch_size"]):
                batch = {key: value.to(self.device) for key, value in batch.items()}
                if isinstance(self.objective, Objective):
                    total += float(self.objective.evaluate(self.model, self.guide, batch).double().sum())
                else:
                    total -= self.objective.loss(pyro_program(self.model, "model"), pyro_program(self.guide, "guide"), **batch)
                count += len(next(iter(batch.values())))
        set_random_states(states)
        return total / count

    def _out_of_patience(self) -> bool:
        patience, best = self.settings["patience"], self.best["epoch"]
        if not patience or best is None or not self.run.history:
            return False
        return self.run.history[-1]["epoch"] - best >= patience

    # ------------------------------------------------------------------------------------------------ trouble
    def _diagnose(self, epoch: int) -> str:
        """Repeat the noise and the batches since the last check, up to the one that is to blame, to name the site.

        The stepper moves no parameters any more, so they stand as they were before that batch.
        """
        step, moves, states = self.checked
        bad = step + round(float(self.stepper.moves) - moves)
        set_random_states(states)
        update = self._culprit()
        for batches in self._batches(epoch, step % self.epoch_steps):
            batch = batches[0]
            if step == bad:
                break
            self.step = step
            self.stepper(batches, self.schedule)
            step += 1
        self.step = bad
        with torch.no_grad():
            traced = trace_pair(self.model, self.guide, batch, self.objective.num_particles)
            try:
                site = find_non_finite(traced)
            except RuntimeError as error:
                site = str(error)
        if update is not None and (site is None or update != next(iter(self.optimizers))):
            return (
                f"the loss or gradient of update {update!r} is not finite in {self._where(epoch)}; lower its lr, as in "
                f"optimizers={{{update!r}: {{'lr': ...}}}}, or clip the gradient.{self._kept()}"
            )
        rows = f", rows {batch['index'].tolist()[:8]}..." if "index" in batch else ""
        if site is None and self.settings["clip_norm"]:
            return f"the gradient is not finite in {self._where(epoch)}{rows}; lower lr.{self._kept()}"
        site = site or "each site's log density is finite when repeated, their combination is not."
        return f"the bound is not finite in {self._where(epoch)}{rows}: {site} Lower lr or clip the gradient.{self._kept()}"

    def _culprit(self) -> str | None:
        """The first update, of several, whose loss or gradient was not finite."""
        return next((n for n in self.optimizers if n in self.stepper.sums and not self.stepper.sums[n].isfinite()), None)

    def _where(self, epoch: int) -> str:
        return f"batch {self.step % self.epoch_steps} of epoch {epoch + 1} (step {self.step})"

    def _kept(self) -> str:
        return f" The last good checkpoint is kept in {self.run.path}." if self.run.path else ""

    @contextmanager
    def _catching_signals(self) -> Iterator[None]:
        """Ctrl-C (or SIGTERM) ends the run after the step at hand; a second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: Any) -> None:
            if self.stop_signal:
                raise KeyboardInterrupt
            self.stop_signal = True

        old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    # ------------------------------------------------------------------------------------------------ records
    def _bar(self) -> tqdm:
        disable = None if self.progress else True
        return tqdm(total=self.total_steps, initial=self.step, unit="step", disable=disable, dynamic_ncols=True)

    def _log(self, row: Mapping[str, Any]) -> None:
        if self.run.path is None:
            return
        self._write_metrics()
        if self.settings["tensorboard"] and (writer := self._tensorboard()):
            for part in row.keys() - {"epoch", "step", "seconds"}:
                if row[part] is not None:
                    writer.add_scalar(f"bound/{part}" if part in ("train", "valid") else part, row[part], row["step"])
            writer.flush()

    def _tensorboard(self) -> Any:
        if not hasattr(self, "_writer"):
            try:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self.run.path / "tensorboard"), purge_step=self.step)
            except ImportError:
                self._writer = None
        return self._writer

    def _write_metrics(self) -> None:
        if self.run.history:
            text = io.StringIO()
            writer = csv.DictWriter(text, list({name: None for row in self.run.history for name in row}))
            writer.writeheader()
            writer.writerows(self.run.history)
            write_whole(self.run.path / METRICS, text.getvalue().encode())

    def _networks(self) -> dict[str, Tensor]:
        """The objective's own parameters and buffers."""
        networks = getattr(self.objective, "networks", None)
        return {} if networks is None else networks.state_dict()

    def _tensors(self) -> dict[str, Tensor]:
        return {**tensors_of(self.run.pair), **{f"objective.{n}": t for n, t in self._networks().items()}}

    def _save(self) -> None:
        """Write the checkpoint, after making sure that it is worth keeping."""
        self.saved_at = time.monotonic()
        for name, tensor in self._tensors().items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise NonFiniteError(f"parameter {name!r} is not finite at step {self.step}; lower lr.{self._kept()}")
        random = [random_states()] if self.processes is None else self.processes.gather(random_states())
        if self.run.path is None:
            return
        save_state(
            self.run.path / CHECKPOINT,
            {
                "step": self.step,
                "sum": self.stepper.total,
                "sums": self.stepper.sums,
                "count": self.count,
                "seconds": self.seconds,
                "history": self.run.history,
                "stopped": self.run.stopped,
                "best": self.best,
                "tensors": tensors_of(self.run.pair),
                "networks": self._networks(),
                "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
                "schedulers": {name: scheduler.state_dict() for name, scheduler in self.schedulers.items()},
                "random": random[0],
                "random_others": random[1:],
            },
        )

    def restore(self) -> None:
        """Continue from the run folder's checkpoint."""
        path = self.run.path / CHECKPOINT
        saved = load_state(path)
        try:
            saved = updated(saved, self.objective.weights if isinstance(self.objective, Objective) else {})
            load_tensors(self.run.pair, saved["tensors"], str(path))
            if saved["networks"]:
                self.objective.networks.load_state_dict(saved["networks"])
            for own, kept in ((self.optimizers, saved["optimizers"]), (self.schedulers, saved["schedulers"])):
                if own.keys() != kept.keys():
                    raise KeyError(f"updates {', '.join(kept)} were saved, and {', '.join(own)} are asked for")
                for name, each in own.items():
                    each.load_state_dict(kept[name])
            self.step, self.count, self.seconds = saved["step"], saved["count"], saved["seconds"]
            self.stepper.total.copy_(saved["sum"])
            for name, value in self.stepper.sums.items():
                value.copy_(saved["sums"][name])
            states = dict(enumerate([saved["random"], *saved.get("random_others", [])]))
            self.best, self.states = saved["best"], states.get(0 if self.processes is None else self.processes.rank)
            self.run.history, self.run.best_epoch = saved["history"], saved["best"]["epoch"]
        except (KeyError, ValueError, TypeError) as error:
            raise RunError(f"{path} does not fit this run: {error}.") from error


def updated(saved: dict[str, Any], weights: Mapping[str, float]) -> dict[str, Any]:
    """A checkpoint in the present layout: earlier versions had one optimizer, and logged the warm-up's share as beta."""
    if "optimizer" not in saved:
        return saved
    warmed = next((name for name in ("capacity", "beta") if name in weights), None)
    history = []
    for row in saved["history"]:
        share = row["beta"]
        values = {name: value * share if name == warmed else value for name, value in weights.items()}
        items = list({key: value for key, value in row.items() if key != "beta"}.items())
        history.append(dict([*items[:-1], *values.items(), *items[-1:]]))
    scheduler = saved["scheduler"]
    return {
        **saved,
        "history": history,
        "sums": {},
        "optimizers": {"pair": saved["optimizer"]},
        "schedulers": {} if scheduler is None else {"pair": scheduler},
    }
