"""Does a pair keep the contract? Asked before any training, answered with the site, what came, what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from torch import Tensor

from pyrovae.core.admission import run_alone, to_pair
from pyrovae.core.doors import training_batch
from pyrovae.core.messages import mismatch_message
from pyrovae.core.pair import (
    Batch,
    Pair,
    PairLike,
    Program,
    as_pair,
    batch_size,
    modules,
    parameter_scope,
    remember,
    shadowed_parameter,
)
from pyrovae.core.site_report import Report, report_sites
from pyrovae.core.sites import DATA, Site, placement_message, sample_sites
from pyrovae.core.support import refuse_outside
from pyrovae.core.trace import PairTrace, run_program, trace_pair
from pyrovae.distributions.density import is_point
from pyrovae.errors import ContractError, NonFiniteError, OptionError, PyrovaeError

__all__ = ["check", "check_batch", "find_non_finite"]

CHECK_PARTICLES = 3
CHECK_ROWS = 64  # of the data, from which the few that are checked come


def check(pair: PairLike, data: Any, num_particles: int = CHECK_PARTICLES) -> Report:
    """Refuse what breaks the contract of a pair, before any training.

    Checks on a few rows of the batch: both programs take it; each sample site lies in the data plate and scores as (K, B)
    with and without particles; latent names match; event shapes and supports match, with no silent broadcast; every log
    density is finite; and no datum's score depends on the other data of the batch.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: in any form that :func:`pyrovae.data.load` takes; the first 64 rows are looked at, of a whole Data set those of
            the training part.
        num_particles: K, with which the programs are tried beside running alone.

    Returns:
        A :class:`Report` of the sites.

    Raises:
        DataError: the data cannot be read.
        ContractError: names the site, what came, what was expected and how to mend it.
        NonFiniteError: names the site and row of a log density that is not finite.

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits")
    >>> print(check(pairs.vae(digits.spec, latent_dim=2), digits))
    latent z (2,): Normal, reparameterized, analytic KL
    observed x (8, 8): Bernoulli
    """
    pair = as_pair(pair)
    if num_particles < 1:
        raise OptionError(f"num_particles is {num_particles}; expected at least 1.")
    return check_batch(pair, to_pair(pair, training_batch(data, CHECK_ROWS)), num_particles)


def check_batch(pair: Pair, batch: Mapping[str, Tensor], num_particles: int = CHECK_PARTICLES) -> Report:
    """:func:`check` on a batch as it is, which lies on the pair's device."""
    model, guide = pair.model, pair.guide
    batch = _few_rows(batch, num_particles)
    remember(model, batch)
    with (
        parameter_scope(model, guide, fresh=True),
        _preserve_state(model, guide),
        torch.no_grad(),
        pyro.validation_enabled(False),
    ):
        single = run_alone(model, guide, batch)
        if name := shadowed_parameter(model, guide):
            raise ContractError(
                f"model and guide are PyroModules that both call a parameter {name!r}, and would share it; give one of them a "
                'name, as in super().__init__("guide").'
            )
        _check_sites(model, guide, batch, single)
        report = report_sites(single)
        _check_particles(model, guide, batch, num_particles)
        _check_independence(model, guide, batch, single)
    return report


def _few_rows(batch: Mapping[str, Tensor], num_particles: int) -> Batch:
    """B rows, B unlike every dimension of a datum, so that no broadcast goes unseen."""
    size = batch_size(batch)
    if size == 0:
        raise ContractError("the batch has no rows.")
    dims = {d for value in batch.values() for d in value.shape[1:]} | {1, num_particles}
    rows = next(b for b in range(5, 64) if b not in dims)
    index = torch.arange(rows) % size
    return {key: value[index.to(value.device)] for key, value in batch.items()}


@contextmanager
def _preserve_state(*programs: Program) -> Iterator[None]:
    """Leave random states and the modules' buffers as they were."""
    saved = [(b, b.clone()) for m in modules(*programs) for b in m.buffers()]
    devices = sorted({p.device.index or 0 for m in modules(*programs) for p in m.parameters() if p.is_cuda})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for buffer, value in saved:
            buffer.copy_(value)


def _check_sites(model: Program, guide: Program, batch: Batch, traced: PairTrace) -> None:
    rows = batch_size(batch)
    observed_in_guide = [n for n, s in sample_sites(traced.guide).items() if s["is_observed"] and n not in batch]
    if observed_in_guide:
        raise ContractError(f"guide site {observed_in_guide[0]!r} is observed; a guide samples latent sites only.")
    for label, sites in (("guide", traced.guide_sites), ("model", traced.model_sites)):
        for site in sites.values():
            _check_shape(label, site, rows)
    if message := mismatch_message(model, guide, traced):
        raise ContractError(message)
    for name in traced.observed:
        if name not in batch:
            raise ContractError(
                f"observed site {name!r} bears no key of the batch, which has {', '.join(batch)}; name the site after its "
                "data."
            )
    for name, site in traced.guide_sites.items():
        refuse_outside(f"the guide's draw of {name!r}", {**traced.model_sites[name], "value": site["value"]})
        expected, came = traced.model_sites[name]["fn"].event_shape, site["fn"].event_shape
        if expected != came:
            raise ContractError(
                f"latent site {name!r} has event shape {tuple(came)} in the guide and {tuple(expected)} in the model; "
                "make them equal."
            )
    for name in traced.observed:
        refuse_outside(f"observed {name!r}", traced.model_sites[name])
    _ = traced.scale
    if message := find_non_finite(traced):
        raise NonFiniteError(message)


def _check_shape(label: str, site: Site, rows: int) -> None:
    fn, value, name = site["fn"], site["value"], site["name"]
    frames = site["cond_indep_stack"]
    inner = [frame for frame in frames if frame.name != DATA]
    if len(frames) == 1 and inner:
        raise ContractError(f"site {name!r} of the {label} lies in plate {inner[0].name!r}; call the plate {DATA!r}.")
    if inner:
        raise ContractError(
            f"site {name!r} of the {label} lies in plate {inner[0].name!r}; make that repetition an event dimension with "
            '.to_event, and keep only the plate "data".'
        )
    expected_value = (rows, *fn.event_shape)
    if not frames or frames[0].dim != -1 or fn.batch_shape != (rows,):
        raise ContractError(placement_message(label, site, tuple(fn.batch_shape), (rows,)).replace("(K, B)", "(B,)"))
    if tuple(value.shape) != expected_value:
        raise ContractError(
            f"site {name!r} of the {label} has a value of shape {tuple(value.shape)} under a distribution of shape "
            f"{expected_value}, and would broadcast; make the shapes equal."
        )


def find_non_finite(traced: PairTrace) -> str | None:
    """Names the first site and row whose log density is not finite; None when all are."""
    for label, scores in (("guide", traced.log_q), ("model", traced.log_p)):
        for name, score in scores.items():
            bad = (~torch.isfinite(score)).nonzero()
            if len(bad):
                value = float(score[tuple(bad[0])])
                return (
                    f"log density of site {name!r} of the {label} is {value} at row {int(bad[0, -1])} of the batch "
                    f"({len(bad)} of {score.numel()} scores): look at that site's parameters and at that datum."
                )
    return None


def _check_particles(model: Program, guide: Program, batch: Batch, num_particles: int) -> None:
    """K particles in one pass must score as they do one by one."""
    try:
        together = trace_pair(model, guide, batch, num_particles, enumerate_sites=False)
        scores = together.log_p
    except PyrovaeError:
        raise
    except Exception as error:
        raise ContractError(
            f"the pair runs alone but not with {num_particles} particles in front of the data ({type(error).__name__}: "
            f"{error}); networks must act on the last axes and pass leading ones through."
        ) from error
    for k in range(num_particles):
        given = {n: s["value"][k : k + 1] for n, s in together.model_sites.items() if not s["is_observed"]}
        alone = PairTrace(run_program(model, batch, 1, given=given), together.guide, (1, batch_size(batch)))
        for name, score in alone.log_p.items():
            if not torch.allclose(score[0], scores[name][k], rtol=1e-3, atol=1e-3):
                raise ContractError(
                    f"site {name!r} scores {float(score[0, 0]):g} alone and {float(scores[name][k, 0]):g} among "
                    f"{num_particles} particles: something mixes or flattens the leading axes; act on the last axes only."
                )


def _check_independence(model: Program, guide: Program, batch: Batch, traced: PairTrace) -> None:
    """Datum 0 must score the same when all other data are replaced by copies of datum 1."""
    other = {key: torch.cat([value[:1], value[1:2].expand(len(value) - 1, *value.shape[1:])]) for key, value in batch.items()}
    fixed = {n: torch.cat([z[:1], z[1:2].expand(len(z) - 1, *z.shape[1:])]) for n, z in traced.latents.items()}
    for label, program in (("guide", guide), ("model", model)):
        scores = []
        for data, latents in ((batch, traced.latents), (other, fixed)):
            scores.append(_scores(program, data, latents))
        for name, first in scores[0].items():
            if not torch.allclose(first[0], scores[1][name][0], rtol=1e-3, atol=1e-4):
                raise ContractError(
                    f"site {name!r} of the {label}: datum 0 scores {float(first[0]):g}, and {float(scores[1][name][0]):g} "
                    "when the other rows of the batch change; data must be independent, so no batch statistics (BatchNorm in "
                    "training mode, normalizing over the first axis): use LayerNorm or frozen statistics."
                )


def _scores(program: Program, batch: Batch, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The log density of each site at given latents; where a distribution scores its own draws only, at draws of one seed."""
    for given in (latents, None):
        torch.manual_seed(0)  # the same dropout masks, and draws, whatever the data
        sites = sample_sites(run_program(program, batch, given=given))
        try:
            return {name: _place_or_score(site) for name, site in sites.items()}
        except NotImplementedError:
            if given is None:
                raise
    raise AssertionError


def _place_or_score(site: Site) -> Tensor:
    """A site's scores, (B,); of a point, whose score is -inf beside it, the sum of its coordinates."""
    fn = site["fn"]
    place: Tensor = fn.mean.flatten(1).sum(1) if is_point(fn) else fn.log_prob(site["value"])
    return place
