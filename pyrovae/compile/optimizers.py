"""Optimizers and schedulers by their torch names, or as objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro.optim import PyroOptim
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from pyrovae.errors import OptionError, nearest
from pyrovae.registry import parse_choice

__all__ = ["build_optimizer", "build_optimizers", "build_scheduler"]

OptimizerLike = str | Optimizer | Callable[..., Optimizer]
SchedulerLike = str | lr_scheduler.LRScheduler | Callable[[Optimizer], Any] | None


def _by_name(kind: str, name: str, module: Any, base: type) -> Any:
    known = {n: c for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, base) and c is not base}
    found = {n.lower(): c for n, c in known.items()}.get(name.lower())
    if found is None:
        raise nearest(kind, name, known)
    return found


def build_optimizer(optimizer: OptimizerLike, params: list[Tensor], lr: float | None, options: Mapping[str, Any]) -> Optimizer:
    """One optimizer over all parameters, fused where torch has a fused kernel.

    Args:
        optimizer: a name in ``torch.optim``, a callable (class or function) of the parameters, or an optimizer of them.
        params: the leaf tensors to train.
        lr: learning rate; None for the optimizer's own.
        options: further arguments of a named optimizer.
    """
    if isinstance(optimizer, Optimizer):
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        missing = [p for p in params if id(p) not in held]
        if missing:
            raise OptionError(
                f"the optimizer given holds {len(held)} tensors and lacks {len(missing)} of the pair's {len(params)} "
                "parameters; build it from pyrovae.core.parameters.parameters(model, guide).values()."
            )
        return optimizer
    if isinstance(optimizer, PyroOptim):
        name, given = optimizer.pt_optim_constructor.__name__, optimizer.pt_optim_args
        raise OptionError(
            f"optimizer is Pyro's {name}; give torch.optim's by name with its options, optimizer={name!r}, lr=..., "
            f"optimizer_options=... (Pyro's had {given})."
        )
    if callable(optimizer):
        made = optimizer(params)
        if not isinstance(made, Optimizer):
            raise OptionError(f"optimizer {optimizer!r} gives a {type(made).__name__}; expected one of torch.optim.")
        return made
    if not isinstance(optimizer, str):
        raise OptionError(f"optimizer is {optimizer!r}; expected a name in torch.optim, a callable of the parameters, or one.")
    make = _by_name("optimizer", optimizer, torch.optim, Optimizer)
    if make in (torch.optim.LBFGS, torch.optim.SparseAdam):
        raise OptionError(f"optimizer {make.__name__} does not train pairs: it needs a closure or sparse gradients; use Adam.")
    known = inspect.signature(make).parameters
    for option in options:
        if option not in known:
            raise nearest(f"option of optimizer {make.__name__}", option, [n for n in known if n != "params"])
    settings = {**({} if lr is None else {"lr": lr}), **options}
    if "fused" in known and not settings.get("foreach") and all(p.device.type in ("cpu", "cuda") for p in params):
        settings.setdefault("fused", True)
    try:
        return make(params, **settings)
    except (TypeError, ValueError) as error:
        raise OptionError(f"optimizer {make.__name__}({settings}) is refused by torch: {error}.") from error


def build_optimizers(
    objective: Any,
    params: Mapping[str, list[Tensor]],
    optimizer: OptimizerLike,
    lr: float | None,
    options: Mapping[str, Any] | None,
    own: Mapping[str, Any] | None,
) -> dict[str, Optimizer]:
    """One optimizer for each update.

    Args:
        objective: whose ``optimizers`` are used where ``own`` says nothing.
        params: the parameters that each update moves.
        optimizer: as for :func:`build_optimizer`, where neither says anything.
        lr: likewise.
        options: likewise.
        own: update -> ``{"name": "SGD", "lr": 0.1, "momentum": 0.9}`` (any part of it), ``"SGD:lr=0.1"``, or what
            :func:`build_optimizer` takes.

    Raises:
        OptionError: an update that is not known, an option that an optimizer lacks, one optimizer object for several updates.
    """
    for update in own or {}:
        if update not in params:
            raise nearest(f"update of {objective!r}", update, params)
    made = {}
    for update, tensors in params.items():
        name, settings = optimizer, {"lr": lr, **(options or {})}
        for chosen in (getattr(objective, "optimizers", {}).get(update), (own or {}).get(update)):
            if chosen is None:
                continue
            if isinstance(chosen, (str, Mapping)):
                new, given = parse_choice(chosen, f"optimizer of {update}")
            else:
                new, given = chosen, {}
            if new is not None and new != name:
                name, settings = new, {"lr": settings["lr"]}  # options of another optimizer are none of this one's
            settings |= given
        if isinstance(name, Optimizer) and len(params) > 1 and name is optimizer:
            raise OptionError(
                f"optimizer is one object, and {objective!r} makes the updates {', '.join(params)}, each with an optimizer of "
                "its own; give a name, a callable, or optimizers={update: ...}."
            )
        made[update] = build_optimizer(name, tensors, settings.pop("lr"), settings)
    return made


def build_scheduler(scheduler: SchedulerLike, optimizer: Optimizer, options: Mapping[str, Any]) -> Any:
    """A learning-rate scheduler: a name in ``torch.optim.lr_scheduler``, a callable of the optimizer, an object, or None."""
    if scheduler is None or isinstance(scheduler, lr_scheduler.LRScheduler):
        return scheduler
    if callable(scheduler):
        return scheduler(optimizer)
    make = _by_name("scheduler", scheduler, lr_scheduler, lr_scheduler.LRScheduler)
    try:
        return make(optimizer, **options)
    except (TypeError, ValueError) as error:
        raise OptionError(f"scheduler {make.__name__}({dict(options)}): {error}") from error
