"""The gradients of a step as tensors out of a graph, where something that is not traced moves the parameters by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from pyrovae.compile.step import Grads, Step
from pyrovae.objectives import Update

__all__ = ["GradientStep"]


class GradientStep(Step):
    """A :class:`Step` whose losses and gradients can be traced apart from what moves the parameters."""

    _yields = 0  # of the updates that were traced

    def _trace_gradients(self, batches: list[Mapping[str, Tensor]], between: str) -> tuple[Tensor, ...]:
        """batch -> the bounds' sum, losses, figures, gradients and new state, to be moved by eagerly."""
        results: list[Tensor] = []

        def collect(together: tuple[Update, ...], grads: list[Grads]) -> None:
            self._yields += 1
            if self._yields > 1:
                raise RuntimeError(
                    f"{self.objective!r} yields its updates one after another, and {between} cannot stand between them"
                )
            self._layout = []
            for update, own in zip(together, grads, strict=True):
                bound = [] if update.bound is None else [update.bound.detach().sum().reshape(1)]
                when = [] if update.when is None else [update.when]
                found = [grad for grad in own if grad is not None]
                results.extend([update.loss.detach(), *bound, *when, *(v.detach() for v in update.figures.values()), *found])
                self._layout.append((update.name, bool(bound), bool(when), list(update.figures), [g is not None for g in own]))

        state = self.run_updates(batches, collect)
        self._buffers = list(state)
        return (*results, *state.values())

    def _unpack(self, results: Iterator[Tensor]) -> tuple[list[Update], list[Grads], dict[Tensor, Tensor]]:
        """The updates, gradients and state that the graph of gradients gave."""
        together, grads = [], []
        for name, has_bound, has_when, figures, used in self._layout:
            loss = next(results)
            bound, when = (next(results) if has else None for has in (has_bound, has_when))
            together.append(Update(name, loss, bound, when, {figure: next(results) for figure in figures}))
            grads.append([next(results) if has else None for has in used])
        return together, grads, dict(zip(self._buffers, results, strict=True))
