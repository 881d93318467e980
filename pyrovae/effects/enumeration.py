"""Ask every discrete site of finite support to be enumerated."""

from __future__ import annotations

from typing import Any

from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyrovae.core.enumeration import is_enumerable
from pyrovae.core.program import Program, describe, inputs

__all__ = ["Enumerated"]


def _mark(site: Any) -> Any:
    """What a site is told: to be enumerated where it can be."""
    taken = site["type"] != "sample" or site["is_observed"] or "enumerate" in site["infer"]
    if taken or site_is_subsample(site) or not is_enumerable(site["fn"]):
        return {}
    return {"enumerate": "parallel", "expand": False}


class Enumerated:
    """A program whose discrete sites of finite support all ask to be enumerated."""

    wraps = True

    def __init__(self, program: Program) -> None:
        self.program, self.marked = program, poutine.infer_config(program, config_fn=_mark)
        self.__qualname__ = describe(program)

    def __call__(self, **batch: Tensor) -> Any:
        """Run the program."""
        return self.marked(**inputs(self.program, batch))
