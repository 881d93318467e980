"""One call for every estimator of log p(x): streams over the data, resumes, reports progress."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor
from tqdm import tqdm

from pyrovae.calls import public
from pyrovae.compile import Code
from pyrovae.core.admission import Admission
from pyrovae.core.energies import note_energies
from pyrovae.core.inference import inference, private_draws
from pyrovae.core.messages import masks_differ, mismatch_message, no_density
from pyrovae.core.pair import Pair, PairLike, as_pair, known_spec
from pyrovae.core.program import Batch
from pyrovae.core.sites import sample_sites, site_masks
from pyrovae.core.trace import latents_trace, run_program, trace_pair
from pyrovae.data import as_split
from pyrovae.data.seeds import mix, set_seed
from pyrovae.distributions.supports import inside
from pyrovae.errors import ContractError, NonFiniteError, OptionError, PyrovaeError
from pyrovae.evidence.ais import AIS, SMC
from pyrovae.evidence.bridge import Bridge
from pyrovae.evidence.checkpoint import fingerprint, resume_run, save_run
from pyrovae.evidence.evidence import Evidence
from pyrovae.evidence.exact import Exact
from pyrovae.evidence.fivo import FIVO
from pyrovae.evidence.importance import Importance
from pyrovae.evidence.keeper import Keeper
from pyrovae.evidence.method import Job, Method, require
from pyrovae.evidence.normalizers import normalizers_of
from pyrovae.registry import Registry

__all__ = ["METHODS", "log_evidence", "stream"]

METHODS: Registry[type[Method]] = Registry("method", {each.name: each for each in (Importance, AIS, SMC, Bridge, Exact, FIVO)})
SUPPORT_DRAWS = 16  # of the prior for each datum of the first batch


@public()
def log_evidence(
    pair: PairLike,
    data: Any,
    method: str = "importance",
    *,
    batch_size: int = 100,
    max_rows: int = 5000,
    seed: int = 0,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    precision: str = "float32",
    compile: bool | None = None,
    **options: Any,
) -> Evidence:
    """log p(x_b) of each datum by one of the methods below, in nats, with its standard error and side.

        importance  L_K from the guide: num_samples=1000, psis, defensive, target_error   lower bound
        ais         annealed importance sampling: num_chains=16, num_distributions=1000   lower bound
        smc         the same with resampling                                              lower bound
        bridge      between a refined Gaussian and HMC draws of the posterior             neither
        exact       the model's own ``log_evidence``, or the sum over enumerable sites    exact
        fivo        particle filters over a pair's steps: num_samples=128, num_filters=8  lower bound

    Every method draws exactly what it is told to for each datum, whatever the batches and passes, in memory that does not
    grow with K or N. The modules are in evaluation mode; the caller's random state is left as it was.

    Args:
        pair: a Run, a run's folder, a Pair, or (model, guide).
        data: N rows, in any form that :func:`pyrovae.data.load` takes; of a whole Data set the test part.
        method: the estimator's name.
        batch_size: the most data in one pass.
        max_rows: the most draws x data in one pass: the cap on memory. About 5,000 is also fastest on a CPU, whose cache it
            fits; a GPU wants more.
        seed: of the draws.
        progress: show a bar with the remaining time.
        checkpoint: a file that is written after each batch, and each minute by ais, smc and bdmc; a call with the same
            arguments continues from it to the same numbers.
        precision: "float32", or "bf16" networks with float32 log densities.
        compile: compile the passes of importance sampling (by default from 10,000,000 draws x data) and the transitions of
            ais, smc and bdmc (from 2,000,000 chains x distributions x data), which takes some seconds.
        options: of the method, see :class:`Importance`, :class:`AIS`, :class:`SMC`, :class:`Bridge`, :class:`FIVO`.

    Returns:
        :class:`Evidence`.

    Raises:
        ContractError: the likelihood or the guide is no density, the guide's support misses the model's, or the pair breaks
            the contract.
        NonFiniteError: names the site and row where a log density is NaN, or a datum all of whose weights are zero.
        OptionError: an option that is not known, or draws that do not fit into memory.
            The error's ``partial`` is the Evidence of the data before the batch that failed, or None; they are in the
            checkpoint too.

    References: Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016; Wu, Burda, Salakhutdinov and Grosse,
    On the Quantitative Analysis of Decoder-Based Generative Models, 2017.

    >>> from pyrovae import data, pairs
    >>> digits = data.load("digits")
    >>> pair = pairs.linear_gaussian(digits.spec, latent_dim=2)
    >>> estimate = log_evidence(pair, digits, num_samples=2)
    >>> bool((estimate.value - pair.model.log_evidence(digits.test["x"])).abs().max() < 0.01)
    True
    """
    pair = as_pair(pair)
    chosen = METHODS[method].build(options)
    data = as_rows(pair, data)
    columns = stream(pair, data, chosen, batch_size, max_rows, seed, progress, checkpoint, precision, compile)
    told = {**chosen.options(), "seed": seed}
    return Evidence.of(columns, chosen.name, chosen.bound, told, normalizers_of(pair, data.batches(1)))


def stream(
    pair: Pair,
    data: Any,
    method: Method,
    batch_size: int = 100,
    max_rows: int = 5000,
    seed: int = 0,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    precision: str = "float32",
    compile: bool | None = None,
) -> dict[str, Tensor]:
    """A method's columns for all data, (N,) each, batch by batch; arguments and errors of :func:`log_evidence`.

    ``data`` may also be an object with ``batches``, ``fingerprint`` and a length, which is read as it is.
    """
    require("batch_size", batch_size, 1)
    require("max_rows", max_rows, 1)
    split = as_rows(pair, data)
    size = method.batch_size(batch_size, max_rows)
    parts: list[dict[str, Tensor]] = []
    held, keeper = None, None
    found: dict[str, bool] = {}
    code = Code() if (len(split) * method.work >= method.long if compile is None else compile) else None
    identity = {"method": method.name, **method.options(), "seed": seed, "size": size, "max_rows": max_rows}
    identity |= {"precision": precision, "compiled": code is not None}
    if checkpoint is not None:
        identity["of"] = fingerprint(pair, split)
        parts, held, products = resume_run(Path(checkpoint), identity)
        if code is not None:
            code.products |= products
    done = sum(len(part["value"]) for part in parts)
    admit, bar = Admission(pair), _progress_bar(method, len(split), done, progress)
    with inference(pair, precision, seed) as device, bar, pyro.validation_enabled(False):
        for number, batch in enumerate(split.batches(size)):
            if number < len(parts):
                admit.first += len(parts[number]["value"])
                continue
            set_seed(mix(seed, number) >> 1)  # a pure function of the two, so that resuming is exact
            batch = _admitted(admit, batch, parts, method, seed)
            if checkpoint is not None:
                state = {"identity": identity, "parts": parts, "products": code.products if code else {}}
                keeper, held = Keeper(partial(save_run, Path(checkpoint), state), held), None
            rows = len(next(iter(batch.values())))
            full = code if rows == min(size, len(split)) else None  # one shape is compiled, also by a run that resumes
            job = Job(pair.model, pair.guide, batch, rows, device, done, max_rows, bar.update, keeper, full)
            columns = _estimate(method, job, found, parts, seed)
            parts.append({name: value.cpu() for name, value in columns.items()})
            done += job.size
            if checkpoint is not None:
                save_run(Path(checkpoint), state, None)
    if not parts:
        raise ContractError("the data are empty: no evidence to estimate.")
    return _together(parts)


def as_rows(pair: Pair, data: Any) -> Any:
    """The data as a Split; an object with ``batches``, ``fingerprint`` and a length as it is."""
    return data if hasattr(data, "batches") and hasattr(data, "fingerprint") else as_split(data, known_spec(pair))


def _progress_bar(method: Method, num_data: int, done: int, shown: bool) -> Any:
    """A bar over all data's work, of which some is done."""
    return tqdm(
        total=num_data * method.work,
        initial=done * method.work,
        unit_scale=True,
        disable=None if shown else True,
        desc=f"log p(x), {method.name}",
        leave=False,
    )


def _estimate(
    method: Method, job: Job, found: dict[str, bool], parts: list[dict[str, Tensor]], seed: int
) -> dict[str, Tensor]:
    """The method's columns of a batch, (B,) each; an error says where it happened and bears the batches before it.

    ``found`` is what the check of the first batch found, which is empty before it.
    """
    try:
        if not found:
            with private_draws(seed, job.device) if job.first else nullcontext():  # a run that goes on draws as it had
                found["masks"] = _check(job, method)
        elif found["masks"] and (message := masks_differ(trace_pair(job.model, job.guide, job.batch))):
            raise ContractError(message)  # masks are data, and each batch has its own
        return method.estimate(job)
    except Exception as error:
        error = _explain(error, job)
        error.partial = _partial(parts, method, seed)  # type: ignore[attr-defined]  # any error bears what is done
        raise error from error.__cause__


def _admitted(
    admit: Admission, batch: Mapping[str, Tensor], parts: list[dict[str, Tensor]], method: Method, seed: int
) -> Batch:
    """The batch, looked at; a refusal bears the batches before it, as any error does."""
    try:
        return admit(batch)
    except PyrovaeError as error:
        error.partial = _partial(parts, method, seed)  # type: ignore[attr-defined]
        raise


def _together(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _partial(parts: list[dict[str, Tensor]], method: Method, seed: int) -> Evidence | None:
    """The Evidence of the batches that are done."""
    if not parts:
        return None
    return Evidence.of(_together(parts), method.name, method.bound, {**method.options(), "seed": seed})


def _explain(error: Exception, job: Job) -> Exception:
    """The error with what the user needs beside it: where the batch is, or what to do where memory was too small."""
    text, told = str(error), error
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
        told = OptionError(
            f"memory is too small for a pass of max_rows={job.max_rows} draws x data; give a smaller max_rows, or a "
            "smaller batch_size, or fewer chains."
        )
    elif isinstance(error, NonFiniteError) and "of the batch" in text and job.first:
        told = NonFiniteError(f"{text} The batch begins with datum {job.first}.")
    if told is not error:
        told.__cause__ = error
    return told


def _check(job: Job, method: Method) -> bool:
    """Refuse pairs that have no log p(x), or whose guide cannot estimate it; whether latent sites are masked."""
    model, guide, batch = job.model, job.guide, job.batch
    note_energies(model, batch)
    traced = trace_pair(model, guide, batch)
    if message := mismatch_message(model, guide, traced) or masks_differ(traced):
        raise ContractError(message)
    if message := no_density(traced, model_only=not method.weighs_guide):
        raise ContractError(message)
    bounded = any(inside(site["fn"], site["value"]) is not None for site in traced.guide_sites.values())
    if method.covers is not None and bounded:
        _check_supports(job, method.covers)
    return any(site_masks(site) for site in traced.guide_sites.values())


def _check_supports(job: Job, instead: str) -> None:
    """Refuse a guide that is zero where the prior draws."""
    k = max(1, min(SUPPORT_DRAWS, job.max_rows // job.size))
    sites = sample_sites(run_program(job.model, job.batch, k))
    drawn = {name: site["value"] for name, site in sites.items() if not site["is_observed"]}
    for name, site in sample_sites(run_program(job.guide, job.batch, k, replay=latents_trace(drawn))).items():
        lies = None if site["is_observed"] else inside(site["fn"], site["value"])
        if lies is not None and not bool(lies.all()):
            raise ContractError(
                f"the guide's site {name!r} has support {site['fn'].support}, where only {float(lies.float().mean()):.0%} "
                f"of the prior's draws lie: weights under it miss part of p(x, {name}), however many there are; give the "
                f"guide a distribution on the support {sites[name]['fn'].support}, or use {instead}."
            )
