"""Does a pair keep the contract? Asked before any training, answered with the site, what came, what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyro
import torch
from pyro.infer.autoguide import AutoGuide
from torch import Tensor

from pyrovae.calls import public
from pyrovae.core.admission import run_alone, to_pair
from pyrovae.core.alone import alone
from pyrovae.core.doors import training_batch
from pyrovae.core.energies import note_energies
from pyrovae.core.inference import evaluation_mode, has_batch_norm
from pyrovae.core.items import check_order, check_padding, scores_of
from pyrovae.core.joint import moved_readers
from pyrovae.core.keys import observed_keys
from pyrovae.core.layout import few_rows, preserve_state, settle_particles
from pyrovae.core.messages import masks_differ, mismatch_message
from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec
from pyrovae.core.parameters import parameter_scope, shadowed_parameter
from pyrovae.core.program import Batch, Program, batch_size, remember
from pyrovae.core.site_report import Report, report_sites
from pyrovae.core.sites import Site, auxiliary_sites, placement_message, sample_sites
from pyrovae.core.steps import StepModel
from pyrovae.core.support import refuse_outside
from pyrovae.core.trace import PairTrace
from pyrovae.data import Data, DataSpec, Split
from pyrovae.distributions.density import is_factor
from pyrovae.errors import ContractError, NonFiniteError, OptionError

__all__ = ["check", "check_batch", "find_non_finite"]

CHECK_PARTICLES = 3
CHECK_ROWS = 64  # of the data, from which the few that are checked come


@public()
def check(pair: PairLike, data: Any, num_particles: int = CHECK_PARTICLES) -> Report:
    """Refuse what breaks the contract of a pair, before any training.

    Checks on a few rows of the batch: both programs take it; each sample site lies in the data plate and scores as (K, B)
    with and without particles, which broadcast on the left of the data or are rows; latent names match; observed sites are
    given a key's values; event shapes and supports match, with no silent broadcast; every log density is finite; no datum's
    score depends on the other data of the batch, batch norm being frozen, nor on what stands beyond its ``lengths``; and where
    the data say that a key is a set (``KeySpec.is_set``), none depends on the order of its items.

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
    batch = to_pair(pair, training_batch(pair, data, CHECK_ROWS))
    return check_batch(pair, batch, num_particles, data.spec if isinstance(data, (Data, Split)) else None)


@alone()
def check_batch(
    pair: Pair, batch: Mapping[str, Tensor], num_particles: int = CHECK_PARTICLES, spec: DataSpec | None = None
) -> Report:
    """:func:`check` on a batch as it is, which lies on the pair's device, of data like these or like those the pair knows."""
    model, guide = pair.model, pair.guide
    if isinstance(guide, AutoGuide):
        raise ContractError(
            f"the guide is an AutoGuide ({type(guide).__name__}), which is not amortized: it has one z for each row of the "
            "data it was made with, and no q(z | x) of new x; write a guide as a network of x, or train with Pyro's own SVI."
        )
    batch = few_rows(batch, num_particles)
    with (
        parameter_scope(model, guide, fresh=True),
        preserve_state(model, guide),
        torch.no_grad(),
        pyro.validation_enabled(False),
    ):
        note_energies(model, batch)
        single = run_alone(model, guide, batch)
        if name := shadowed_parameter(model, guide):
            raise ContractError(
                f"model and guide are PyroModules that both call a parameter {name!r}, and would share it; give one of them a "
                'name, as in super().__init__("guide").'
            )
        _check_sites(model, guide, batch, single)
        rows = settle_particles(model, guide, batch, num_particles)
        with evaluation_mode(model, guide):  # batch norm, which mixes the rows while it is trained, is frozen later
            _check_independence(model, guide, batch, run_alone(model, guide, batch))
            check_padding(model, guide, batch, run_alone(model, guide, batch))
            check_order(model, guide, batch, run_alone(model, guide, batch), spec or known_spec(pair))
        remember(model, batch)  # not before: what is refused changes nothing
        reading = _readers(model, batch, single)
    return report_sites(single, rows, _notes(pair, single, reading), isinstance(model, StepModel))


def _readers(model: Program, batch: Batch, traced: PairTrace) -> Mapping[str, str]:
    """Sites that read what is drawn; none where the model scores and cannot be drawn from, which whoever draws is told."""
    try:
        return moved_readers(model, batch, traced.latents)
    except Exception:
        return {}


def _notes(pair: Pair, traced: PairTrace, reading: Mapping[str, str]) -> tuple[str, ...]:
    """What training does beside the bound, and how draws are made."""
    notes = [
        f"site {name} reads {key}, which is drawn: draws take several passes, or like=; let it read what pyro.sample returns"
        for name, key in reading.items()
    ]
    if has_batch_norm(pair.model, pair.guide):
        notes.append("batch norm: rows share their statistics while the pair is trained, which are frozen everywhere else")
    if traced.auxiliary:
        names = ", ".join(traced.auxiliary)
        notes.append(f"auxiliary {names}: no part of log p(x), and trained by objective 'auxiliary' alone")
    if traced.guide_factors is not None:
        notes.append("the guide has a factor, a loss of its own: what fit reports is no bound; log p(x) goes without it")
    return tuple(notes)


def _check_sites(model: Program, guide: Program, batch: Batch, traced: PairTrace) -> None:
    rows = batch_size(batch)
    observed_in_guide = [
        n for n, s in sample_sites(traced.guide).items() if s["is_observed"] and not (n in batch or is_factor(s["fn"]))
    ]
    if observed_in_guide:
        raise ContractError(f"guide site {observed_in_guide[0]!r} is observed; a guide samples latent sites only.")
    for label, trace in (("guide", traced.guide), ("model", traced.model)):
        for site in sample_sites(trace).values():
            _check_shape(label, site, rows)
        for name, site in auxiliary_sites(trace).items():
            if not site["is_observed"]:
                raise ContractError(
                    f"site {name!r} of the {label} is auxiliary and has no value, so that its draw would have no score; give "
                    'it obs=, or leave infer={"auxiliary": True} out.'
                )
            _check_shape(label, site, rows)
    if message := mismatch_message(model, guide, traced) or masks_differ(traced):
        raise ContractError(message)
    observed_keys(model, batch, traced.guide)
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
    if inner := [frame for frame in frames if frame.dim != -1]:
        raise ContractError(
            f"site {name!r} of the {label} lies in plate {inner[0].name!r}; make that repetition an event dimension with "
            ".to_event, and keep only the plate of the data, at dim -1."
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


def _check_independence(model: Program, guide: Program, batch: Batch, traced: PairTrace) -> None:
    """Datum 0 must score the same when all other data are replaced by copies of datum 1."""
    other = {key: torch.cat([value[:1], value[1:2].expand(len(value) - 1, *value.shape[1:])]) for key, value in batch.items()}
    fixed = {n: torch.cat([z[:1], z[1:2].expand(len(z) - 1, *z.shape[1:])]) for n, z in traced.latents.items()}
    for label, program in (("guide", guide), ("model", model)):
        scores = []
        for data, latents in ((batch, traced.latents), (other, fixed)):
            scores.append(scores_of(program, data, latents))
        for name, first in scores[0].items():
            if not torch.allclose(first[0], scores[1][name][0], rtol=1e-3, atol=1e-4):
                raise ContractError(
                    f"site {name!r} of the {label}: datum 0 scores {float(first[0]):g}, and {float(scores[1][name][0]):g} "
                    "when the other rows of the batch change; data must be independent, so no batch statistics (BatchNorm in "
                    "training mode, normalizing over the first axis): use LayerNorm or frozen statistics."
                )
