"""Compiled code on a GPU as one CUDA graph: a call is one launch, not one for each kernel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pyrovae.compile.graph import first_line, preserve_tensors

__all__ = ["Replay", "replayed"]

log = logging.getLogger("pyrovae")
WARM_UP = 3  # calls before the recording, in which libraries choose their algorithms


class Replay:
    """``code(*given, *held)`` recorded once and replayed on new values of ``given``.

    What the code writes into ``held`` it writes at each call; its noise goes on from torch's generator, as without the graph.

    Args:
        code: runs on the GPU alone, and asks for no tensor's value.
        given: example inputs, to whose place each call copies its own.
        held: further inputs, always these tensors.
    """

    def __init__(self, code: Callable[..., Any], given: Sequence[Tensor], held: Sequence[Tensor]) -> None:
        self.given = [value.clone() for value in given]
        self.graph = torch.cuda.CUDAGraph()
        with preserve_tensors([*self.given, *held]), torch.no_grad():
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM_UP):
                    code(*self.given, *held)
            torch.cuda.current_stream().wait_stream(beside)
            with torch.cuda.graph(self.graph):
                self.results = code(*self.given, *held)

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """New tensors of the results for these inputs, of which only the given ones are looked at."""
        for own, value in zip(self.given, inputs, strict=False):
            own.copy_(value)
        self.graph.replay()
        return [result.clone() for result in self.results]


def replayed(code: Callable[..., Any], given: Sequence[Tensor], held: Sequence[Tensor]) -> Callable[..., Any]:
    """The code as a :class:`Replay` where all its inputs lie on one GPU; itself elsewhere, or where that cannot be."""
    if {value.device.type for value in (*given, *held)} != {"cuda"}:
        return code
    try:
        return Replay(code, given, held)
    except Exception as error:  # whatever a recording may meet: the code itself serves
        log.info("not recorded as a CUDA graph: %s", first_line(error))
        return code
