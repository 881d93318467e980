"""Does a run that is killed at random moments, and resumed each time, end bitwise as if it had not been?

Each case is trained once in peace; then again and again with SIGKILL (the first also with SIGTERM) at random moments, resumed
from whatever checkpoint lies there, until it has been ended so many times. Each run that comes to its end is compared with the
first: parameters, optimizer, random generators, best parameters, history; all but the seconds.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from pyrovae.errors import RunError
from pyrovae.files import load_state
from pyrovae.train.run import CHECKPOINT

__all__ = ["ENTRY", "differences"]

SMALL = {"latent_dim": 3, "hidden": [16]}
LABELS = ["few-labels:num_labels=50"]
# pair, its options, transforms of the digits, objective
CASES: dict[str, tuple[str, dict[str, Any], list[str], Any]] = {
    "elbo": ("vae", SMALL, [], "elbo"),
    "iwae": ("vae", SMALL, [], "iwae:num_particles=5"),
    "dreg": ("vae", SMALL, [], "dreg:num_particles=5"),
    "flows": ("flow-vae", {**SMALL, "flow": "planar", "num_flows": 2}, [], "elbo"),
    "two layers": ("two-layer-vae", {**SMALL, "lower_dim": 3, "upper_hidden": [8]}, [], "iwae:num_particles=5"),
    "capacity": ("beta-vae", {**SMALL, "capacity": 5.0, "gamma": 10.0}, [], None),
    "denoising": ("dvae", SMALL, ["corrupt:process=masking,rate=0.25"], None),
    "contractive": ("cae", {"latent_dim": 3}, [], None),
    "factor": ("factor-vae", {**SMALL, "discriminator_hidden": 16, "discriminator_depth": 2}, [], None),
    "total correlation": ("beta-tcvae", SMALL, [], None),
    "relaxed": ("categorical-vae", {"num_variables": 3, "num_classes": 3, "hidden": [16]}, [], None),
    "codewords": ("vq-vae", {"num_places": 2, "num_codes": 8, "code_dim": 2, "hidden": [16]}, [], None),
    "chains": ("rbm-vae", {"num_bits": 6, "num_chains": 20, "num_sweeps": 2}, [], None),
    "exemplars": ("exemplar-vae", SMALL, ["neighbours:num=3"], None),
    "constrained": ("vae", SMALL, [], "constrained:distortion=20,rate=0.01"),
    "adversarial": ("aae", SMALL, [], None),
    "adversarial, style": ("aae-style", SMALL, [], None),
    "adversarial, labels": ("aae-semi", {**SMALL, "head_distance": 3.0}, LABELS, None),
    "adversarial, clusters": ("aae-cluster", SMALL, [], None),
    "steps": ("vrnn", {"latent_dim": 2, "recurrent_dim": 8, "hidden": [8]}, [], "elbo:num_particles=3"),
    "filters": ("vrnn", {"latent_dim": 2, "recurrent_dim": 8, "hidden": [8]}, [], "fivo:num_particles=3"),
    "no latents": ("autoregressive", {"hidden": [16]}, [], None),
    "labels": ("m2", SMALL, LABELS, None),
    "labels, baselines": ("m2", SMALL, LABELS, {"name": "semisupervised", "y": "sampled", "base": "nvil"}),
}


def train(case: str, epochs: int, seed: int, path: str) -> None:
    """Train a case from wherever it stands; run in a process of its own, for the parent to kill."""
    torch.set_num_threads(1)
    name, options, transforms, objective = CASES[case]
    data = pv.data.load("digits", transforms=transforms)
    torch.manual_seed(seed)
    pair = pv.pairs.get(name).build(data.spec, **options)
    if (Path(path) / CHECKPOINT).exists():
        pv.resume(path, pair=pair, data=data, progress=False)
        return
    shutil.rmtree(path, ignore_errors=True)  # killed before its first checkpoint
    how = {"batch_size": 200, "checkpoint_seconds": 0, "tensorboard": False, "progress": False, "compile": False}
    pv.fit(pair, data, objective, epochs=epochs, seed=seed, out=path, **how)


def differences(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """Where two states differ, the seconds left out.

    >>> list(differences({"a": [1, 2], "seconds": 3}, {"a": [1, 4], "seconds": 5}))
    ['.a[1]']
    """
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        if not torch.equal(first, second):
            yield path
    elif isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        for key in first:
            if key != "seconds":
                yield from differences(first[key], second[key], f"{path}.{key}")
    elif isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)) and len(first) == len(second):
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif isinstance(first, (Tensor, dict, list, tuple)) or type(first) is not type(second) or first != second:
        yield path


class Killer:
    """Trains one case in processes that start from one that has everything imported, and kills them."""

    def __init__(self, case: str, epochs: int, seed: int, folder: Path, by: str = "SIGKILL") -> None:
        self.case, self.epochs, self.seed, self.folder, self.signal = case, epochs, seed, folder, signal.Signals[by]
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([__name__, "torch._dynamo"])  # which Adam imports

    def run(self, name: str, seconds: float | None = None) -> bool:
        """Train on in a folder, and end that after so many seconds; whether there was anything left to end."""
        process = self.context.Process(target=train, args=(self.case, self.epochs, self.seed, str(self.folder / name)))
        process.start()
        process.join(seconds)
        ended = process.is_alive()
        if ended:
            os.kill(process.pid, self.signal)
        process.join()
        if process.exitcode not in (0, -self.signal):
            raise RunError(f"{self.case}: a process in {self.folder / name} ended with {process.exitcode}, see above.")
        return process.exitcode != 0 or (ended and not self.is_finished(name))

    def is_finished(self, name: str) -> bool:
        """Whether the run in a folder has come to its end."""
        path = self.folder / name / CHECKPOINT
        return path.exists() and load_state(path)["stopped"] == "finished"

    def seconds(self, name: str) -> float:
        """Train to the end in a folder; how long that took."""
        began = time.perf_counter()
        self.run(name)
        return time.perf_counter() - began

    def cell(self, kills: int) -> Row:
        """How many runs were killed, and where any differs from the one in peace."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.run("first")  # which waits for the imports too
        took = self.seconds("peace")
        peace = load_state(self.folder / "peace" / CHECKPOINT)
        found = set(differences(peace, load_state(self.folder / "first" / CHECKPOINT)))
        draw, done, runs, early = random.Random(self.seed), 0, 0, 0
        while done < kills:
            name = f"killed-{runs}"
            while done < kills and self.run(name, draw.uniform(0, took)):
                done += 1
                early += not (self.folder / name / CHECKPOINT).exists()
            if done < kills:  # it ended before its time: draw from less
                took *= 0.8
            self.run(name)
            runs += 1
            found.update(differences(peace, load_state(self.folder / name / CHECKPOINT)))
        shutil.rmtree(self.folder)
        return {"runs": runs, "before_first_checkpoint": early, "steps": peace["step"], "differs": sorted(found)}


def run(job: Job) -> None:
    """Each case and seed, by each signal."""
    options = job.options
    for by, kills in (("SIGKILL", options.kills), ("SIGTERM", options.terminations)):
        for case in options.cases if by == "SIGKILL" else options.cases[:1]:
            for seed in options.seeds:
                folder = job.out / "kills" / f"{case.replace(' ', '-')}-{seed}-{by}"
                killer = Killer(case, options.epochs, seed, folder, by)
                key = {"case": case, "signal": by, "kills": kills, "epochs": options.epochs, "seed": seed}
                job.records.cell(key, functools.partial(killer.cell, kills))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """What was killed, and whether it ended the same."""
    heads = ["case", "by", "seed", "steps", "kills", "of them before a checkpoint", "runs", "ended"]
    names = ("case", "signal", "seed", "steps", "kills", "before_first_checkpoint", "runs")
    lines = []
    for row in rows:
        ended = f"**differs** in {', '.join(row['differs'])}" if row["differs"] else "bitwise the same"
        lines.append([*(row[name] for name in names), ended])
    return {"kills": markdown.table(heads, lines)}


ENTRY = Entry(
    name="kills",
    shows="Runs killed at random moments and resumed end bitwise as if they had not been.",
    budgets={
        "smoke": Spend("8 seconds", {"cases": ["elbo"], "kills": 1, "terminations": 1, "epochs": 2}),
        "cpu": Spend("10 minutes of one core", {}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "cases": Option("which", list(CASES), str, list(CASES)),
        "kills": Option("of each case by SIGKILL", 20),
        "terminations": Option("of the first case by SIGTERM", 10),
        "epochs": Option("of a run", 20),
    },
)
