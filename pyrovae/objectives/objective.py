"""What every objective is: a bound per datum, a surrogate to differentiate, and the face of a Pyro ELBO."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyro.infer
from torch import Tensor, nn

from pyrovae.core.pair import Program
from pyrovae.core.trace import PairTrace, no_density, trace_pair, unknown_sites
from pyrovae.errors import ContractError, OptionError, nearest
from pyrovae.registry import named

__all__ = ["Objective", "Terms", "base_objective", "refuse_sampled"]


class Terms(NamedTuple):
    """What an objective makes of a trace, per datum: (B,) tensors in nats.

    ``bound`` is the value to report; ``surrogate`` is what to differentiate, whose value means nothing.
    """

    bound: Tensor
    surrogate: Tensor


class Objective(pyro.infer.ELBO):
    """A bound on log p(x) per datum with a gradient estimator; a drop-in for Pyro's ELBOs.

    ``loss(model, guide, **batch)`` is minus the bound summed over the batch, as in Pyro; a scale that all sites share
    (N/B of a subsampled plate) multiplies it, and never enters a log-sum-exp.

    Args:
        num_particles: K.

    Attributes:
        bound: on which side of log p(x) the expectation of the reported value lies: lower, upper, estimate for neither, or
            none where what is reported is no estimate of log p(x) at all.
        weights_kl: whether a weight on the KL (beta, warm-up) is right for it.
        networks: parameters and buffers of the objective's own (baselines); None for most.
    """

    bound: str = "lower"
    weights_kl: bool = False
    networks: nn.Module | None = None

    def __init__(self, num_particles: int = 1) -> None:
        self.require("num_particles", num_particles, at_least=1)
        super().__init__(num_particles=num_particles, max_plate_nesting=1, vectorize_particles=True)

    @staticmethod
    def require(name: str, value: Any, at_least: int) -> None:
        """OptionError unless a whole number of at least ``at_least``."""
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise OptionError(f"{name} is {value!r}; expected a whole number of at least {at_least}.")

    def options(self) -> dict[str, Any]:
        """The options that rebuild the objective: its arguments, which it keeps as attributes."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        shown = {k: v for k, v in self.options().items() if v != defaults[k] or k == "num_particles"}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in shown.items())})"

    @abstractmethod
    def terms(self, traced: PairTrace, ramp: float | Tensor = 1.0) -> Terms:
        """The bound and its surrogate from a trace of K particles; ``ramp`` in [0, 1] is the warm-up of the KL's weight."""

    def build(self, batch: Mapping[str, Tensor]) -> None:
        """Make :attr:`networks` for data like this batch, if there are any and they are not made yet."""

    def trace(self, model: Program, guide: Program, batch: Mapping[str, Tensor]) -> PairTrace:
        """Trace the pair with K particles; refuses what this objective would get wrong."""
        return self.admit(model, guide, trace_pair(model, guide, batch, self.num_particles))

    def admit(self, model: Program, guide: Program, traced: PairTrace) -> PairTrace:
        """The trace, unless its latent sites do not match, or are points where a bound needs densities."""
        if message := unknown_sites(model, guide, traced):
            raise ContractError(message)
        if self.bound != "none" and (message := no_density(traced, latent_only=True)):
            raise ContractError(f"{self!r} is a bound on log p(x), and {message} Or train it with objective 'energy'.")
        return traced

    # -------------------------------------------------------------------------------------- the face of a Pyro ELBO
    def _get_trace(self, model: Program, guide: Program, args: tuple, kwargs: dict) -> PairTrace:
        if args:
            raise ContractError(f"{type(self).__name__} takes the batch by name, model(**batch), as in model(x=x).")
        self.build(kwargs)
        if self.networks is not None:  # so that SVI finds the objective's own parameters
            pyro.module(f"objective.{type(self).__name__}", self.networks)
        return self.trace(model, guide, kwargs)

    def differentiable_loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        """Minus the scaled bound summed over the batch, with the estimator's gradient."""
        traced = self._get_trace(model, guide, args, kwargs)
        bound, surrogate = self.terms(traced)
        surrogate = surrogate.sum()
        return -traced.scale * (bound.detach().sum() + (surrogate - surrogate.detach()))

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Minus the scaled bound summed over the batch, in nats."""
        return float(self.differentiable_loss(model, guide, *args, **kwargs).detach())

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """:meth:`loss`, having added its gradient to the parameters'."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())


def base_objective(base: Any, bases: Mapping[str, type[Objective]], owner: str, **options: Any) -> Objective:
    """The objective that another is built on: a name of ``bases``, or a mapping with ``name`` and options."""
    name, given = named(base, f"base of {owner}")
    if name not in bases:
        raise nearest(f"base of {owner}", str(name), bases)
    known = inspect.signature(bases[name]).parameters
    for option in given:
        if option not in known:
            raise nearest(f"option of objective {name}", option, known)
    return bases[name](**{**options, **given})


def refuse_sampled(traced: PairTrace, objective: Objective, instead: str) -> None:
    """ContractError when a site is drawn without reparameterization."""
    if traced.sampled:
        name = traced.sampled[0]
        raise ContractError(
            f"site {name!r} ({traced.guide_sites[name]['fn']}) is drawn without reparameterization, which {objective!r} "
            f"cannot differentiate; {instead}."
        )
