"""Does every recipe do on a GPU what it does on the processor?

Each small configuration is trained for an epoch on the device, eagerly and compiled; then its log densities at the same
latents, moved between the two, are compared, and its log p(x) by importance sampling with independent draws; then it is
sampled from, completed, saved, loaded on the device and trained on.
"""

from __future__ import annotations

import copy
import functools
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyro import poutine
from torch import Tensor

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from pyrovae.core.inference import inference
from pyrovae.core.program import modules
from pyrovae.core.run import run_program
from pyrovae.core.sites import sample_sites
from pyrovae.models import AE
from pyrovae.pairs.catalogue import CATALOGUE
from pyrovae.pairs.tiny import FORMS

__all__ = ["ENTRY"]

HOW: dict[str, Any] = {"batch_size": 100, "progress": False, "tensorboard": False, "lr": 3e-3}


@functools.cache
def digits(form: str, folder: Path) -> pv.data.Data:
    """The 8x8 digits, or other small data, in one of the forms of the recipes' small configurations."""
    name: Any = "digits"
    if form == "counts":
        name = folder / "counts.npy"
        x = pv.data.load("digits", binarization="none").train[:200]["x"].flatten(1)
        np.save(name, (16 * x).round().int().numpy())
    data = pv.data.load(name, **FORMS[form])
    sizes = {"train": 200, "test": 30}
    return replace(data, **{part: few(getattr(data, part), size) for part, size in sizes.items()})


def few(data: Any, size: int) -> Any:
    """The first rows."""
    return data.subset(torch.arange(min(size, len(data))))


def on(pair: pv.Pair, device: str) -> pv.Pair:
    """A copy of the pair on a device."""
    copied = copy.deepcopy(pair)
    for module in modules(copied.model, copied.guide):
        module.to(device)
    return copied


def moved(batch: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    """The batch on a device."""
    return {key: value.to(device) for key, value in batch.items()}


def log_densities(pair: pv.Pair, batch: dict[str, Tensor], values: dict[str, Tensor]) -> dict[str, Tensor]:
    """log p and log q of each site at values of the latents, on the processor."""
    found: dict[str, Tensor] = {}
    with inference(pair, seed=0):
        for of, program in (("p", pair.model), ("q", pair.guide)):
            with poutine.condition(data=values):
                trace = run_program(program, batch)
            trace.compute_log_prob()
            found |= {f"{of} {name}": site["log_prob"].double().cpu() for name, site in sample_sites(trace).items()}
    return found


def gap(pair: pv.Pair, batch: dict[str, Tensor], device: str) -> float | None:
    """The largest difference between the two devices' log densities at the same latents, relative where they exceed 1.

    None of a pair that does not score given latents on the processor either: a flow without an inverse.
    """
    here, there = on(pair, "cpu"), on(pair, device)
    with inference(here, seed=0):
        latents = {name: site["value"] for name, site in sample_sites(run_program(here.guide, batch)).items()}
    try:
        ours = log_densities(here, batch, latents)
    except NotImplementedError:
        return None
    theirs = log_densities(there, moved(batch, device), moved(latents, device))
    return max(float(((ours[name] - theirs[name]).abs() / ours[name].abs().clamp(min=1)).max()) for name in ours)


def uses(run: pv.Run, data: pv.data.Data, path: Path, device: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What a person does with a trained run."""
    some, one = ({key: value[:rows] for key, value in data.test[:4].items() if key not in ("index", "y")} for rows in (4, 1))
    yield "evaluate", lambda: pv.evaluate(run, data.test, num_samples=20)
    yield "reconstruct", lambda: pv.reconstruct(run, some)
    if not isinstance(run.model, AE):
        yield "sample", lambda: pv.sample(run, 4, like=one)
    yield "load", lambda: pv.load(path, data=data, device=device)
    yield "resume", lambda: pv.resume(path, data=data, epochs=2, progress=False)


def outcome(call: Callable[[], Any]) -> str:
    """Empty, or the last line of an error."""
    try:
        call()
    except Exception as error:  # every fault is a row of the table
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]} ({Path(where.filename).name}:{where.lineno})"
        )
    return ""


def cell(name: str, form: str, sizes: dict[str, Any], device: str, compiled: bool, folder: Path) -> Row:
    """All of a configuration on the device."""
    data = digits(form, folder)
    torch.manual_seed(0)
    pair = pv.pairs.get(name).build(data.spec, **sizes)
    path = folder / name
    shutil.rmtree(path, ignore_errors=True)
    runs: list[pv.Run] = []
    faults, began = {}, time.perf_counter()
    for what, options in {"fit": {"compile": False, "out": path}, "compiled fit": {"compile": True}}.items():
        if compiled or what == "fit":
            fit = functools.partial(pv.fit, copy.deepcopy(pair), data, epochs=1, device=device, seed=0, **HOW, **options)
            faults[what] = outcome(lambda fit=fit: runs.append(fit()))
    if runs:
        faults |= {what: outcome(call) for what, call in uses(runs[0], data, path, device)}
    row: Row = {"faults": {what: fault for what, fault in faults.items() if fault}, "gap": None, "evidence": None}
    row["backend"] = runs[1].config["compiled"]["backend"] if len(runs) > 1 else None
    if runs and pv.pairs.get(name).has_density(sizes):
        found: list[float | None] = []
        faults["densities"] = outcome(lambda: found.append(gap(runs[0].pair, data.train[torch.arange(20)], device)))
        row["gap"] = found[0] if found else None
        row["faults"] |= {"densities": faults["densities"]} if faults["densities"] else {}
        row["evidence"] = evidence_gap(runs[0].pair, data, device)
    return {**row, "seconds": time.perf_counter() - began}


def evidence_gap(pair: pv.Pair, data: pv.data.Data, device: str) -> float:
    """Difference of the mean log p(x) by importance sampling on the two devices with independent draws, nats."""
    means = [pv.log_evidence(on(pair, place), data.test, num_samples=500, seed=0).mean for place in ("cpu", device)]
    return means[1] - means[0]


def run(job: Job) -> None:
    """Each recipe's small configurations."""
    options, folder = job.options, job.out / "devices"
    folder.mkdir(parents=True, exist_ok=True)
    for recipe in CATALOGUE.values():
        for number, tiny in enumerate(recipe.tiny):
            wanted = options.recipes and recipe.name not in options.recipes
            if wanted or tiny.form == "table":  # a table of columns is not of the digits
                continue
            sizes = dict(tiny.options)
            key = {"recipe": recipe.name, "form": tiny.form, "options": sizes, "device": options.device}
            compiled = not options.eager and number == 0
            job.records.cell(key, functools.partial(cell, recipe.name, tiny.form, sizes, options.device, compiled, folder))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A configuration a line."""
    lines = []
    for row in rows:
        sizes = ", ".join(f"{name} {value}" for name, value in row["options"].items() if name in SHOWN)
        faults = "; ".join(f"{what}: {fault}" for what, fault in row["faults"].items()) or "none"
        figures = [
            "-" if row[name] is None else f"{row[name]:{kind}}" for name, kind in (("gap", ".1e"), ("evidence", "+.2f"))
        ]
        lines.append([row["recipe"], sizes, row["device"], *figures, faults])
    heads = ["recipe", "options", "device", "log densities differ by", "log p(x) by, nats", "faults"]
    return {"devices": markdown.table(heads, lines)}


SHOWN = ("posterior", "flow", "likelihood", "network", "weighting", "capacity", "prior", "precision", "penalty", "jacobian")

ENTRY = Entry(
    name="devices",
    shows="Every recipe trains, scores and samples on a GPU as on the processor.",
    budgets={
        "smoke": Spend("4 seconds", {"recipes": ["vae"], "device": "cpu", "eager": True}),
        "cpu": Spend("5 minutes of one core", {"device": "cpu", "eager": True}),
        "gpu": Spend("5 minutes of one GPU and 12 processes", {}),
    },
    run=run,
    tables=tables,
    options={
        "recipes": Option("which; by default all", []),
        "device": Option("to compare the processor with", "cuda"),
        "eager": Option("compile nothing", False),
    },
)
