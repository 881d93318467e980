"""The context in which a trained pair is used: its parameters, evaluation mode, precision, random numbers, no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from pyrovae.core.alone import alone
from pyrovae.core.pair import Pair
from pyrovae.core.parameters import parameter_scope, parameters
from pyrovae.core.program import Program, modules
from pyrovae.data.seeds import DRAWS, mix, set_seed
from pyrovae.errors import OptionError

__all__ = [
    "bf16_networks",
    "check_seed",
    "device_of",
    "dtype_of",
    "evaluation_mode",
    "has_batch_norm",
    "inference",
    "precision_context",
    "private_draws",
    "private_random",
]


def device_of(model: Program, guide: Program) -> torch.device:
    """Where the pair's parameters lie; the CPU for a pair without any."""
    return next((p.device for p in parameters(model, guide).values()), torch.device("cpu"))


def dtype_of(model: Program, guide: Program) -> torch.dtype:
    """The precision of the pair's parameters; torch's default for a pair without any."""
    found = (p.dtype for p in parameters(model, guide).values() if p.is_floating_point())
    return next(found, torch.get_default_dtype())


@contextmanager
def evaluation_mode(*programs: Program) -> Iterator[None]:
    """Modules in evaluation mode; each goes back to the mode it was in."""
    were = [(module, module.training) for program in modules(*programs) for module in program.modules()]
    for module, _ in were:
        module.training = False
    try:
        yield
    finally:
        for module, training in were:
            module.training = training


def has_batch_norm(*programs: Program) -> bool:
    """Whether a layer compares the rows of a batch while it is trained."""
    return any(isinstance(layer, _BatchNorm) for module in modules(*programs) for layer in module.modules())


def _float32(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.float() if output.dtype is torch.bfloat16 else output
    if isinstance(output, (tuple, list)):
        return type(output)(_float32(item) for item in output)
    return {k: _float32(v) for k, v in output.items()} if isinstance(output, dict) else output


def _uses_pyro(function: Any) -> bool:
    """Whether a function names pyro, or what comes from it."""
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    homes = [getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in found]
    return any(str(home).partition(".")[0] == "pyro" for home in homes)


@contextmanager
def bf16_networks(*programs: Program) -> Iterator[None]:
    """Networks compute in bfloat16 and return float32, so that every density and gradient sum stays float32.

    A network is an outermost module called inside a program: autocast is entered before it and left after it. A module that
    holds one of the programs, or whose ``forward`` uses Pyro, is a program itself.
    """
    roots = set(modules(*programs))
    known: dict[nn.Module, bool] = {}
    depth = 0
    entered: list[torch.autocast] = []

    def is_program(module: nn.Module) -> bool:
        if module not in known:
            known[module] = _uses_pyro(module.forward) or not roots.isdisjoint(module.modules())
        return known[module]

    def before(module: nn.Module, args: Any) -> None:
        nonlocal depth
        if depth == 0 and is_program(module):
            return
        if depth == 0:
            device = next((p.device.type for p in module.parameters()), "cpu")
            entered.append(torch.autocast(device, dtype=torch.bfloat16))
            entered[-1].__enter__()
        depth += 1

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        nonlocal depth
        if depth == 0:
            return None
        depth -= 1
        if depth == 0:
            entered.pop().__exit__(None, None, None)
            return _float32(output)
        return None

    handles = [register_module_forward_pre_hook(before), register_module_forward_hook(after, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def precision_context(precision: str, *programs: Program) -> Iterator[None]:
    """``float32`` (as written) or ``bf16`` (:func:`bf16_networks`)."""
    if precision == "float32":
        yield
    elif precision == "bf16":
        with bf16_networks(*programs):
            yield
    else:
        raise OptionError(f"precision is {precision!r}; expected 'float32' or 'bf16'.")


def check_seed(seed: int) -> int:
    """The seed; OptionError unless a whole number from 0 to 2^63 - 1.

    >>> check_seed(-1)
    Traceback (most recent call last):
    pyrovae.errors.OptionError: seed is -1; expected a whole number from 0 to 2^63 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise OptionError(f"seed is {seed!r}; expected a whole number from 0 to 2^63 - 1.")
    return seed


@contextmanager
def private_random(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Torch's random numbers begin at ``seed`` within it; outside nobody notices."""
    check_seed(seed)
    gpus = [device.index or 0] if device is not None and device.type == "cuda" else []
    with alone(), torch.random.fork_rng(devices=gpus):
        set_seed(seed)
        yield


def private_draws(seed: int, device: torch.device | None = None) -> AbstractContextManager[None]:
    """:func:`private_random` of a stream that ``torch.manual_seed(seed)`` does not give.

    Data that a user simulates after ``torch.manual_seed(0)`` would else have the very noise that draws z by seed 0: with one
    datum's z and x thus correlated, every average over data is wrong.
    """
    return private_random(mix(DRAWS, check_seed(seed)) & 0xFFFFFFFF, device)


@contextmanager
def inference(pair: Pair, precision: str = "float32", seed: int | None = None) -> Iterator[torch.device]:
    """The one context in which evidence, generation and evaluation run a pair.

    Within it ``pyro.param`` reaches the pair's own parameters, modules are in evaluation mode, no gradient is taken, and with
    a ``seed`` the random numbers are its own, those of the caller left as they were.

    Args:
        pair: the pair.
        precision: "float32", or "bf16" networks with float32 log densities.
        seed: of the draws; None draws from the caller's random numbers.

    Yields:
        The device that the pair lies on.
    """
    programs, device = (pair.model, pair.guide), device_of(pair.model, pair.guide)
    with (
        alone(),
        parameter_scope(*programs),
        evaluation_mode(*programs),
        precision_context(precision, *programs),
        torch.no_grad(),
        nullcontext() if seed is None else private_draws(seed, device),
    ):
        yield device
