"""Compute a cell: train it in a run folder of its own, continue it where it was killed, evaluate it, write its result.

    OUT/cells/LABEL-FINGERPRINT/seed-0/run/         what ``pyrovae.fit`` writes
    OUT/cells/LABEL-FINGERPRINT/seed-0/result.json  written last: a cell with a result is finished

Cells are found by the fingerprint of their settings, so that tables share those they have in common, and changed settings
make another folder.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import Namespace

import pyrovae as pv
from benchmarks.lab.cells import Cell
from benchmarks.lab.machine import forget_peak, machine, peak_mib
from pyrovae.cli.options import Builder
from pyrovae.files import load_state, read_json, write_json
from pyrovae.train.fitting import versions
from pyrovae.train.run import CHECKPOINT

__all__ = ["How", "Interrupted", "folder_of", "result_of", "results_of", "run_cell"]

RESULT, STARTS, EVIDENCE = "result.json", "starts.json", "evidence.safetensors"


class Interrupted(Exception):
    """Training was told to stop; the same command continues it."""


@dataclass(frozen=True)
class How:
    """What does not decide a result: where and on what it is computed."""

    out: Path
    command: str
    device: str = "cpu"
    threads: int | None = None
    progress: bool = True
    fabric: Any = None

    @property
    def writes(self) -> bool:
        """Whether this process, of several, is the one that writes."""
        return self.fabric is None or self.fabric.global_rank == 0

    def same(self, content: Any) -> Any:
        """What process 0 has."""
        return content if self.fabric is None else self.fabric.broadcast(content)

    def say(self, text: str) -> None:
        """A line for whoever waits."""
        if self.progress and self.writes:
            print(text, flush=True)


def folder_of(cell: Cell, seed: int, out: Path) -> Path:
    """Where a cell's run of one seed is, or will be."""
    slug = re.sub(r"[^a-z0-9]+", "-", f"{cell.data['name']} {cell.label}".lower()).strip("-")
    folders = sorted((out / "cells").glob(f"*-{cell.fingerprint}"))
    return (folders[0] if folders else out / "cells" / f"{slug}-{cell.fingerprint}") / f"seed-{seed}"


def result_of(cell: Cell, seed: int, out: Path) -> dict[str, Any] | None:
    """The result of a finished cell; None if it is not finished."""
    path = folder_of(cell, seed, out) / RESULT
    return read_json(path) if path.exists() else None


def results_of(cell: Cell, out: Path) -> list[dict[str, Any]]:
    """The results of all finished seeds, in order."""
    found = [read_json(path) for path in folder_of(cell, 0, out).parent.glob(f"seed-*/{RESULT}")]
    return sorted(found, key=lambda result: result["seed"])


def run_cell(cell: Cell, seed: int, how: How) -> dict[str, Any]:
    """The result of a cell: the finished one's, or what is left to do of it now."""
    if how.threads is not None:
        torch.set_num_threads(how.threads)
    done = how.same(result_of(cell, seed, how.out))
    if done is not None:
        return done
    if cell.start is not None:
        run_cell(cell.start, seed, how)
    folder = folder_of(cell, seed, how.out)
    how.say(f"{cell.label} ({cell.data['name']}, seed {seed}) in {folder}")
    forget_peak(how.device)
    if how.writes:
        folder.mkdir(parents=True, exist_ok=True)
        _note_start(folder)
    how.same(None)  # the folder is there for all
    run = _trained(cell, seed, folder / "run", how)
    if run.unfinished:
        raise Interrupted(f"{folder} is interrupted")
    result = _result(cell, seed, folder, run, how) if how.writes else None
    return how.same(result)


# ------------------------------------------------------------------------------------------------ training
@functools.lru_cache(maxsize=2)
def _load(arguments: str) -> pv.data.Data:
    return pv.data.load(**json.loads(arguments))


def _pair(cell: Cell, seed: int, spec: pv.data.DataSpec) -> pv.Pair:
    """The pair with its first parameters, which the seed decides."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if ".py" in cell.pair:
            return Builder(cell.pair).pair(Namespace(**cell.options), spec)
        return pv.pairs.get(cell.pair).build(spec, **cell.options)


def _trained(cell: Cell, seed: int, path: Path, how: How) -> pv.Run:
    """The cell's run, trained to its end, from wherever it stands."""
    data = _load(json.dumps(dict(cell.data)))
    pair = _pair(cell, seed, data.spec)
    if how.writes and path.exists() and not (path / CHECKPOINT).exists():
        shutil.rmtree(path)  # killed before its first checkpoint
    shared: dict[str, Any] = {"progress": how.progress, "fabric": how.fabric}
    if not how.same(path.exists()):
        if cell.start is not None:
            start = folder_of(cell.start, seed, how.out) / "run"
            pair = pv.load(start, pair=pair, with_data=False).pair
        options = {"device": how.device, "tensorboard": False, **cell.fit}
        return pv.fit(pair, data, cell.objective, seed=seed, out=path, **options, **shared)
    history, stopped = (load_state(path / CHECKPOINT)[key] for key in ("history", "stopped"))
    if stopped == "early" or (history and history[-1]["epoch"] >= cell.fit["epochs"]):
        return pv.load(path, pair=pair, data=data, device=how.device)
    how.say(f"continues after epoch {history[-1]['epoch'] if history else 0}")
    return pv.resume(path, pair=pair, data=data, **shared)


# ------------------------------------------------------------------------------------------------ results
def _note_start(folder: Path) -> None:
    """Write down that work on a cell begins, and that the last start's lasted until its last checkpoint, if it left one."""
    path, now = folder / STARTS, time.time()
    written = [f.stat().st_mtime for f in (folder / "run" / CHECKPOINT, folder / EVIDENCE) if f.exists()]
    starts = read_json(path, list) if written and path.exists() else []
    if starts:
        starts[-1][1] = max([starts[-1][0], *written])
    write_json(path, [*starts, [now, None]])


def _seconds(folder: Path) -> tuple[float, int]:
    """Wall time of a cell's work, of which that of killed starts counts up to their last checkpoint; number of starts kept."""
    starts = read_json(folder / STARTS, list)
    return sum((time.time() if end is None else end) - begin for begin, end in starts), len(starts)


def _spent(start: Mapping[str, Any]) -> dict[str, float]:
    """Epochs and seconds of the cell that another starts from, and of what that one started from."""
    before = start.get("before") or {"epochs": 0, "wall": 0.0}
    return {"epochs": before["epochs"] + start["epochs"], "wall": before["wall"] + start["seconds"]["wall"]}


def _result(cell: Cell, seed: int, folder: Path, run: pv.Run, how: How) -> dict[str, Any]:
    """Evaluate a trained run and write its result."""
    began = time.perf_counter()
    evaluation = pv.evaluate(
        run,
        num_samples=cell.samples,
        max_rows=5_000 if how.device == "cpu" else 200_000,
        progress=how.progress,
        checkpoint=folder / EVIDENCE,
    )
    figures = evaluation.to_json()
    bound = None
    if cell.bound_samples is not None:
        bound = pv.log_evidence(run, run.data.test, num_samples=cell.bound_samples).mean
    evaluated = time.perf_counter() - began
    wall, starts = _seconds(folder)
    result = {
        "label": cell.label,
        "seed": seed,
        "fingerprint": cell.fingerprint,
        "settings": cell.settings(),
        "data": _data_of(run),
        "log_p": figures["log_evidence"],
        "log_p_stderr": figures["log_evidence_stderr"],
        "log_p_mc_stderr": figures["log_evidence_mc_stderr"],
        "num_samples": figures["num_samples"],
        "bound": bound,
        **{name: figures[name] for name in ("elbo", "elbo_stderr", "median_ess", "active_units", "latent_dims", "kl")},
        "before": None if cell.start is None else _spent(result_of(cell.start, seed, how.out)),
        **_training_of(run),
        "seconds": {
            "train": round(sum(row["seconds"] for row in run.records), 2),
            "evaluate": round(evaluated, 2),
            "wall": round(wall, 2),
        },
        "starts": starts,
        "peak_mib": peak_mib(how.device),
        "compiled": run.config["compiled"]["backend"],
        "processes": run.config.get("processes", 1),
        "versions": versions(),
        "machine": machine(how.device),
        "command": how.command,
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
    write_json(folder / RESULT, result)
    (folder / EVIDENCE).unlink(missing_ok=True)
    return result


def _data_of(run: pv.Run) -> dict[str, Any]:
    """Name, binarization and sizes of its data."""
    data = run.data
    sizes = {part: 0 if getattr(data, part) is None else len(getattr(data, part)) for part in ("train", "valid", "test")}
    return {"name": data.spec.name, "binarization": data.spec.binarization, **sizes}


def _training_of(run: pv.Run) -> dict[str, Any]:
    """How far it was trained, which parameters it ends with, and its bounds."""
    last = run.records[-1]
    ends = {"epochs": last["epoch"], "steps": last["step"], "weights": run.weights, "best_epoch": run.best_epoch}
    return {**ends, "train_bound": last["train"], "curve": _curve(run.records)}


def _curve(history: Sequence[Mapping[str, Any]], num: int = 60) -> dict[str, list[Any]]:
    """The bounds of at most so many epochs, spaced as on a logarithmic axis."""
    chosen = [history[index - 1] for index in np.unique(np.geomspace(1, len(history), num).round().astype(int))]
    return {name: [row.get(name) for row in chosen] for name in ("epoch", "train", "valid")}
