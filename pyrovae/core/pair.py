"""A pair: two Pyro programs of one signature, and the parameters that are theirs alone.

A *program* is an ``nn.Module`` whose ``forward`` is the Pyro program, or a plain function (or method) that uses
``pyro.module`` and ``pyro.param``. Pyro keeps the parameters of the latter in one global store, by name; here every pair
that is trained gets a store of its own, so that many pairs live in one process.
"""

from __future__ import annotations

import copy
import inspect
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, cast

import pyro
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyrovae.data.spec import DataSpec
from pyrovae.errors import ContractError, RunError

__all__ = [
    "Pair",
    "PairLike",
    "adopt",
    "as_pair",
    "buffers",
    "innermost",
    "inputs",
    "known_shapes",
    "known_spec",
    "owned_parameters",
    "set_folder_opener",
    "open_run",
    "parameters",
    "remember",
    "remember_spec",
    "parameter_scope",
    "set_trainable",
    "take_over",
    "template",
    "told_keys",
    "without_wrappers",
]

INDEX = "index"  # key of the rows' numbers, which every batch of a data set has
Program = Callable[..., Any]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Pair:
    """A generative model p(x, z), an amortized guide q(z | x), and the objective that usually trains them.

    ``recipe`` is the JSON that rebuilds the pair (``{"name": ..., "options": {...}}``) when a recipe of
    :mod:`pyrovae.pairs` made it, else None. ``stages`` are pairs that share modules with it and are trained before it, one
    after the other (:func:`pyrovae.fit_stages`); their parameters stand still in it. ``sites`` tells of observed sites which
    key of the batch they are given, as in ``{"obs": "x"}``, where their values do not show it.
    """

    model: Program
    guide: Program
    objective: Any = "elbo"
    recipe: Mapping[str, Any] | None = None
    stages: tuple[Pair, ...] = ()
    sites: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for stage in self.stages:
            set_trainable(stage, False)

    def __reduce__(self) -> tuple[Any, ...]:
        given = (getattr(self, each.name) for each in fields(self))
        return restored, (_STORES.get(_owner(self.model)), *given)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pair:
        for program in (self.model, self.guide):
            if inspect.isfunction(program) and _STORES.get(program, {"params": {}})["params"]:
                raise ContractError(
                    f"{describe(program)} is a function, whose parameters belong to it, so that a copy would share them; "
                    "write it as an nn.Module or a method, or pickle the pair."
                )
        make, given = self.__reduce__()
        copied: Pair = make(*copy.deepcopy(given, memo))
        return copied

    @contextmanager
    def parameters_in_pyro(self) -> Iterator[None]:
        """Within it Pyro's parameter store is the pair's own, so that Pyro's tools see, save and change what was trained.

        Modules are in it as ``model`` and ``guide``, as ``pyro.module`` would enter them.

        >>> import pyro
        >>> from pyrovae import data, pairs
        >>> with pairs.vae(data.DataSpec("toy", (4,), "real"), latent_dim=2).parameters_in_pyro():
        ...     all(name.startswith(("model$$$", "guide$$$")) for name in pyro.get_param_store())
        True
        """
        adopt(self.model, self.guide)
        with parameter_scope(self.model, self.guide):
            held = set(pyro.get_param_store())
            entered = {}
            for label, program in (("model", self.model), ("guide", self.guide)):
                if isinstance(owner := _owner(program), nn.Module) and not isinstance(owner, PyroModule):
                    entered[label] = pyro.module(label, owner)
            try:
                yield
            finally:
                for name in [n for n in pyro.get_param_store() if n not in held and n.partition("$$$")[0] in entered]:
                    del pyro.get_param_store()[name]


def set_trainable(pair: Pair, trainable: bool) -> None:
    """Let the parameters of a pair be trained, or stand still."""
    for parameter in parameters(pair.model, pair.guide).values():
        parameter.requires_grad_(trainable)


class HasPair(Protocol):
    """What carries a pair, as a Run does."""

    pair: Pair


PairLike = Pair | HasPair | tuple[Program, Program] | str | os.PathLike[str]  # what every verb takes first
_open_folder: Callable[..., HasPair] | None = None


def set_folder_opener(load: Callable[..., HasPair]) -> None:
    """Let ``load(folder, with_data=...)`` open the runs' folders that verbs are given; called by the room of runs."""
    global _open_folder
    _open_folder = load


def open_run(source: Any, with_data: bool = False) -> Any:
    """The run of a folder; anything else as it is."""
    if not isinstance(source, (str, os.PathLike)):
        return source
    if not os.path.isdir(source):
        raise RunError(f"{os.fspath(source)!r} is no folder of a run; {EXPECTED}.")
    assert _open_folder is not None  # whoever imports pyrovae imports its runs
    return _open_folder(source, with_data=with_data)


EXPECTED = "a pair comes first, as one argument: a Run, a run's folder, a Pair, or (model, guide)"


def as_pair(source: PairLike) -> Pair:
    """The pair of whatever a verb is given first: a Run, a run's folder, a Pair, or a ``(model, guide)`` tuple.

    Raises:
        ContractError: what came is none of them; a model and a guide that came one by one are told how to come.

    >>> as_pair((print, len)).model
    <built-in function print>
    """
    source = open_run(source)
    pair = source if isinstance(source, Pair) else getattr(source, "pair", None)
    if isinstance(pair, Pair):
        if pair.sites:
            _TOLD[innermost(pair.model)] = pair.sites
        return pair
    if isinstance(source, tuple) and len(source) == 2 and all(callable(program) for program in source):
        return Pair(*source)
    if callable(source):
        raise ContractError(
            f"{describe(source)} came alone where a pair is expected; give both programs as one argument, as in "
            "log_evidence((model, guide), data), or a Pair, a Run or a run's folder."
        )
    raise ContractError(f"got {type(source).__name__}; {EXPECTED}.")


# ----------------------------------------------------------------------------------------------- who owns what
# Keyed weakly by owner: the function, the module, or the object that a bound method belongs to.
_STORES: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()
_ASKERS: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()
_SHAPES: weakref.WeakKeyDictionary[Any, dict[str, tuple[tuple[int, ...], torch.dtype]]] = weakref.WeakKeyDictionary()
_SPEC = "_pyrovae_spec"
_SPECS: weakref.WeakKeyDictionary[Any, DataSpec] = weakref.WeakKeyDictionary()
_TOLD: weakref.WeakKeyDictionary[Any, Mapping[str, str]] = weakref.WeakKeyDictionary()
_SIGNATURES: weakref.WeakKeyDictionary[Any, tuple[frozenset[str], frozenset[str], bool]] = weakref.WeakKeyDictionary()


def _owner(program: Program) -> Any:
    return getattr(program, "__self__", program) if inspect.ismethod(program) else program


def without_wrappers(program: Program) -> Program:
    """The program that somebody wrote, out of those that have wrapped a handler around it (``wraps`` is true of them)."""
    while getattr(program, "wraps", False) is True:
        program = cast(Any, program).program
    return program


def innermost(program: Program) -> Any:
    """Whom a program belongs to under its wrappers: a function, a module, a method's object."""
    return _owner(without_wrappers(program))


def told_keys(model: Program) -> Mapping[str, str]:
    """What ``Pair(sites=...)`` tells of a model's observed sites: the keys that they are given."""
    return _TOLD.get(innermost(model), {})


def adopt(model: Program, guide: Program) -> None:
    """Give the two programs one parameter store of their own, in place of Pyro's global one, from now on."""
    stores = [_STORES[owner] for owner in (_owner(model), _owner(guide)) if owner in _STORES]
    store = stores[0] if stores else {"params": {}, "constraints": {}}
    for other in stores[1:]:
        for name, value in other["params"].items():
            if store["params"].setdefault(name, value) is not value:
                raise ContractError(
                    f"model and guide were trained apart and both own a parameter {name!r}; rename one of them."
                )
        store["constraints"] = {**other["constraints"], **store["constraints"]}
    for program in (model, guide):
        _STORES[_owner(program)] = store


def take_over(model: Program, guide: Program, batch: Mapping[str, Tensor]) -> list[str]:
    """:func:`adopt`, going on from what Pyro's own store holds of the parameters that the programs ask for; their names.

    They stay the tensors that they are, so that Pyro's store sees them trained.
    """
    new = not any(_owner(program) in _STORES for program in (model, guide))
    held = cast(Any, pyro.get_param_store().get_state())
    asked: set[str] = set()
    if new and held["params"] and not any(isinstance(_owner(each), PyroModule) for each in (model, guide)):
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
    _STORES[_owner(model)]["params"] |= {name: held["params"][name] for name in names}
    _STORES[_owner(model)]["constraints"] |= {name: held["constraints"][name] for name in names}
    return names


def restored(store: dict[str, Any] | None, *given: Any) -> Pair:
    """The pair of a copy or a pickle, with the parameters that its programs made by ``pyro.param``."""
    pair = Pair(*given)
    if store is not None:
        for program in (pair.model, pair.guide):
            _STORES[_owner(program)] = store
    return pair


@contextmanager
def parameter_scope(*programs: Program, fresh: bool = False) -> Iterator[None]:
    """Within it, ``pyro.param`` and ``pyro.module`` reach the store of the programs.

    Before training that is Pyro's own, or with ``fresh`` an empty one that is thrown away: Pyro's may hold another module of
    the same name, whose parameters ``pyro.module`` would put into this one. A PyroModule's parameters are its own, so it
    never needs Pyro's store, where modules of one class would share names.
    """
    owners = [_owner(program) for program in programs]
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
    for owner in map(_owner, programs):
        for name, tensor in owner.named_parameters() if isinstance(owner, PyroModule) else ():
            name = ".".join(filter(None, [owner._pyro_name, name.removesuffix("_unconstrained")]))
            if held.get(name, tensor) is not tensor:
                return name
    return None


def _tensors(programs: tuple[Program, ...], kind: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for label, program in zip(("model", "guide"), programs, strict=True):
        owner = _owner(program)
        if isinstance(owner, nn.Module):
            for name, tensor in getattr(owner, f"named_{kind}")():
                found[f"{label}.{name}"] = tensor
    if kind == "parameters":
        for owner in map(_owner, programs):
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
    for label, owner in (("model", _owner(model)), ("guide", _owner(guide))):
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
    _ASKERS[_owner(program)] = {name for name, node in trace.nodes.items() if node["type"] == "param"}


def buffers(model: Program, guide: Program) -> dict[str, Tensor]:
    """The state of both modules that no gradient updates, by name."""
    return _tensors((model, guide), "buffers")


def modules(*programs: Program) -> list[nn.Module]:
    """Those programs that are modules, or methods of one."""
    return [owner for owner in map(_owner, programs) if isinstance(owner, nn.Module)]


# ----------------------------------------------------------------------------------------------- batches
def signature(program: Program) -> inspect.Signature:
    """What a program takes; a program that wraps another says so by ``__signature__``."""
    if isinstance(program, nn.Module) and not hasattr(program, "__signature__"):
        return inspect.signature(program.forward)
    return inspect.signature(program)


def _signature(program: Program) -> tuple[frozenset[str], frozenset[str], bool]:
    key = program.__func__ if inspect.ismethod(program) else program
    if key not in _SIGNATURES:
        declared = signature(program).parameters.values()
        if alone := [p.name for p in declared if p.kind == p.POSITIONAL_ONLY]:
            raise ContractError(f"{describe(program)} takes {alone[0]} by position only; take the / off, keys come by name.")
        names = frozenset(p.name for p in declared if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        required = frozenset(p.name for p in declared if p.name in names and p.default is p.empty)
        _SIGNATURES[key] = names, required, any(p.kind == p.VAR_KEYWORD for p in declared)
    return _SIGNATURES[key]


def inputs(program: Program, batch: Mapping[str, Tensor]) -> Batch:
    """The entries of the batch that the program takes; ``**others`` takes all but ``index``, which is given when asked for."""
    names, required, takes_all = _signature(program)
    missing = sorted(required - batch.keys())
    if missing:
        raise ContractError(
            f"{describe(program)} takes {', '.join(missing)}, which the batch lacks; it has {', '.join(batch)}."
        )
    return {key: value for key, value in batch.items() if key in names or (takes_all and key != INDEX)}


def describe(program: Program) -> str:
    """A program's name for messages."""
    return getattr(program, "__qualname__", type(program).__name__)


def batch_size(batch: Mapping[str, Tensor]) -> int:
    """B, the first dimension that all entries of a batch share."""
    if not batch:
        raise ContractError("the batch is empty: it needs at least one tensor, usually x.")
    for key, value in batch.items():
        if not isinstance(value, Tensor) or value.dim() == 0:
            raise ContractError(f"batch entry {key!r} is no tensor with a first dimension of data.")
    sizes = {key: value.shape[0] for key, value in batch.items()}
    if len(set(sizes.values())) != 1:
        raise ContractError(f"the batch's first dimensions differ: {sizes}; each entry needs one row per datum.")
    return next(iter(sizes.values()))


def remember(program: Program, batch: Mapping[str, Tensor]) -> None:
    """Note the shape of a datum, so that :func:`template` can make batches to generate into."""
    taken = inputs(program, batch)
    _SHAPES[_owner(program)] = {key: (tuple(value.shape[1:]), value.dtype) for key, value in taken.items()}


def known_shapes(program: Program) -> Mapping[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and dtype of a datum, by key, that the program was made for or has seen; none of a new one."""
    return _SHAPES.get(_owner(program)) or _SHAPES.get(innermost(program), {})


def remember_spec(pair: Pair, spec: DataSpec) -> None:
    """Note what the data of a pair are, so that new data are read as those were."""
    owner = _owner(pair.model)
    if isinstance(owner, nn.Module):
        owner.__dict__[_SPEC] = spec  # with the module, so that its copies and pickles know it too
    else:
        _SPECS[owner] = spec


def known_spec(pair: Pair) -> DataSpec | None:
    """What the data were that a pair was built for or fitted to; None of a pair that has seen none."""
    owner = _owner(pair.model)
    return owner.__dict__.get(_SPEC) if isinstance(owner, nn.Module) else _SPECS.get(owner)


def template(program: Program, n: int, like: Mapping[str, Tensor] | None = None) -> Batch:
    """A batch of n rows of the shape that the program takes; entries of ``like`` (B = n or 1) are used as they are."""
    device = next((p.device for m in modules(program) for p in m.parameters()), torch.device("cpu"))
    shapes = known_shapes(program)
    if like is None and not shapes:
        raise ContractError(
            f"the shape of {describe(program)}'s data is not known yet: give like={{'x': a tensor of one row or more}}."
        )
    batch = {key: torch.zeros(n, *shape, dtype=dtype, device=device) for key, (shape, dtype) in shapes.items()}
    for key, value in inputs(program, {**batch, **(like or {})}).items():
        if value.shape[0] not in (1, n):
            raise ContractError(f"like[{key!r}] has {value.shape[0]} rows; expected 1 or {n}.")
        batch[key] = value.to(device).expand(n, *value.shape[1:])
    return batch
