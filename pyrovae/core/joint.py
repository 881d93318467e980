"""Draws of the joint p(x, z) from a program that may read its argument x where it should read what it has drawn.

A model that observes x and goes on with the argument x (an auxiliary variable given x and z, p(x_t | x_<t, z) of the steps of
x) scores right and is drawn wrong in one pass, in which the argument is a template. Its draws are found by passes of the same
random numbers, each of which reads what the last one has drawn, until nothing changes: parents settle before their children.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from pyrovae.core.inference import evaluation_mode
from pyrovae.core.keys import Source, drawn_keys, write_values
from pyrovae.core.program import Batch, Program, describe, innermost, modules
from pyrovae.core.run import run_program
from pyrovae.core.sites import Site, sample_sites
from pyrovae.data.seeds import set_seed
from pyrovae.distributions.density import is_density
from pyrovae.errors import ContractError

__all__ = ["draw_joint", "draw_once", "is_ordered", "moved_readers", "readers", "refuse_reader"]

TRIED_ROWS = 16
_SINGLE_PASS: weakref.WeakSet[Any] = weakref.WeakSet()  # owners of models of which one pass is a draw of the joint


def draw_once(model: Program, batch: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> dict[str, Site]:
    """One pass of the model, (B,): held sites at their values, (B, *event), all others drawn, observed ones too."""
    with poutine.condition(data=dict(held)), poutine.uncondition():
        return sample_sites(run_program(model, batch))


def readers(
    model: Program, batch: Mapping[str, Tensor], sources: Mapping[str, Source], held: Mapping[str, Tensor] | None = None
) -> dict[str, str]:
    """Sites whose distribution changes with the values of a key that the model draws, all draws held; and that key.

    Args:
        model: the program.
        batch: rows of the right shape.
        sources: where its observed sites have their values from.
        held: values of sites that cannot be drawn.
    """
    few, held = ({key: value[:TRIED_ROWS] for key, value in each.items()} for each in (batch, held or {}))
    found: dict[str, str] = {}
    with _aside(model):
        try:
            sites = draw_once(model, few, held)
        except NotImplementedError:  # a distribution that scores alone, of which nobody asks for draws
            return {}
        drawn = {name: site["value"] for name, site in sites.items()}
        for key in {source.key for source in sources.values()}:
            own = {name: source for name, source in sources.items() if source.key == key}
            for other in (write_values(few, own, drawn)[key], *_others(few[key])):
                set_seed(0)
                for name, site in draw_once(model, {**few, key: other}, drawn).items():
                    if name not in found and not _same(sites[name], site):
                        found[name] = key
    return found


@contextmanager
def _aside(model: Program) -> Iterator[None]:
    """Evaluation mode, random numbers that begin at one seed and are nobody's, no gradient."""
    with torch.random.fork_rng(), torch.no_grad(), pyro.validation_enabled(False), evaluation_mode(model):
        set_seed(0)
        yield


def refuse_reader(model: Program, batch: Mapping[str, Tensor], what: str) -> None:
    """Refuse a model one pass of which is no draw of the joint, whatever its parameters are; asked once for each model.

    Args:
        model: the program.
        batch: rows of the right shape.
        what: draws from it; begins the sentence.
    """
    owner = innermost(model)
    if owner in _SINGLE_PASS or get_proxy_mode() is not None or peek_interpreter_stack() is not None:
        return
    for name, key in moved_readers(model, batch).items():
        raise ContractError(
            f"{what} draws the model in one pass, and site {name!r} of {describe(model)} reads {key!r}, which is drawn in it; "
            "let it read the value that pyro.sample returns."
        )
    _SINGLE_PASS.add(owner)


def moved_readers(model: Program, batch: Mapping[str, Tensor], held: Mapping[str, Tensor] | None = None) -> dict[str, str]:
    """:func:`readers` at parameters a little moved."""
    with _moved(model):
        return readers(model, batch, drawn_keys(model, batch, given=batch), held)


@contextmanager
def _moved(model: Program) -> Iterator[None]:
    """The model with parameters a little moved, so that none that begins at zero hides what depends on it."""
    params = [p for module in modules(model) for p in module.parameters() if p.is_floating_point()]
    held = [p.data for p in params]
    with torch.no_grad(), torch.random.fork_rng():
        for p in params:
            p.data = p.data + 0.1 * torch.randn_like(p)  # another tensor: views of the parameters elsewhere stay as they are
    try:
        yield
    finally:
        for p, value in zip(params, held, strict=True):
            p.data = value


def _others(value: Tensor) -> list[Tensor]:
    return [torch.ones_like(value), torch.rand_like(value)] if value.is_floating_point() else []


def _same(one: Site, other: Site) -> bool:
    """Whether two distributions score and draw alike."""
    draws = []
    for site in (one, other):
        set_seed(0)
        try:
            scores = site["fn"].log_prob(one["value"])
        except NotImplementedError:
            scores = torch.zeros(())
        draws.append((scores, site["fn"].sample() if is_density(site["fn"]) else scores))
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True) for a, b in zip(*draws, strict=True)
    )


def draw_joint(
    model: Program,
    batch: Mapping[str, Tensor],
    held: Mapping[str, Tensor],
    sources: Mapping[str, Source],
) -> dict[str, Site]:
    """The model's sites at a draw of the joint, (B,), held sites at their values, for a model that reads what it draws.

    Raises:
        ContractError: the passes do not settle, so that the sites are in no order in which one could draw them.
    """
    devices = sorted({value.device.index or 0 for value in batch.values() if value.is_cuda})
    left = 2 + sum(batch[source.key][0].numel() for source in sources.values()) + len(sources)
    present = dict(batch)
    state = torch.get_rng_state(), [torch.cuda.get_rng_state(device) for device in devices]
    before: dict[str, Site] = {}
    while left:
        torch.set_rng_state(state[0])
        for device, of_device in zip(devices, state[1], strict=True):
            torch.cuda.set_rng_state(of_device, device)
        sites = draw_once(model, present, held)
        if before and all(torch.equal(site["value"], before[name]["value"]) for name, site in sites.items()):
            return sites
        present = write_values(batch, sources, {n: s["value"] for n, s in sites.items()})
        before, left = sites, left - 1
    raise ContractError(_unordered(model, sources))


def is_ordered(model: Program, batch: Mapping[str, Tensor], held: Mapping[str, Tensor], sources: Mapping[str, Source]) -> bool:
    """Whether the draws do not depend on the template that the first pass reads: each site reads only what comes before it."""
    if any(source.places is None for source in sources.values()):
        return False
    few, held = ({key: value[:TRIED_ROWS] for key, value in each.items()} for each in (batch, held))
    starts: list[Batch] = [few]
    for other in range(2):
        keys = {source.key for source in sources.values()}
        starts.append({k: _others(v)[other] if k in keys and v.is_floating_point() else v for k, v in few.items()})
    results = []
    for start in starts:
        with _aside(model):
            try:
                results.append(draw_joint(model, start, held, sources))
            except ContractError:
                return False
    first, *rest = results
    return all(torch.equal(site["value"], other[name]["value"]) for other in rest for name, site in first.items())


def _unordered(model: Program, sources: Mapping[str, Source]) -> str:
    keys = ", ".join(sorted({source.key for source in sources.values()}))
    return (
        f"{describe(model)} draws {keys} and reads {keys} in no order in which it could be drawn; use the value that "
        "pyro.sample returns, and let each site read only what comes before it."
    )
