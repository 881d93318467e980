"""The parameters and buffers that are a pair's own.

Pyro keeps the parameters of functions in one global store, by name; here every pair that is trained gets a store of its own,
so that many pairs live in one process.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import pyro
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyrovae.core.program import Program, inputs, owner_of
from pyrovae.errors import ContractError

__all__ = [
    "adopt",
    "buffers",
    "note_askers",
    "owned_parameters",
    "parameter_scope",
    "parameters",
    "set_store",
    "shadowed_parameter",
    "store_of",
    "take_over",
]

# keyed weakly by owner
_STORES: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()
_ASKERS: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


def store_of(program: Program) -> dict[str, Any] | None:
    """The store that a program was given by :func:`adopt`."""
    return _STORES.get(owner_of(program))


def set_store(store: dict[str, Any], *programs: Program) -> None:
    """Give programs a store that is theirs already, as a copy's is."""
    for program in programs:
        _STORES[owner_of(program)] = store


def adopt(model: Program, guide: Program) -> None:
    """Give the two programs one parameter store of their own, in place of Pyro's global one, from now on."""
    stores = [_STORES[owner] for owner in (owner_of(model), owner_of(guide)) if owner in _STORES]
    store = stores[0] if stores else {"params": {}, "constraints": {}}
    for other in stores[1:]:
        for name, value in other["params"].items():
            if store["params"].setdefault(name, value) is not value:
                raise ContractError(
                    f"model and guide were trained apart and both own a parameter {name!r}; rename one of them."
                )
        store["constraints"] = {**other["constraints"], **store["constraints"]}
    for program in (model, guide):
        _STORES[owner_of(program)] = store


def take_over(model: Program, guide: Program, batch: Mapping[str, Tensor]) -> list[str]:
    """:func:`adopt`, going on from what Pyro's own store holds of the parameters that the programs ask for; their names.

    They stay the tensors that they are, so that Pyro's store sees them trained.
    """
    new = not any(owner_of(program) in _STORES for program in (model, guide))
    held = cast(Any, pyro.get_param_store().get_state())
    asked: set[str] = set()
    if new and held["params"] and not any(isinstance(owner_of(each), PyroModule) for each in (model, guide)):
        state = {"params": dict(held["params"]), "constraints": dict(held["constraints"])}
        with pyro.get_param_store().scope(cast(Any, state)), torch.random.fork_rng(), torch.no_grad():
            for program in (guide, model):
                try:
                    trace = pyro.poutine.trace(program).get_trace(**inputs(program, batch))
                except Exception:  # of which the check of the pair speaks
                    continue
                asked |= {name for name, node in trace.nodes.items() if node["type"] == "param"}
    adopt(model, guide)
    names = sorted(asked & held["params"].keys())
    _STORES[owner_of(model)]["params"] |= {name: held["params"][name] for name in names}
    _STORES[owner_of(model)]["constraints"] |= {name: held["constraints"][name] for name in names}
    return names


@contextmanager
def parameter_scope(*programs: Program, fresh: bool = False) -> Iterator[None]:
    """Within it, ``pyro.param`` and ``pyro.module`` reach the store of the programs.

    Before training that is Pyro's own, or with ``fresh`` an empty one that is thrown away: Pyro's may hold another module of
    the same name, whose parameters ``pyro.module`` would put into this one. A PyroModule's parameters are its own, so it
    never needs Pyro's store, where modules of one class would share names.
    """
    owners = [owner_of(program) for program in programs]
    store = next((_STORES[owner] for owner in owners if owner in _STORES), None)
    if store is None and any(isinstance(owner, PyroModule) for owner in owners):
        adopt(programs[0], programs[-1])
        store = _STORES[owners[0]]
    if store is None and not fresh:
        yield
    else:
        with pyro.get_param_store().scope(cast(Any, store)):
            yield


def shadowed_parameter(*programs: Program) -> str | None:
    """The name of a PyroModule's parameter that the store holds another tensor for, within :func:`parameter_scope`."""
    store = pyro.get_param_store()
    held = dict(store.named_parameters())
    for owner in map(owner_of, programs):
        for name, tensor in owner.named_parameters() if isinstance(owner, PyroModule) else ():
            name = ".".join(filter(None, [owner._pyro_name, name.removesuffix("_unconstrained")]))
            if held.get(name, tensor) is not tensor:
                return name
    return None


def _tensors(programs: tuple[Program, ...], kind: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for label, program in zip(("model", "guide"), programs, strict=True):
        owner = owner_of(program)
        if isinstance(owner, nn.Module):
            for name, tensor in getattr(owner, f"named_{kind}")():
                found[f"{label}.{name}"] = tensor
    if kind == "parameters":
        for owner in map(owner_of, programs):
            for name, tensor in _STORES.get(owner, {"params": {}})["params"].items():
                found[f"param.{name}"] = tensor
    seen: set[int] = set()
    return {n: t for n, t in found.items() if not (id(t) in seen or seen.add(id(t)))}  # type: ignore[func-returns-value]


def parameters(model: Program, guide: Program) -> dict[str, Tensor]:
    """The trainable leaf tensors of both programs by name, shared ones once; constrained ones unconstrained.

    Parameters that a program makes with ``pyro.param`` appear once the programs have been run after :func:`adopt`.
    """
    return _tensors((model, guide), "parameters")


def owned_parameters(model: Program, guide: Program) -> list[tuple[str, Tensor]]:
    """The trainable leaf tensors under every name that they have: one that both programs hold has one in each.

    Those that a program makes with ``pyro.param`` lie in a store that the two share: they are ``model.``, ``guide.`` or both,
    by who asks for them (:func:`note_askers`); before anybody has looked they are both.
    """
    found: list[tuple[str, Tensor]] = []
    for label, owner in (("model", owner_of(model)), ("guide", owner_of(guide))):
        if isinstance(owner, nn.Module):
            found += [(f"{label}.{name}", p) for name, p in owner.named_parameters(remove_duplicate=False)]
        for name, tensor in _STORES.get(owner, {"params": {}})["params"].items():
            askers = _ASKERS.get(owner)
            if askers is None or name in askers:
                found.append((f"{label}.{name}", tensor))
    return found


def note_askers(program: Program, batch: Mapping[str, Tensor]) -> None:
    """Run a program once and note which parameters of the store it asks for, for :func:`owned_parameters`."""
    trace = pyro.poutine.trace(program).get_trace(**inputs(program, batch))
    _ASKERS[owner_of(program)] = {name for name, node in trace.nodes.items() if node["type"] == "param"}


def buffers(model: Program, guide: Program) -> dict[str, Tensor]:
    """The state of both modules that no gradient updates, by name."""
    return _tensors((model, guide), "buffers")
