"""What the steps of a sequence are given: their number, their part of each key, their masks, and the states between them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pyrovae.errors import ContractError

__all__ = ["LENGTHS", "Over", "Plan", "State", "StepModule", "arguments_of"]

State = dict[str, Tensor]
StepModule = Any  # an nn.Module with ``init`` and ``step``, which nn.Module's own types do not know
LENGTHS = "lengths"  # key of the number of steps of each datum


def arguments_of(method: Callable[..., Any], skip: int = 0) -> dict[str, inspect.Parameter]:
    """What a method takes by name, less its first arguments."""
    found = list(inspect.signature(method).parameters.items())[skip:]
    for name, each in found:
        if each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            raise ContractError(f"{method.__qualname__} takes {name!r} of no fixed name; name the keys that it takes.")
    return dict(found)


def _pick(method: Callable[..., Any], batch: Mapping[str, Tensor], skip: int = 0) -> dict[str, Tensor]:
    return {name: batch[name] for name in arguments_of(method, skip) if name in batch}


def _state(made: Any, who: StepModule, method: str, expected: set[str] | None = None) -> dict[str, Any]:
    """What ``init`` or ``step`` returned, a dict of tensors of the names that are expected."""
    if not isinstance(made, Mapping):
        raise ContractError(
            f"{type(who).__name__}.{method} returns {type(made).__name__}; expected the state, a dict of tensors, {{}} for "
            "none."
        )
    if expected is not None and set(made) != expected:
        raise ContractError(
            f"{type(who).__name__}.step returns the state {sorted(made)}, and init gave {sorted(expected)}; return the same."
        )
    return dict(made)


class Over:
    """A value of each step: T tensors, or one with the steps first; each form is made when it is asked for."""

    def __init__(self, stacked: Tensor | None = None, steps: Sequence[Tensor] | None = None) -> None:
        self._stacked, self._steps = stacked, steps

    @property
    def stacked(self) -> Tensor:
        """(T, ...)."""
        if self._stacked is None:
            assert self._steps is not None
            self._stacked = torch.stack(list(self._steps))
        return self._stacked

    @property
    def steps(self) -> Sequence[Tensor]:
        """T tensors."""
        if self._steps is None:
            assert self._stacked is not None
            self._steps = self._stacked.unbind(0)
        return self._steps

    @classmethod
    def of(cls, value: Tensor) -> Over:
        """Of (B, T, ...), cut once for all steps: T slices would each have a gradient of the whole's size."""
        return cls(value.movedim(1, 0))


class Plan:
    """What the steps of one batch are given: how many there are, the masks, and the inputs of each.

    Args:
        model, guide: step modules; the guide may be left out.
        batch: tensors with a first dimension of B.

    Attributes:
        size: B.
        num_steps: T.
    """

    def __init__(self, model: StepModule, guide: StepModule | None, batch: Mapping[str, Tensor]) -> None:
        self.model, self.guide, self.batch = model, guide, batch
        self.whole = getattr(model, "num_steps", None)  # where no key has an axis of steps
        self.keys = {who: _pick(who.step, batch, 1) for who in (model, guide) if who is not None}
        key = next(iter(self.keys[model]), None)
        if self.whole is None and (key is None or batch[key].dim() < 2):
            came = "no key" if key is None else f"{key!r} of shape {tuple(batch[key].shape)}"
            raise ContractError(
                f"{type(model).__name__}.step takes {came}, so that nobody knows how many steps there are; let it take a "
                "key (B, T, ...), or give num_steps."
            )
        self.num_steps: int = self.whole or batch[str(key)].shape[1]
        self.size = len(next(iter(batch.values())))
        self.lengths = None if self.whole else batch.get(LENGTHS)
        self.each: dict[Any, dict[str, Over]] = {}
        self.cut: dict[Any, dict[str, Over]] = {}
        if not self.whole:
            self.cut = {who: {name: Over.of(value) for name, value in keys.items()} for who, keys in self.keys.items()}
        self.event_dims: dict[str, int] = {}  # of a datum's state

    def start(self) -> tuple[State, State]:
        """The states of model and guide before the first step."""
        first = self._start(self.model)
        return first, {} if self.guide is None else self._start(self.guide, first)

    def _start(self, who: StepModule, others: Mapping[str, Tensor] = {}) -> State:
        made = _state(who.init(**_pick(who.init, self.batch)), who, "init")
        self.each[who] = {name: Over.of(value) for name, value in made.pop("each", {}).items()}
        for name, value in made.items():
            if value.dim() == 0 or len(value) != self.size:
                raise ContractError(
                    f"{type(who).__name__}.init gives the state {name!r} the shape {tuple(value.shape)}; expected (B, ...), "
                    f"with B = {self.size} data first."
                )
        self.event_dims |= {name: value.dim() - 1 for name, value in made.items()}
        taken = {*others, *self.each.get(self.model, {})} if who is not self.model else set()
        if both := taken & {*made, *self.each[who]}:
            raise ContractError(
                f"both programs have a state {sorted(both)[0]!r}; the guide reads the model's, so rename its own."
            )
        return made

    def inputs(self, who: StepModule, t: int) -> dict[str, Tensor]:
        """The keys that a step takes, (B, ...)."""
        return dict(self.keys[who]) if self.whole else {name: values.steps[t] for name, values in self.cut[who].items()}

    def each_at(self, who: StepModule, t: int) -> State:
        """What ``init`` gave for each step, at step t."""
        return {name: values.steps[t] for name, values in self.each[who].items()}

    def mask(self, t: int) -> Tensor | None:
        """Which data have a step t, (B,); None where all have."""
        return None if self.lengths is None else t < self.lengths

    def over(self, who: StepModule) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What ``init`` gave, and the keys, of all steps, (T, B, ...); whole keys as they are."""
        each = {name: values.stacked for name, values in self.each[who].items()}
        return each, dict(self.keys[who]) if self.whole else {name: values.stacked for name, values in self.cut[who].items()}

    def masks(self) -> Tensor | None:
        """Which data have which step, (T, B); None where all have."""
        if self.lengths is None:
            return None
        return torch.arange(self.num_steps, device=self.lengths.device).unsqueeze(1) < self.lengths

    def step(self, who: StepModule, carried: State, seen: State, inputs: Mapping[str, Tensor]) -> State:
        """One step of model or guide: its next state."""
        made = who.step({**seen, **carried}, **inputs)
        return _state(made, who, "step", set(carried))

    def kept(self, old: State, new: State, mask: Tensor | None) -> State:
        """The state after a step; as it was, of data that have ended, where ``last`` reads it."""
        if mask is None or not hasattr(self.model, "last"):
            return new
        lies = {name: mask.reshape(-1, *[1] * self.event_dims[name]) for name in new}
        return {name: torch.where(lies[name], value, old[name]) for name, value in new.items()}

    def last_inputs(self) -> dict[str, Tensor]:
        """The keys that ``last`` takes."""
        return _pick(self.model.last, self.batch, 1)
