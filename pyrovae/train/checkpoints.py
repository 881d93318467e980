"""Checkpoints: all that a run needs to go on bitwise as if it had not been stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pyrovae.core.tensors import load_tensors, tensors_of
from pyrovae.errors import NonFiniteError, RunError
from pyrovae.files import load_state, random_states, save_state
from pyrovae.objectives import Objective
from pyrovae.train.callbacks import Callbacks
from pyrovae.train.early_stopping import BestParameters
from pyrovae.train.run import CHECKPOINT, kept
from pyrovae.train.training import Training

__all__ = ["Checkpoints", "read_checkpoint"]

HELD = {"step": int, "history": list, "stopped": str, "best": dict, "tensors": dict, "count": int, "random": dict}


class Checkpoints:
    """Writes and reads the checkpoint of a training, its best parameters and its callbacks.

    Attributes:
        random: the states of the random generators to go on with, of a run that was read; else None.
    """

    def __init__(self, training: Training, best: BestParameters, callbacks: Callbacks) -> None:
        self.training, self.best, self.callbacks = training, best, callbacks
        self.random: dict[str, Any] | None = None
        self._saved_at = time.monotonic()
        self._read: tuple[int, ...] | None = None

    def refuse_change(self) -> None:
        """RunError where another process has gone on with the run since its checkpoint was read."""
        path = self.training.run.path / CHECKPOINT
        if stamp(path) != self._read:
            raise RunError(f"{path} has been written by another process since it was read; resume again to go on from there.")

    def due(self) -> bool:
        """Whether the last one is older than the settings allow."""
        return time.monotonic() - self._saved_at > self.training.settings.checkpoint_seconds

    def save(self) -> None:
        """Write the checkpoint, after making sure that it is worth keeping.

        Raises:
            NonFiniteError: a parameter is not finite.
            RunError: it cannot be written, or a callback's state cannot be kept.
        """
        t, run = self.training, self.training.run
        self._saved_at = time.monotonic()
        own = tensors_of(run.pair)
        for name, tensor in {**own, **{f"objective.{n}": each for n, each in t.networks().items()}}.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise NonFiniteError(f"parameter {name!r} is not finite at step {run.step}; lower lr.{kept(run)}")
        random = [random_states()] if t.processes is None else t.processes.gather(random_states())
        if run.path is None:
            return
        state = {
            "step": run.step,
            "sum": t.stepper.total,
            "sums": t.stepper.sums,
            "count": t.count,
            "seconds": t.seconds,
            "history": run.records,
            "stopped": run.stopped,
            "best": self.best.state_dict(),
            "tensors": own,
            "networks": t.networks(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in t.optimizers.items()},
            "schedulers": {name: scheduler.state_dict() for name, scheduler in t.schedulers.items()},
            "callbacks": self.callbacks.states(),
            "random": random[0],
            "random_others": random[1:],
        }
        save_state(run.path / CHECKPOINT, state)

    def restore(self) -> None:
        """Continue from the run folder's checkpoint.

        Raises:
            RunError: it is of another pair, objective or optimizer.
        """
        t, run = self.training, self.training.run
        path = run.path / CHECKPOINT
        self._read, saved = stamp(path), read_checkpoint(path)
        try:
            saved = updated(saved, t.objective.weights if isinstance(t.objective, Objective) else {})
            load_tensors(run.pair, saved["tensors"], str(path))
            if saved["networks"]:
                t.objective.networks.load_state_dict(saved["networks"])
            for own, kept_states in ((t.optimizers, saved["optimizers"]), (t.schedulers, saved["schedulers"])):
                if own.keys() != kept_states.keys():
                    raise KeyError(f"updates {', '.join(kept_states)} were saved, and {', '.join(own)} are asked for")
                for name, each in own.items():
                    each.load_state_dict(kept_states[name])
            run.step, t.count, t.seconds = saved["step"], saved["count"], saved["seconds"]
            t.stepper.total.copy_(saved["sum"])
            for name, value in t.stepper.sums.items():
                value.copy_(saved["sums"][name])
            states = dict(enumerate([saved["random"], *saved.get("random_others", [])]))
            self.random = states.get(0 if t.processes is None else t.processes.rank)
            run.records = saved["history"]
            self.best.load_state_dict(saved["best"])
        except RunError:
            raise
        except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise RunError(f"{path} does not fit this run: {error}.") from error
        self.callbacks.load_states(saved.get("callbacks", []))


def stamp(path: Path) -> tuple[int, ...] | None:
    """What tells one writing of a file from the next; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A run's checkpoint.

    Raises:
        RunError: it is missing, damaged, or of something else.
    """
    saved = load_state(path)
    for name, kind in HELD.items():
        if not isinstance(saved, dict) or not isinstance(saved.get(name), kind):
            raise RunError(f"checkpoint {path} is not that of a run: its {name!r} is missing or of another kind.")
    try:
        saved["best"] = best_of(saved)
    except (KeyError, TypeError) as error:
        raise RunError(f"checkpoint {path} is not that of a run: its 'best' lacks {error}.") from error
    if not all(isinstance(row, dict) for row in saved["history"]):
        raise RunError(f"checkpoint {path} is not that of a run: its 'history' has rows that are none.")
    return saved


def best_of(saved: Mapping[str, Any]) -> dict[str, Any]:
    """The best parameters of a checkpoint; earlier versions kept them by the validation bound alone."""
    best = saved["best"]
    if "monitor" in best:
        return {name: best[name] for name in ("monitor", "value", "epoch", "tensors")} | best
    return {"monitor": "valid", "value": best["valid"], "epoch": best["epoch"], "tensors": best["tensors"]}


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
