"""Draws with a gradient where a distribution can give one and leaves it to who asks: the handler that asks."""

from __future__ import annotations

from typing import Any

from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyrovae.core.program import Program, describe, inputs

__all__ = ["Pathwise"]


class _WithPath(Messenger):
    """Swaps the distribution of every latent site that has ``with_path`` for what that gives."""

    def _pyro_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and hasattr(msg["fn"], "with_path"):
            msg["fn"] = msg["fn"].with_path()


class Pathwise:
    """A guide whose draws have a gradient, also those of sites through which only a part of it passes.

    Args:
        program: the guide.
    """

    wraps = True

    def __init__(self, program: Program) -> None:
        self.program = program
        self.__qualname__ = describe(program)

    def __call__(self, **batch: Tensor) -> Any:
        """Run the program."""
        with _WithPath():
            return self.program(**inputs(self.program, batch))
