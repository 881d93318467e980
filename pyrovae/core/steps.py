"""Sequences in steps: what a model and a guide do at each step, as an ordinary pair and as one pass of K particles.

A *step module* has ``init(...)``, which takes keys of the batch by name and gives the state before the first step, and
``step(state, ...)``, which takes keys at its own step, declares sites and gives the next state. No plate, no loop, no time in
a name: :func:`unroll` makes ordinary programs of two of them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pyro
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from pyrovae.calls import public
from pyrovae.core.pair import Pair
from pyrovae.core.step_plan import LENGTHS, Plan, StepModule, arguments_of
from pyrovae.errors import ContractError

__all__ = ["StepGuide", "StepModel", "at_step", "plain_name", "unroll"]


def plain_name(name: str) -> str:
    """The name of a site within its step.

    >>> plain_name("z_12"), plain_name("x_3"), plain_name("y")
    ('z', 'x', 'y')
    """
    return re.sub(r"_\d+$", "", name)


class _Numbered(Messenger):
    """Sites within it bear the number of their step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _pyro_sample(self, msg: Any) -> None:
        if not site_is_subsample(msg):
            if msg["name"].endswith(("_observed", "_unobserved")):
                raise ContractError(
                    f"site {msg['name']!r} of a step is part of a site with obs_mask, which steps do not take; mask the "
                    "distribution, fn.mask(...)."
                )
            msg["name"] = f"{msg['name']}_{self.step}"


class _Replayed(Messenger):
    """Runs a step of the model for its state alone: latent sites hold the guide's draws, and nobody else sees them."""

    def __init__(self, drawn: poutine.Trace) -> None:
        super().__init__()
        self.drawn = drawn

    def _pyro_sample(self, msg: Any) -> None:
        msg["stop"] = True
        if msg["is_observed"]:
            return
        if msg["name"] not in self.drawn.nodes:
            raise ContractError(
                f"latent site {plain_name(msg['name'])!r} of the model's step has no counterpart in the guide's; give the "
                "site the same name in both."
            )
        msg["value"], msg["done"] = self.drawn.nodes[msg["name"]]["value"], True


@contextmanager
def at_step(number: int | None, mask: Tensor | None) -> Iterator[None]:
    """Sites within it bear the step's number, counted from 1, and score where the mask, (B,), is true."""
    with ExitStack() as stack:
        if mask is not None:
            stack.enter_context(poutine.mask(mask=cast(Any, mask)))
        if number is not None:
            stack.enter_context(_Numbered(number))
        yield


class StepModel(nn.Module):
    """The ordinary program of a model that is given by its steps: sites ``z_1``, ``x_1``, ..., ``z_T``, ``x_T``, (B,) each.

    Args:
        own: the step module.
    """

    def __init__(self, own: StepModule) -> None:
        super().__init__()
        self.own: StepModule = own
        self.__signature__, self.__qualname__ = _signature(own), type(own).__name__  # its name in messages

    def forward(self, **batch: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        plan = Plan(self.own, None, batch)
        with pyro.plate("data", plan.size, dim=-1):
            state, _ = plan.start()
            for t in range(plan.num_steps):
                with at_step(t + 1, plan.mask(t)):
                    made = plan.step(self.own, state, plan.each_at(self.own, t), plan.inputs(self.own, t))
                state = plan.kept(state, made, plan.mask(t))
            if hasattr(self.own, "last"):
                self.own.last(state, **plan.last_inputs())


class StepGuide(nn.Module):
    """The ordinary program of a guide that is given by its steps, each of which sees the model's state and its own.

    The model's steps are run beside it, on its draws, for their state. It holds the model, but none of its parameters.

    Args:
        own: the step module.
        model: the model's program.
    """

    def __init__(self, own: StepModule, model: StepModel) -> None:
        super().__init__()
        self.own: StepModule = own
        self._beside = (model,)  # in a tuple, so that its parameters are not the guide's
        self.__signature__, self.__qualname__ = _signature(own, model.own), type(own).__name__

    @property
    def model(self) -> StepModel:
        """The model's program."""
        return self._beside[0]

    def forward(self, **batch: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        model = self.model.own
        plan = Plan(model, self.own, batch)
        with pyro.plate("data", plan.size, dim=-1):
            state, own = plan.start()
            for t in range(plan.num_steps):
                each, inputs = plan.each_at(model, t), plan.inputs(model, t)
                with at_step(t + 1, plan.mask(t)), poutine.trace() as drawn:
                    seen = {**each, **state, **plan.each_at(self.own, t)}
                    made = plan.step(self.own, own, seen, plan.inputs(self.own, t))
                with _Replayed(drawn.trace), at_step(t + 1, None):
                    state = plan.kept(state, plan.step(model, state, each, inputs), plan.mask(t))
                own = plan.kept(own, made, plan.mask(t))


def _signature(*modules: StepModule) -> inspect.Signature:
    """What the programs of step modules take: all that their methods name, and ``lengths``."""
    found: dict[str, bool] = {}
    for each in modules:
        if missing := [name for name in ("init", "step") if not callable(getattr(each, name, None))]:
            raise ContractError(
                f"{type(each).__name__} has no method {missing[0]}; a step module has init(x) and step(state, x), and a whole "
                "program needs no unroll."
            )
        for method, skip in ((each.init, 0), (each.step, 1), (getattr(each, "last", None), 1)):
            for name, parameter in {} if method is None else arguments_of(method, skip).items():
                found[name] = found.get(name, False) or parameter.default is parameter.empty
    found[LENGTHS] = found.get(LENGTHS, False)
    kinds = ((name, inspect.Parameter.empty if needed else None) for name, needed in found.items())
    by_name = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature([inspect.Parameter(name, by_name, default=default) for name, default in kinds])


@public()
def unroll(model: StepModule, guide: StepModule, objective: Any = "elbo") -> Pair:
    """The ordinary pair of two step modules: one plate of data, sites ``z_1``, ``x_1``, ..., ``z_T``, ``x_T``.

        p(x, z) = prod_t p(z_t | s_t) p(x_t | z_t, s_t),   s_t+1 = step(s_t, x_t),   q(z | x) = prod_t q(z_t | s_t, x)

    A step module has

        init(x, ...)         the state before the first step, a dict of tensors (B, *event). Tensors (B, T, *event) under
                             the name ``each`` are cut: a step finds its own in the state (a backward RNN's output).
        step(state, x, ...)  declares the step's sites, with ``.to_event``, and returns the next state, of the same names.
                             x is (B, *event), the step's own; states are (..., B, *event), particles to the left.
        last(state, x, ...)  of the model, if there is one: sites that are observed once, after the last step.
        num_steps            T, where the keys have no axis of steps; a step then gets whole keys.

    The guide's step reads the model's state beside its own. Of data with the key ``lengths``, (B,), steps beyond have scores
    of zero, whatever values they hold, and where ``last`` is, its state is that of the datum's own last step. Objectives that
    need only scores run model and guide side by side (:func:`~pyrovae.core.step_run.trace_steps`).

    Args:
        model: the step module of p.
        guide: that of q; networks that both need are built once and given to both.
        objective: which usually trains the pair.

    Raises:
        ContractError: a module lacks a method.

    >>> from pyrovae import data, pairs
    >>> pair = pairs.vrnn(data.DataSpec("toy", (2, 3), "binary"))  # unrolls its two modules
    >>> import torch
    >>> [name for name in poutine.trace(pair.model).get_trace(x=torch.zeros(4, 2, 3)).nodes if name[0] in "zx"]
    ['z_1', 'x_1', 'z_2', 'x_2']
    """
    program = StepModel(model)
    return Pair(program, StepGuide(guide, program), objective)
