"""How long is a training step, compiled by pyrovae, beside hand-written PyTorch, stock Pyro, NumPyro and Pythae?

Nine rows (``rows.py``): an MLP VAE 784-400-20 at batch 20, 100 and 256; the IWAE's 784-200-200-50 with K = 50 at batch
20 and 100; a convolutional VAE; the IWAE with two stochastic layers; a VAE with an enumerated class; a sequence of 28 steps
with a latent at each. Then whole epochs through ``fit`` beside bare compiled steps ("epoch vae-20", ...).

Contenders, all of one objective on one network with Adam at 1e-3 (``--check`` compares their bounds):

    hand              PyTorch by hand, fused Adam (``contenders/hand.py``)
    hand-compile      the same under torch.compile, with the matmul backend that ``compiled`` chose and the faster of two Adams
    fit-eager         the step of ``fit`` without a compiler
    compiled          ``pyrovae.compile_step``
    pyro              stock SVI, modules registered: Trace_ELBO, RenyiELBO(alpha=0) vectorized, or TraceEnum_ELBO
    pyro-unvalidated  the same under pyro.validation_enabled(False)
    pyro-meanfield    TraceMeanField_ELBO, for the first three rows
    numpyro           jitted svi.update, the state donated or not, whichever is faster
    numpyro-scan      svi.update in lax.scan over 100 batches a call
    pythae            the step of Pythae's BaseTrainer, for the rows of a VAE

Each row has a process of its own with empty compiler caches; NumPyro and Pythae have one each, idle while others run; the
cells of a missing one are "-". In each round all contenders take a turn of as many steps as ``rows.py`` says, in rotating
order; a first round warms up. Each step takes the next of 100 prepared batches. Cores and threads are fixed to ``--threads``.
NumPyro's enumerated row needs funsor beside numpyro. Linux only (memory, cores). A row is measured anew each time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.machine import processor
from benchmarks.lab.records import Row as Record
from benchmarks.speed import row as one
from benchmarks.speed.bounds import check_means, check_seeded
from benchmarks.speed.pairs import make_pair
from benchmarks.speed.peers import interpreters, options
from benchmarks.speed.rows import EPOCHS, ROWS
from benchmarks.speed.targets import render

__all__ = ["ENTRY"]

PEERS = ("numpyro", "pythae")
NAMES = [*ROWS, *(f"epoch {name}" for name in EPOCHS)]


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """What is found of one row: in a process of its own, unless nothing is compiled."""
    if settings["backend"] == "graph":
        return one.measure(settings)
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", one.__name__, json.dumps(settings)]
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def check(names: Sequence[str], pythons: dict[str, str], backend: str) -> None:
    """Print how far the contenders' bounds differ; AssertionError where they do."""
    torch.manual_seed(0)
    for name in names:
        row, batches = ROWS[name], one.prepared(ROWS[name], "random", 1)
        seeded = check_seeded(row, make_pair(row), batches[0])
        shown = ", ".join(f"{k} {bound:.0e} and {gradient:.0e}" for k, (bound, gradient) in seeded.items())
        print(f"{name}, relative differences of bound and gradient under one seed: {shown}", flush=True)
        means = check_means(row, batches, pythons, repeats=100, backend=backend)
        print(f"{name}, means: " + ", ".join(f"{k} {mean:.3f} +- {e:.3f}" for k, (mean, e) in means.items()), flush=True)


def run(job: Job) -> None:
    """Measure each row that is asked for, anew."""
    given, pythons = job.options, interpreters(job, PEERS)
    if not job.smoke:  # inherited by every process started: torch's pools take the first two, XLA's pool the cores
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(given.threads)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    if given.check:
        check([name for name in given.row if name in ROWS], pythons, given.backend)
        return
    load = os.getloadavg()[0]
    if load > 0.5:
        job.say(f"the load average is {load:.1f}: something else runs here, and will be in the figures.")
    for name in given.row:
        key = {"row": name, "rounds": given.rounds, "threads": given.threads or torch.get_num_threads(), "data": given.data}
        found = measure({**key, "pythons": pythons, "steps": given.steps, "backend": given.backend})
        about = {"machine": processor(), "cores": os.cpu_count(), "load": load}
        key["steps"] = found.pop("steps")
        job.records.add(key, {**found, **about})
        job.say(f"{name}: {json.dumps(found)}")


def tables(rows: Sequence[Record]) -> dict[str, str]:
    """Four tables in one."""
    return {"speed": render(rows)}


ENTRY = Entry(
    name="speed",
    shows="A training step, compiled by pyrovae, beside hand-written PyTorch, stock Pyro, NumPyro and Pythae.",
    budgets={
        "smoke": Spend(
            "10 seconds",
            {"row": ["vae-20", "epoch vae-20"], "rounds": 1, "steps": 2, "data": "random", "backend": "graph"},
        ),
        "cpu": Spend("an hour of two cores, with nothing else running", {"threads": 2}),
    },
    run=run,
    tables=tables,
    options={
        "row": Option("rows to measure", NAMES, str, NAMES),
        "rounds": Option("in which all contenders take a turn", 7),
        "steps": Option("in a turn, in place of the row's own number", None, int),
        "data": Option("a data set of binary 28x28 images, or random", "binary-mnist"),
        "backend": Option("inductor, or graph: trace, and compile nothing", "inductor", str, ("inductor", "graph")),
        "check": Option("compare the contenders' bounds instead", False),
        **options(PEERS),
    },
)
