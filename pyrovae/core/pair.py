"""A pair: two Pyro programs of one signature, their objective, and what is known of their data."""

from __future__ import annotations

import copy
import inspect
import math
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyrovae.core.parameters import adopt, parameter_scope, parameters, set_store, store_of
from pyrovae.core.program import Program, describe, innermost, owner_of
from pyrovae.core.tensors import load_tensors, tensors_of
from pyrovae.data.spec import DataSpec
from pyrovae.errors import ContractError, RunError

__all__ = [
    "Pair",
    "PairLike",
    "as_pair",
    "known_spec",
    "open_run",
    "remember_spec",
    "set_folder_opener",
    "set_trainable",
    "told_keys",
]


@dataclass(frozen=True, repr=False)
class Pair:
    """A generative model p(x, z), an amortized guide q(z | x), and the objective that usually trains them.

    ``recipe`` is the JSON that rebuilds the pair (``{"name": ..., "options": {...}}``) when a recipe of
    :mod:`pyrovae.pairs` made it, else None. ``stages`` are pairs that share modules with it and are trained before it, one
    after the other (:func:`pyrovae.fit_stages`); their parameters stand still in it. ``sites`` tells of observed sites which
    key of the batch they are given, as in ``{"obs": "x"}``, where their values do not show it.

    >>> from pyrovae import data, pairs
    >>> pairs.vae(data.DataSpec("toy", (4,), "real"), latent_dim=2, hidden=[3])
    Pair(vae; model VAE, guide DiagonalGaussian, 57 parameters, objective elbo)
    """

    model: Program
    guide: Program
    objective: Any = "elbo"
    recipe: Mapping[str, Any] | None = None
    stages: tuple[Pair, ...] = ()
    sites: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for label in ("model", "guide"):
            if not callable(program := getattr(self, label)):
                raise ContractError(f"{label} is {program!r}; expected a Pyro program: a module or a function of the batch.")
        if not (
            isinstance(self.sites, Mapping) and all(isinstance(word, str) for item in self.sites.items() for word in item)
        ):
            raise ContractError(
                f"sites is {self.sites!r}; expected names of observed sites and their keys, as in {{'obs': 'x'}}."
            )
        if self.sites:
            _TOLD[innermost(self.model)] = self.sites
        for stage in self.stages:
            set_trainable(stage, False)
        object.__setattr__(self, "_stages_as_built", tuple(_checksum(stage) for stage in self.stages))

    @property
    def untrained_stages(self) -> list[Pair]:
        """The stages whose parameters are as they were when the pair was made."""
        then: tuple[float, ...] = getattr(self, "_stages_as_built", ())
        return [stage for stage, was in zip(self.stages, then, strict=True) if _checksum(stage) == was]

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of all parameters of both programs, those made by ``pyro.param`` too, and of their buffers, by name.

        >>> import torch
        >>> from pyrovae import data, pairs
        >>> build = lambda: pairs.vae(data.DataSpec("toy", (4,), "real"), latent_dim=2)
        >>> one, other = build(), build()
        >>> other.load_state_dict(one.state_dict())
        >>> all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
        True
        """
        return {name: value.detach().clone() for name, value in tensors_of(self).items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy the tensors of another pair of the same make, in place.

        Raises:
            RunError: a tensor that only one of the two has, or of another shape or type, or not finite; nothing is copied.
        """
        load_tensors(self, state, "state_dict")

    def __repr__(self) -> str:
        made = "" if self.recipe is None else f"{self.recipe['name']}; "
        programs = [f"{label} {describe(getattr(self, label))}" for label in ("model", "guide")]
        num = sum(p.numel() for p in parameters(self.model, self.guide).values())
        return f"Pair({made}{', '.join(programs)}, {num:,} parameters, objective {self.objective})"

    def __reduce__(self) -> tuple[Any, ...]:
        given = (getattr(self, each.name) for each in fields(self))
        return restored, (store_of(self.model), *given)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pair:
        for program in (self.model, self.guide):
            if inspect.isfunction(program) and (store_of(program) or {"params": {}})["params"]:
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
                if isinstance(owner := owner_of(program), nn.Module) and not isinstance(owner, PyroModule):
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


def _checksum(pair: Pair) -> float:
    """The sum of all parameters' values, which any step changes."""
    return sum(float(value.detach().double().sum()) for value in parameters(pair.model, pair.guide).values())


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
        if pair.sites:  # again, where two pairs of one model tell different things
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


# Keyed weakly by owner: the function, the module, or the object that a bound method belongs to.
_SPEC = "_pyrovae_spec"
_SPECS: weakref.WeakKeyDictionary[Any, DataSpec] = weakref.WeakKeyDictionary()
_TOLD: weakref.WeakKeyDictionary[Any, Mapping[str, str]] = weakref.WeakKeyDictionary()


def told_keys(model: Program) -> Mapping[str, str]:
    """What ``Pair(sites=...)`` tells of a model's observed sites: the keys that they are given."""
    return _TOLD.get(innermost(model), {})


def restored(store: dict[str, Any] | None, *given: Any) -> Pair:
    """The pair of a copy or a pickle, with the parameters that its programs made by ``pyro.param``."""
    pair = Pair(*given)
    object.__setattr__(pair, "_stages_as_built", (math.nan,) * len(pair.stages))  # whether they were trained is not known
    if store is not None:
        set_store(store, pair.model, pair.guide)
    return pair


def remember_spec(pair: Pair, spec: DataSpec | None) -> None:
    """Note what the data of a pair are, so that new data are read as those were."""
    owner = owner_of(pair.model)
    if isinstance(owner, nn.Module):
        owner.__dict__[_SPEC] = spec  # with the module, so that its copies and pickles know it too
    elif spec is None:
        _SPECS.pop(owner, None)
    else:
        _SPECS[owner] = spec


def known_spec(pair: Pair) -> DataSpec | None:
    """What the data were that a pair was built for or fitted to; None of a pair that has seen none."""
    owner = owner_of(pair.model)
    return owner.__dict__.get(_SPEC) if isinstance(owner, nn.Module) else _SPECS.get(owner)
