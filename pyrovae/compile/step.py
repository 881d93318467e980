"""One update of a pair's parameters, eagerly: through Pyro, autograd and one optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from torch import Tensor
from torch.optim import Optimizer

from pyrovae.core.inference import precision_context
from pyrovae.core.pair import Program, inputs, modules, running
from pyrovae.objectives import Objective, Terms

__all__ = ["PyroStep", "Step", "registered"]


class Step:
    """One update of a pair's parameters by an objective: ``step(batch)`` is the bound, nats per datum.

    A batch whose bound (or whose gradient's norm, when clipped) is not finite leaves the parameters as they were; so do all
    batches after it until :meth:`reset`, and their bounds are NaN.

    Args:
        objective: one of :mod:`pyrovae.objectives`.
        model, guide: the two programs.
        optimizer: of their parameters, and of the objective's own.
        clip_norm: largest Euclidean norm of the gradient.
        precision: "float32", or "bf16" networks with float32 log densities.

    Attributes:
        total: sum of the bounds of all data since the last :meth:`reset`, float64.
        moves: how often the parameters have moved since then, float64.
        backend: "eager"; of a compiled step "inductor", "rolled" (its blocks compiled) or "graph" (traced, not compiled).
        matmul: the library of its matrix products, "mkl" (or what the device has) or "onednn".
        exchange: called with the parameters and the sum of the bounds before each move, gives the sum of the bounds and the
            number of data that count; data-parallel training puts the sum of all processes' gradients into the parameters.
    """

    backend = "eager"
    matmul = "mkl"
    exchange: Callable[[list[Tensor], Tensor], tuple[Tensor, int]] | None = None

    def __init__(
        self,
        objective: Objective,
        model: Program,
        guide: Program,
        optimizer: Optimizer,
        *,
        clip_norm: float | None = None,
        precision: str = "float32",
    ) -> None:
        self.objective, self.model, self.guide, self.optimizer = objective, model, guide, optimizer
        self.clip_norm, self.precision = clip_norm, precision
        self.params = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        device = self.params[0].device if self.params else "cpu"
        self.total, self.moves = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))

    def __call__(self, batch: Mapping[str, Tensor], ramp: float = 1.0) -> Tensor:
        """Move the parameters by one batch; the mean bound of its data before the move, a 0-d tensor.

        Args:
            batch: tensors with a first dimension of B.
            ramp: warm-up of the KL's weight, in [0, 1].
        """
        self.optimizer.zero_grad(set_to_none=True)
        bound, surrogate = self.terms(batch, ramp)
        (-surrogate.mean()).backward()
        return self.apply(bound.detach().sum(), len(bound))

    def reset(self) -> None:
        """Start a new :attr:`total` and count of :attr:`moves`."""
        self.total.zero_()
        self.moves.zero_()

    def terms(self, batch: Mapping[str, Tensor], ramp: float | Tensor) -> Terms:
        """The objective's bound and surrogate, (B,)."""
        with (
            running(self.model, self.guide),
            pyro.validation_enabled(False),
            precision_context(self.precision, self.model, self.guide),
        ):
            return self.objective.terms(self.objective.trace(self.model, self.guide, batch), ramp)

    def apply(self, bound: Tensor, size: int) -> Tensor:
        """Step along the gradients that the parameters hold, where all is finite; the mean of the sum of bounds."""
        if self.exchange is not None:
            bound, size = self.exchange(self.params, bound)
        self.total += bound
        finite = math.isfinite(self.total)
        if finite and self.clip_norm is not None:
            finite = math.isfinite(torch.nn.utils.clip_grad_norm_(self.params, self.clip_norm))
        if not finite:
            self.total.fill_(math.nan)
            return self.total.float()
        self.optimizer.step()
        self.moves += 1
        return bound / size


class PyroStep(Step):
    """A :class:`Step` by one of Pyro's own ELBOs, whose loss is a sum over the batch."""

    def __call__(self, batch: Mapping[str, Tensor], ramp: float = 1.0) -> Tensor:
        """Move the parameters by one batch; the mean bound of its data before the move, a 0-d tensor."""
        size = len(next(iter(batch.values())))
        self.optimizer.zero_grad(set_to_none=True)
        with (
            running(self.model, self.guide),
            pyro.validation_enabled(False),
            precision_context(self.precision, self.model, self.guide),
        ):
            loss = self.objective.loss_and_grads(registered(self.model, "model"), registered(self.guide, "guide"), **batch)
        for p in self.params:
            if p.grad is not None:
                p.grad /= size
        return self.apply(-torch.as_tensor(loss), size)


def registered(program: Program, name: str) -> Callable[..., Any]:
    """The program, taking the whole batch and telling Pyro of its module's parameters."""

    def run(**batch: Tensor) -> Any:
        for module in modules(program):
            pyro.module(name, module)
        return program(**inputs(program, batch))

    return run
