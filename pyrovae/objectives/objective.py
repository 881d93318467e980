"""What every objective is: updates of named groups of parameters, in order, and the face of a Pyro ELBO."""

from __future__ import annotations

import inspect
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyro.infer
import torch
from torch import Tensor, nn

from pyrovae.core.messages import mismatch_message, no_density
from pyrovae.core.program import Program
from pyrovae.core.sites import ScaleOf, Site, sample_sites
from pyrovae.core.step_run import in_steps, trace_steps
from pyrovae.core.trace import PairTrace, run_program, trace_pair
from pyrovae.errors import ContractError, OptionError

__all__ = ["Given", "Objective", "Terms", "Update", "Updates", "as_updates", "refuse_sampled"]


class Terms(NamedTuple):
    """What the usual objective makes of a trace, per datum: (B,) tensors in nats.

    Attributes:
        bound: the value to report.
        surrogate: what is differentiated; its value means nothing.
        state: buffers of the objective's networks -> their values after the step.
    """

    bound: Tensor
    surrogate: Tensor
    state: Mapping[Tensor, Tensor] = {}


class Update(NamedTuple):
    """One loss and the group of parameters that it moves.

    Attributes:
        name: key of :attr:`Objective.moves`: whose optimizer steps, and what the loss is logged as.
        loss: 0-d; differentiated with respect to the parameters of ``moves[name]`` alone.
        bound: (B,), the value to report, in nats per datum; one update of a step bears it.
        when: 0-d, 0 or 1: at 0 parameters and optimizer stay bitwise as they are.
        figures: 0-d tensors to log, by name.
    """

    name: str
    loss: Tensor
    bound: Tensor | None = None
    when: Tensor | None = None
    figures: Mapping[str, Tensor] = {}


@dataclass(frozen=True)
class Given:
    """All that an objective gets for one step; never mutated, wrapped with :func:`dataclasses.replace`.

    Attributes:
        model, guide: the two programs.
        batches: independent batches, (B, *shape) an entry, as many as the objective's ``num_batches``.
        schedule: option -> its value at this step, 0-d; only options that are scheduled.
        params: the parameters of each update, for losses that are made of gradients.
        data_size: N, for objectives of the aggregate posterior.
    """

    model: Program
    guide: Program
    batches: Sequence[Mapping[str, Tensor]]
    schedule: Mapping[str, Tensor] = field(default_factory=dict)
    params: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    data_size: int | None = None

    @property
    def batch(self) -> Mapping[str, Tensor]:
        """The first batch."""
        return self.batches[0]


Updates = Generator[Update | Sequence[Update], None, Mapping[Tensor, Tensor] | None]


class Objective(pyro.infer.ELBO):
    """What trains a pair: updates, each a loss and the parameters that it moves. A drop-in for Pyro's ELBOs.

    Most objectives are a bound on log p(x) per datum with a gradient estimator and write :meth:`terms` alone. Others
    override :meth:`updates`, a generator: what it yields together is differentiated at the same parameters, what it yields
    later sees them moved, and what it returns, {buffer: new value}, is written once at the end of the step.

    ``loss(model, guide, **batch)`` is minus the bound summed over the batch, as in Pyro; a scale that all sites share
    (N/B of a subsampled plate) multiplies it, and never enters a log-sum-exp.

    Args:
        num_particles: K.

    Attributes:
        moves: update -> prefixes of the names of the parameters that it moves.
        optimizers: update -> optimizer of the paper (``name`` and options), under ``fit(optimizers=...)``.
        num_batches: how many independent batches a step takes.
        bound: on which side of log p(x) the expectation of the reported value lies: lower, upper, estimate for neither, or
            none where what is reported is no estimate of log p(x) at all.
        separable: whether the loss of a batch is the mean of its rows' losses.
        weights_kl: whether a weight on the KL (beta, warmup) is right for it.
        takes_guide_factors: whether ``pyro.factor`` terms of the guide are part of it.
        relaxes: whether training sees soft values of discrete sites.
        scores_guide: whether log q is part of it, so that the guide needs a density.
        scores_latents: whether log p of a latent site is part of it; where not, what is observed is scored alone, and a latent
            may have a value that its prior could not.
        networks: parameters and buffers of the objective's own (discriminators, baselines); None for most.
    """

    moves: Mapping[str, Sequence[str]] = {"pair": ("model", "guide", "objective")}
    optimizers: Mapping[str, Mapping[str, Any]] = {}
    num_batches: int = 1
    bound: str = "lower"
    separable: bool = True
    weights_kl: bool = False
    takes_guide_factors: bool = False
    relaxes: bool = False
    scores_guide: bool = True
    scores_latents: bool = True
    networks: nn.Module | None = None

    def __init__(self, num_particles: int = 1) -> None:
        self.require("num_particles", num_particles, at_least=1)
        super().__init__(num_particles=num_particles, max_plate_nesting=1, vectorize_particles=True)  # type: ignore[no-untyped-call]  # Pyro's

    @staticmethod
    def require(name: str, value: Any, at_least: int) -> None:
        """OptionError unless a whole number of at least ``at_least``."""
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise OptionError(f"{name} is {value!r}; expected a whole number of at least {at_least}.")

    @staticmethod
    def require_weight(name: str, value: Any) -> None:
        """OptionError unless a finite number of at least 0."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            raise OptionError(f"{name} is {value!r}; expected a number of at least 0.")

    def options(self) -> dict[str, Any]:
        """The options that rebuild the objective: its arguments, which it keeps as attributes."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        shown = {k: v for k, v in self.options().items() if v != defaults[k] or k == "num_particles"}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in shown.items())})"

    @property
    def weights(self) -> dict[str, float]:
        """The numeric options that a schedule may change, with their values; each is logged under its own name."""
        return {}

    def with_weight(self, name: str, value: float) -> Objective:
        """An objective of the same options but this one; OptionError where it refuses the value."""
        return type(self)(**{**self.options(), name: value})

    # ------------------------------------------------------------------------------------------ what objectives write
    @property
    def lacks_networks(self) -> bool:
        """Whether :meth:`build` has networks to make."""
        return False

    def observe_data(self, data: Any, num_processes: int) -> None:
        """Take note of the training data: before the objective is prepared, by 0 processes, and before training by all."""

    def begin(self, model: Program, guide: Program, batches: Iterable[Mapping[str, Tensor]]) -> None:
        """Set what starts at the training data, batches of all of them, before a run's first step; a resumed run has it."""

    def build(self, traced: PairTrace) -> None:
        """Make :attr:`networks` for a pair and data like these, if there are any and they are not made yet."""

    def trace(self, given: Given, batch: int = 0) -> PairTrace:
        """Trace the pair on one of the batches with K particles; refuses what this objective would get wrong."""
        run = trace_steps if in_steps(given.model, given.guide, given.batches[batch]) else trace_pair
        return self.admit(given, run(given.model, given.guide, given.batches[batch], self.num_particles))

    def prior(self, given: Given) -> dict[str, Site]:
        """The model's sites run on its own draws, x drawn too, (K, B, *event)."""
        with pyro.poutine.uncondition():
            return sample_sites(run_program(given.model, given.batch, self.num_particles))

    def terms(self, traced: PairTrace, schedule: Mapping[str, Tensor] = {}) -> Terms:
        """The bound and its surrogate from a trace of K particles, at the scheduled values of options."""
        raise NotImplementedError(f"{type(self).__name__} is made of updates and has no terms of one trace.")

    def updates(self, given: Given) -> Updates:
        """Yield updates, or sequences of updates at the same parameters; return the buffers' new values."""
        traced = self.trace(given)
        bound, surrogate, state = self.terms(traced, given.schedule)
        yield Update("pair", -surrogate.mean(), bound)
        return {**state, **traced.next_state()}

    # ------------------------------------------------------------------------------------------ what is made of them
    def value(self, given: Given) -> Tensor:
        """The bound that the updates report, (B,), in nats per datum; no parameter moves."""
        for yielded in self.updates(given):
            for update in as_updates(yielded):
                if update.bound is not None:
                    return update.bound
        raise ContractError(f"{self!r} yields no update with a bound, so there is nothing to report.")

    def evaluate(self, model: Program, guide: Program, batch: Mapping[str, Tensor]) -> Tensor:
        """:meth:`value` of a pair on one batch, which stands in for further ones."""
        return self.value(Given(model, guide, [batch] * self.num_batches))

    def epoch_figures(self, given: Given) -> dict[str, Tensor]:
        """What to measure and log at the end of an epoch, 0-d, on a batch of validation data; no parameter moves."""
        return {}

    def admit(self, given: Given, traced: PairTrace) -> PairTrace:
        """The trace, unless its latent sites do not match, or are points where a bound needs densities."""
        if message := mismatch_message(given.model, given.guide, traced):
            raise ContractError(message)
        if self.bound != "none" and self.scores_guide and (message := no_density(traced, latent_only=True)):
            raise ContractError(f"{self!r} is a bound on log p(x), and {message} Or train it with objective 'energy'.")
        if traced.guide_factors is not None and not self.takes_guide_factors:
            raise ContractError(f"the guide has a pyro.factor, a loss of its own, which {self!r} would leave out; use 'elbo'.")
        return traced

    # -------------------------------------------------------------------------------------- the face of a Pyro ELBO
    def _get_trace(self, model: Program, guide: Program, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PairTrace:
        if args:
            raise ContractError(f"{type(self).__name__} takes the batch by name, model(**batch), as in model(x=x).")
        return self.trace(Given(model, guide, [kwargs]))

    def differentiable_loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        """Minus the scaled bound summed over the batch, with the estimator's gradient; of objectives of one update alone."""
        if args:
            raise ContractError(f"{type(self).__name__} takes the batch by name, model(**batch), as in model(x=x).")
        if len(self.moves) > 1 or self.num_batches > 1:
            raise ContractError(f"{self!r} is made of several updates, and SVI makes one: train with pyrovae.fit.")
        given = Given(model, guide, [kwargs])
        if self.lacks_networks:
            devices = sorted({value.device.index or 0 for value in kwargs.values() if value.device.type == "cuda"})
            with torch.no_grad(), torch.random.fork_rng(devices=devices):  # the loss draws what it would without
                self.build(self.trace(given))
        if self.networks is not None:  # so that SVI finds the objective's own parameters
            pyro.module(f"objective.{type(self).__name__}", self.networks)
        updates = self.updates(given)
        with ScaleOf() as scale:
            update = only_update(next(updates), self)
        state = finish(updates, self)
        if torch.is_grad_enabled():
            commit(state)
        loss = update.loss * len(update.bound)
        value: Tensor = scale.value * (loss - loss.detach() - update.bound.detach().sum())
        return value

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Minus the scaled bound summed over the batch, in nats."""
        return float(self.differentiable_loss(model, guide, *args, **kwargs).detach())

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """:meth:`loss`, having added its gradient to the parameters'."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())


def as_updates(yielded: Update | Sequence[Update]) -> tuple[Update, ...]:
    """The updates that were yielded together."""
    return (yielded,) if isinstance(yielded, Update) else tuple(yielded)


def only_update(yielded: Update | Sequence[Update], objective: Objective) -> Any:
    """The one update that was yielded, with its bound; ContractError where there are more."""
    update, *others = as_updates(yielded)
    if others or update.bound is None or update.when is not None:
        raise ContractError(f"{objective!r} is more than one update with a bound: train with pyrovae.fit.")
    return update


def finish(updates: Updates, objective: Objective) -> Mapping[Tensor, Tensor]:
    """What the updates return after the first; ContractError where a second one follows."""
    try:
        next(updates)
    except StopIteration as end:
        return end.value or {}
    raise ContractError(f"{objective!r} yields updates one after another: train with pyrovae.fit.")


@torch.no_grad()
def commit(state: Mapping[Tensor, Tensor]) -> None:
    """Write the new values of buffers."""
    for buffer, value in state.items():
        buffer.copy_(value)


def refuse_sampled(traced: PairTrace, objective: Objective, instead: str) -> None:
    """ContractError when a site is drawn without reparameterization."""
    if traced.sampled:
        name = traced.sampled[0]
        raise ContractError(
            f"site {name!r} ({traced.guide_sites[name]['fn']}) is drawn without reparameterization, which {objective!r} "
            f"cannot differentiate; {instead}."
        )
