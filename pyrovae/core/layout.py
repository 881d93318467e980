"""How a pair takes K particles: broadcast on the left of the data, or as K B rows; found out by running it both ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyro
import torch
from pyro import poutine
from pyro.poutine import runtime
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from pyrovae.core.energies import note_energies
from pyrovae.core.inference import evaluation_mode
from pyrovae.core.program import Batch, Program, batch_size, modules
from pyrovae.core.run import has_rows, run_program, set_rows
from pyrovae.core.sites import Site, sample_sites
from pyrovae.distributions.density import is_point, log_density
from pyrovae.distributions.implicit import Implicit
from pyrovae.errors import ContractError, PyrovaeError

__all__ = ["few_rows", "place_or_score", "preserve_state", "settle_particles"]

TRIED_PARTICLES = 3


def settle_particles(
    model: Program, guide: Program, batch: Mapping[str, Tensor], num_particles: int = TRIED_PARTICLES
) -> bool:
    """Whether the pair takes particles as rows: found out on a few rows of the batch once, and remembered.

    K particles in one pass must score as they do one by one: on the left of the data, by a plate at dim -2, else as K B rows
    of the programs as they are written. Networks are in evaluation mode, so that batch norm does not mix the rows.

    Raises:
        ContractError: neither way gives the same scores.
    """
    known = has_rows(model)
    if known is not None and has_rows(guide) == known:
        return known
    if peek_interpreter_stack() is not None or get_proxy_mode() is not None:
        return False  # within vmap, or while a step is traced, nothing can be tried out
    few = few_rows(batch, num_particles)
    with (
        _alone(),
        preserve_state(model, guide),
        evaluation_mode(model, guide),
        torch.no_grad(),
        pyro.validation_enabled(False),
    ):
        few = few if _runs(model, guide, few) else dict(batch)  # programs that are written for one number of rows
        note_energies(model, few)
        set_rows(False, model, guide)
        rows = _trouble(model, guide, few, num_particles) is not None
        set_rows(rows, model, guide)
        if rows and (trouble := _trouble(model, guide, few, num_particles)):
            set_rows(False, model, guide)
            raise trouble
    return rows


def _runs(model: Program, guide: Program, batch: Batch) -> bool:
    """Whether the programs run on a batch as they are."""
    try:
        run_program(model, batch, replay=run_program(guide, batch))
    except Exception:
        return False
    return True


def _trouble(model: Program, guide: Program, batch: Batch, num_particles: int) -> ContractError | None:
    """What is wrong with K particles in one pass; None where they score as one by one."""
    try:
        guides = run_program(guide, batch, num_particles)
        models = run_program(model, batch, num_particles, replay=guides)
        together = {label: _scores(trace) for label, trace in (("model", models), ("guide", guides))}
    except PyrovaeError:
        raise
    except Exception as error:
        return ContractError(
            f"the pair runs alone but not with {num_particles} particles in front of the data ({type(error).__name__}: "
            f"{error}), nor as rows; networks must act on the last axes and pass leading ones through."
        )
    drawn = {n: s["value"] for n, s in sample_sites(models).items() if not s["is_observed"]}
    drawn |= {n: s["value"] for n, s in sample_sites(guides).items() if not s["is_observed"]}
    programs = (("model", model, models), ("guide", guide, guides))
    for k in range(num_particles):
        given = {name: value[k] if len(value) > 1 else value[0] for name, value in drawn.items()}
        for label, program, trace in programs:
            alone = run_program(program, batch, given=given)
            if message := _difference(label, alone, trace, together[label], k, (num_particles, batch_size(batch))):
                return ContractError(message)
    return None


def _difference(
    label: str, alone: poutine.Trace, trace: poutine.Trace, together: Mapping[str, Tensor], k: int, shape: tuple[int, int]
) -> str | None:
    """What is different of a program run alone and among K particles, as the k-th of them."""
    sites = sample_sites(trace)
    for name, site in sample_sites(alone).items():
        if _scale(site) != _scale(sites[name]):
            return (
                f"site {name!r} of the {label} is scaled by the number of rows, of which there are K times as many with "
                "particles as rows; leave N / len(x) and subsample_size out: bounds are means over data."
            )
    for name, score in _scores(alone).items():
        among = together[name].expand(shape)[k]
        if not torch.allclose(score.expand_as(among), among, rtol=1e-3, atol=1e-3, equal_nan=True):
            return (
                f"site {name!r} of the {label} scores {float(score.flatten()[0]):g} alone and {float(among[0]):g} among "
                f"{shape[0]} particles: something mixes or flattens leading axes; act on the last axes only."
            )
    return None


def _scale(site: Site) -> float:
    return float(torch.as_tensor(site["scale"]).max())


def _scores(trace: poutine.Trace) -> dict[str, Tensor]:
    """The scores of the sites that can be scored at draws held fixed."""
    scores = {}
    for name, site in sample_sites(trace).items():
        try:
            scores[name] = place_or_score(site)
        except NotImplementedError:
            continue
    return scores


def place_or_score(site: Site) -> Tensor:
    """A site's scores, (..., B); of a point, or of a draw without a density, the sum of its coordinates without noise."""
    fn = site["fn"]
    if isinstance(fn, Implicit):
        return fn.at_rest()
    if not is_point(fn):
        return log_density(fn, site["value"])
    mean: Tensor = fn.mean
    return mean.flatten(len(fn.batch_shape)).sum(-1) if fn.event_shape else mean


def few_rows(batch: Mapping[str, Tensor], num_particles: int) -> Batch:
    """B rows, B unlike every dimension of a datum, so that no broadcast goes unseen."""
    size = batch_size(batch)
    if size == 0:
        raise ContractError("the batch has no rows.")
    dims = {d for value in batch.values() for d in value.shape[1:]} | {1, num_particles}
    rows = next(b for b in range(5, 64) if b not in dims)
    index = torch.arange(rows) % size
    return {key: value[index.to(value.device)] for key, value in batch.items()}


@contextmanager
def _alone() -> Iterator[None]:
    """No handler that somebody else has entered sees the programs run."""
    stack = runtime._PYRO_STACK
    held = list(stack)
    stack.clear()
    try:
        yield
    finally:
        stack[:] = held


@contextmanager
def preserve_state(*programs: Program) -> Iterator[None]:
    """Leave random states and the modules' buffers as they were."""
    saved = [(b, b.clone()) for m in modules(*programs) for b in m.buffers()]
    devices = sorted({p.device.index or 0 for m in modules(*programs) for p in m.parameters() if p.is_cuda})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in saved:
                buffer.copy_(value)
