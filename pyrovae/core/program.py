"""A program: what it takes, whom it belongs to, and the shapes of the data that it has seen.

A *program* is an ``nn.Module`` whose ``forward`` is the Pyro program, or a plain function (or method) that uses
``pyro.module`` and ``pyro.param``.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from pyrovae.errors import ContractError

__all__ = [
    "INDEX",
    "Batch",
    "Program",
    "batch_size",
    "describe",
    "innermost",
    "inputs",
    "known_shapes",
    "modules",
    "owner_of",
    "remember",
    "signature",
    "template",
    "without_wrappers",
]

INDEX = "index"  # key of the rows' numbers, which every batch of a data set has
Program = Callable[..., Any]
Batch = dict[str, Tensor]
# keyed weakly by owner: the function, the module, or the object that a bound method belongs to
_SHAPES: weakref.WeakKeyDictionary[Any, dict[str, tuple[tuple[int, ...], torch.dtype]]] = weakref.WeakKeyDictionary()
_SIGNATURES: weakref.WeakKeyDictionary[Any, tuple[frozenset[str], frozenset[str], bool]] = weakref.WeakKeyDictionary()


def owner_of(program: Program) -> Any:
    """Whom a program belongs to: itself, or a method's object."""
    return getattr(program, "__self__", program) if inspect.ismethod(program) else program


def without_wrappers(program: Program) -> Program:
    """The program that somebody wrote, out of those that have wrapped a handler around it (``wraps`` is true of them)."""
    while getattr(program, "wraps", False) is True:
        program = cast(Any, program).program
    return program


def innermost(program: Program) -> Any:
    """Whom a program belongs to under its wrappers: a function, a module, a method's object."""
    return owner_of(without_wrappers(program))


def modules(*programs: Program) -> list[nn.Module]:
    """Those programs that are modules, or methods of one."""
    return [owner for owner in map(owner_of, programs) if isinstance(owner, nn.Module)]


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
            f"{describe(program)} takes {', '.join(missing)}, which the batch lacks; it has {', '.join(batch) or 'nothing'}."
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
    _SHAPES[owner_of(program)] = {key: (tuple(value.shape[1:]), value.dtype) for key, value in taken.items()}


def known_shapes(program: Program) -> Mapping[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and dtype of a datum, by key, that the program was made for or has seen; none of a new one."""
    return _SHAPES.get(owner_of(program)) or _SHAPES.get(innermost(program), {})


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
