"""Chains of an unfinished batch, written down now and then, so that a run of hours continues where it was broken off."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Keeper"]

SAVE_EVERY_SECONDS = 60.0


class Keeper:
    """The runs of one batch, numbered in the order in which they begin.

    Args:
        write: writes a state, which :func:`pyrovae.files.save_state` can save.
        held: the state that was last written before the interruption, or None.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None], held: dict[str, Any] | None = None) -> None:
        self.write, self.number, self.last = write, -1, time.monotonic()
        self.finished: list[tuple[Any, ...]] = []
        self.held = held or {"finished": [], "state": None, "random": None}

    def begin(self, device: torch.device) -> tuple[Any, ...] | None:
        """The next run's state where it stands in what was written: finished, or at the step it had reached."""
        self.number += 1
        finished, state = self.held["finished"], self.held["state"]
        if self.number < len(finished):
            state = finished[self.number]
        elif self.number > len(finished) or state is None:
            return None
        else:  # the one that was broken off goes on with the random numbers that it had
            _set_random(self.held["random"])
        return tuple(part.to(device) if isinstance(part, Tensor) else part for part in state)

    def keep(self, *state: Any) -> None:
        """Write the state of the run in hand, if the last was written a minute ago."""
        if time.monotonic() - self.last >= SAVE_EVERY_SECONDS:
            self.write({"finished": self.finished, "state": state, "random": _random(state[1].device)})
            self.last = time.monotonic()

    def end(self, *state: Any) -> None:
        """The run in hand is finished."""
        self.finished.append(state)


def _random(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random(states: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1])
