"""All tensors of a pair: what checkpoints, copies and ``state_dict`` hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from pyrovae.core.parameters import buffers, parameters
from pyrovae.core.program import Program
from pyrovae.errors import RunError

__all__ = ["load_tensors", "tensors_of"]


class Programs(Protocol):
    """What has the two programs of a pair."""

    @property
    def model(self) -> Program: ...

    @property
    def guide(self) -> Program: ...


def tensors_of(pair: Programs) -> dict[str, Tensor]:
    """All tensors that make up a pair's state."""
    return {
        **parameters(pair.model, pair.guide),
        **{f"buffer.{n}": b for n, b in buffers(pair.model, pair.guide).items()},
    }


@torch.no_grad()
def load_tensors(pair: Programs, saved: Mapping[str, Tensor], where: str) -> None:
    """Copy saved tensors into a pair of the same make, in place; nothing is copied where any of them does not fit."""
    own = tensors_of(pair)
    for name in sorted(own.keys() ^ saved.keys()):
        if name in saved and name.startswith("param."):
            raise RunError(
                f"{where}: {name!r} is made by pyro.param, which the pair has not run yet; train it for a step, as in "
                "pyrovae.fit(pair, data, steps=1), and load again; or pickle the pair."
            )
        side = "the pair" if name in saved else "what is loaded"
        raise RunError(f"{where}: {side} has no tensor {name!r}; the pair is not the one that was saved.")
    for name, tensor in own.items():
        if not isinstance(saved[name], torch.Tensor) or tensor.dtype != saved[name].dtype:
            came = getattr(saved[name], "dtype", type(saved[name]).__name__)
            raise RunError(f"{where}: {name!r} is {came} in the checkpoint and {tensor.dtype} in the pair.")
        if saved[name].is_floating_point() and not bool(torch.isfinite(saved[name]).all()):
            raise RunError(f"{where}: {name!r} has values that are not finite, which no run ever saves; the file is damaged.")
        if tensor.shape != saved[name].shape:
            raise RunError(
                f"{where}: {name!r} has shape {tuple(saved[name].shape)} in the checkpoint and {tuple(tensor.shape)} in the "
                "pair; the pair was built with other options."
            )
    for name, tensor in own.items():
        tensor.copy_(saved[name])
