"""One step of a pair's parameters, eagerly: through Pyro, autograd and the optimizer of each update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyro
import torch
from torch import Tensor
from torch.optim import Optimizer

from pyrovae.core.inference import precision_context
from pyrovae.core.parameters import parameter_scope
from pyrovae.core.program import Program, inputs, modules
from pyrovae.core.sites import ScaleOf
from pyrovae.core.support import ObservedInside
from pyrovae.errors import OptionError
from pyrovae.objectives import Given, Objective, Update
from pyrovae.objectives.objective import as_updates, commit

__all__ = ["PyroStep", "Step", "pyro_program"]

Batches = Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]
Grads = list[Tensor | None]
Exchange = Callable[[list[Tensor], Tensor, list[Tensor]], tuple[list[Tensor], Tensor, list[Tensor], int]]


class Step:
    """One step of a pair's parameters by an objective: ``step(batch)`` is the bound, nats per datum.

    The objective's updates are run in order: the gradient of each loss by its own parameters, then their optimizer. One whose
    loss or bound (or whose gradient's norm, when clipped) is not finite leaves the parameters as they were; so do all updates
    after it, in this step and later ones, until :meth:`reset`, and their bounds are NaN. New values of buffers are written
    after the last update, where all was finite.

    Args:
        objective: one of :mod:`pyrovae.objectives`.
        model, guide: the two programs.
        optimizers: of each update, by name, of the parameters that it moves.
        clip_norm: largest Euclidean norm of the gradient of an update.
        precision: "float32", or "bf16" networks with float32 log densities.
        schedule: names of the options that steps will be given values of.
        figures: names of what the updates log (:class:`~pyrovae.objectives.moves.Survey`).
        data_size: N of the training data.

    Attributes:
        total: sum of the bounds of all data since the last :meth:`reset`, float64.
        sums: sums over all data of each figure, and of each loss of several updates; NaN from a loss that was not finite on.
        moves: how many steps have been made since then, float64.
        params: the parameters of each update.
        backend: "eager"; of a compiled step "inductor" or "graph" (traced, not compiled).
        matmul: the library of its matrix products, "mkl" (or what the device has) or "onednn".
        exchange: called at each yield with its gradients, the sum of the bounds and the losses and figures, gives those of
            the whole batch and its number of rows; data-parallel training adds up the processes there.
    """

    backend = "eager"
    matmul = "mkl"
    exchange: Exchange | None = None

    def __init__(
        self,
        objective: Objective,
        model: Program,
        guide: Program,
        optimizers: Mapping[str, Optimizer],
        *,
        clip_norm: float | None = None,
        precision: str = "float32",
        schedule: Sequence[str] = (),
        figures: Sequence[str] = (),
        data_size: int | None = None,
    ) -> None:
        self.objective, self.model, self.guide, self.optimizers = objective, model, guide, dict(optimizers)
        self.clip_norm, self.precision, self.data_size = clip_norm, precision, data_size
        self.params = {
            name: [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
            for name, optimizer in self.optimizers.items()
        }
        device = next((p.device for params in self.params.values() for p in params), torch.device("cpu"))
        self.total, self.moves = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
        self.sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in figures}
        self.schedule = {name: torch.ones((), device=device) for name in schedule}
        self._values: dict[str, float] = dict.fromkeys(schedule, 1.0)

    def __call__(self, batch: Batches, schedule: Mapping[str, float] | None = None) -> Tensor:
        """Move the parameters by one batch; the mean bound of its data before the move, a 0-d tensor.

        Args:
            batch: tensors with a first dimension of B; a sequence of them where the objective takes several.
            schedule: values of the scheduled options at this step.
        """
        self.set_schedule(schedule)
        batches = as_batches(batch, self.objective.num_batches)
        self._begin(batches)
        return self._end(self.run_updates(batches, self._move))

    def reset(self) -> None:
        """Start new totals and a new count of :attr:`moves`."""
        for tensor in (self.total, self.moves, *self.sums.values()):
            tensor.zero_()

    def set_schedule(self, schedule: Mapping[str, float] | None) -> None:
        """Write the values of scheduled options where programs, and graphs, read them."""
        for name, value in (schedule or {}).items():
            if name not in self._values:
                raise OptionError(
                    f"option {name!r} is given a value of its own at this step, but the step was made for a schedule of "
                    f"{', '.join(self._values) or 'none'}; name it there, schedule=[{name!r}]."
                )
            if value != self._values[name]:
                self.schedule[name].fill_(value)
                self._values[name] = value

    def run_updates(
        self, batches: Sequence[Mapping[str, Tensor]], move: Callable[[tuple[Update, ...], list[Grads]], None]
    ) -> Mapping[Tensor, Tensor]:
        """Drive the objective's updates, ``move`` being told those of each yield and their gradients; the state returned."""
        given = Given(self.model, self.guide, batches, self.schedule, self.params, self.data_size)
        with (
            parameter_scope(self.model, self.guide),
            pyro.validation_enabled(False),
            precision_context(self.precision, self.model, self.guide),
        ):
            updates = self.objective.updates(given)
            while True:
                try:
                    together = as_updates(next(updates))
                except StopIteration as end:
                    return end.value or {}
                move(together, self._gradients(together))
                del together  # its graph, before the next one is made

    def _gradients(self, together: Sequence[Update]) -> list[Grads]:
        """Of each loss by its own parameters alone, None where a parameter does not enter."""
        last = len(together) - 1
        return [
            list(torch.autograd.grad(update.loss, self.params[update.name], retain_graph=i < last, allow_unused=True))
            for i, update in enumerate(together)
        ]

    # ------------------------------------------------------------------------------------------------ eagerly
    def _begin(self, batches: Sequence[Mapping[str, Tensor]]) -> None:
        self._rows = len(next(iter(batches[0].values())))
        self._finite, self._bound = len(self.params) == 1 or math.isfinite(self.total), None

    def _move(self, together: Sequence[Update], grads: list[Grads]) -> None:
        """Add up what the updates report, and step along their gradients where all is finite."""
        bound = next((update.bound.detach().sum() for update in together if update.bound is not None), None)
        logged = [{**self._losses(update), **update.figures} for update in together]
        if self.exchange is not None:
            bound, logged, grads = self._exchange_all(together, grads, bound, logged)
        if bound is not None:
            self.total += bound
            self._bound = bound
        for update, own, figures in zip(together, grads, logged, strict=True):
            self._finite = self._finite and math.isfinite(self.total + update.loss.detach())
            for name, value in figures.items():
                self.sums[name] += value.detach() * self._rows
            if update.when is None or bool(update.when):
                self._step(update.name, own)
            if not self._finite and update.name in self.sums:
                self.sums[update.name].fill_(math.nan)  # which names it

    def _losses(self, update: Update) -> dict[str, Tensor]:
        return {update.name: update.loss} if update.name in self.sums else {}

    def _exchange_all(self, together: Any, grads: list[Grads], bound: Any, logged: list[dict[str, Tensor]]) -> tuple:
        """The same of all processes."""
        assert self.exchange is not None
        flat = [grad for own in grads for grad in own if grad is not None]
        means = [value.detach() for figures in logged for value in figures.values()]
        told = self.total.new_zeros((), dtype=torch.float32) if bound is None else bound
        made, told, means, self._rows = self.exchange(flat, told, means)
        left, values = iter(made), iter(means)
        grads = [[None if grad is None else next(left) for grad in own] for own in grads]
        return None if bound is None else told, [{name: next(values) for name in figures} for figures in logged], grads

    def _step(self, name: str, grads: Grads) -> None:
        """Give the parameters their gradients, in their own layout, clip them, and step."""
        if not self._finite:
            return
        params, seen = self.params[name], set()
        for p, grad in zip(params, grads, strict=True):
            if grad is not None and (grad.stride() != p.stride() or grad.data_ptr() in seen):
                grad = torch.empty_like(p).copy_(grad)
            if grad is not None:
                seen.add(grad.data_ptr())
            p.grad = grad
        if self.clip_norm is not None:
            self._finite = math.isfinite(torch.nn.utils.clip_grad_norm_(params, self.clip_norm))
        if self._finite:
            self.optimizers[name].step()

    def _end(self, state: Mapping[Tensor, Tensor]) -> Tensor:
        """Write the state and count the step where all was finite; the mean bound."""
        if not self._finite:
            self.total.fill_(math.nan)
            return self.total.float()
        commit(state)
        self.moves += 1
        assert self._bound is not None
        return self._bound / self._rows


class PyroStep(Step):
    """A :class:`Step` by one of Pyro's own ELBOs, whose loss is a sum over the batch, times a plate's scale; all parameters
    are one update's."""

    def __call__(self, batch: Batches, schedule: Mapping[str, float] | None = None) -> Tensor:
        """Move the parameters by one batch; the mean bound of its data before the move, a 0-d tensor."""
        (batch,) = as_batches(batch)
        self._begin([batch])
        (optimizer,) = self.optimizers.values()
        optimizer.zero_grad(set_to_none=True)
        with (
            parameter_scope(self.model, self.guide),
            pyro.validation_enabled(False),
            precision_context(self.precision, self.model, self.guide),
            ObservedInside() as seen,
            ScaleOf() as scale,
        ):
            loss = self.objective.loss_and_grads(pyro_program(self.model, "model"), pyro_program(self.guide, "guide"), **batch)
        ((name, params),) = self.params.items()
        for p in params:
            if p.grad is not None:
                p.grad /= self._rows * scale.value
        value = torch.as_tensor(loss / scale.value if seen.all_inside else math.nan)
        self._move([Update(name, value, -value.reshape(1))], [[p.grad for p in params]])
        return self._end({})


def as_batches(batch: Batches, count: int = 1) -> list[Mapping[str, Tensor]]:
    """One batch, or several, as a list; OptionError where they are not as many as a step takes."""
    batches = [batch] if isinstance(batch, Mapping) else list(batch)
    if len(batches) != count:
        raise OptionError(f"the step got {len(batches)} batches; expected {count}, as its objective takes: step([a, b]).")
    return batches


def pyro_program(program: Program, name: str) -> Callable[..., Any]:
    """The program, taking the whole batch and telling Pyro of its module's parameters."""

    def run(**batch: Tensor) -> Any:
        for module in modules(program):
            pyro.module(name, module)
        return program(**inputs(program, batch))

    return run
