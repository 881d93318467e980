"""A run: a pair, the data it was trained on, how, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pyrovae.core.pair import Pair, Program, buffers, parameters
from pyrovae.data import Data
from pyrovae.errors import RunError

__all__ = ["CHECKPOINT", "CONFIG", "METRICS", "Run", "load_tensors"]

CHECKPOINT, CONFIG, METRICS = "checkpoint.safetensors", "config.json", "metrics.csv"


@dataclass
class Run:
    """What :func:`~pyrovae.train.fitting.fit` returns and :func:`~pyrovae.runs.folders.load` reads back.

    Attributes:
        pair: the pair; its parameters are the trained ones.
        data: the data.
        config: JSON of how the run was made: pair, data, fit, versions.
        history: one row an epoch: epoch, step, train and valid bound (nats per datum), lr, beta, seconds.
        path: the run folder; None for a run that was not written.
        weights: which parameters the pair now has, "last" or "best" (by the validation bound).
        stopped: why training ended: "finished", "early", "interrupted".
        best_epoch: epoch of the best validation bound; None without validation.
    """

    pair: Pair
    data: Data
    config: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    path: Path | None = None
    weights: str = "last"
    stopped: str = "finished"
    best_epoch: int | None = None

    @property
    def model(self) -> Program:
        """The generative model."""
        return self.pair.model

    @property
    def guide(self) -> Program:
        """The guide."""
        return self.pair.guide

    def __repr__(self) -> str:
        last = self.history[-1] if self.history else {}
        bounds = ", ".join(f"{part} {last[part]:.3f}" for part in ("train", "valid") if last.get(part) is not None)
        where = f" in {self.path}" if self.path else ""
        return f"Run({last.get('epoch', 0)} epochs, {self.stopped}; bound in nats per datum: {bounds or 'none'}){where}"


def tensors_of(pair: Pair) -> dict[str, torch.Tensor]:
    """All tensors that make up a pair's state."""
    return {
        **parameters(pair.model, pair.guide),
        **{f"buffer.{n}": b for n, b in buffers(pair.model, pair.guide).items()},
    }


@torch.no_grad()
def load_tensors(pair: Pair, saved: dict[str, torch.Tensor], where: str) -> None:
    """Copy saved tensors into a pair of the same make, in place."""
    own = tensors_of(pair)
    for name in sorted(own.keys() ^ saved.keys()):
        side = "the pair" if name in saved else "the checkpoint"
        raise RunError(f"{where}: {side} has no tensor {name!r}; the pair is not the one that was saved.")
    for name, tensor in own.items():
        if tensor.shape != saved[name].shape:
            raise RunError(
                f"{where}: {name!r} has shape {tuple(saved[name].shape)} in the checkpoint and {tuple(tensor.shape)} in the "
                "pair; the pair was built with other options."
            )
        tensor.copy_(saved[name])
