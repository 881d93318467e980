"""How long is a training step on a GPU, compiled by pyrovae into one CUDA graph, beside hand-written PyTorch and NumPyro?

The rows and contenders of the entry ``speed`` on one GPU, float32 products at full precision (no TF32; JAX at "highest"): by
hand eagerly, by hand under torch.compile with CUDA graphs, ``pyrovae.compile_step``, stock Pyro without validation, NumPyro
jitted and in ``lax.scan``. All contenders take turns on the same card.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import torch

from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row as Record
from benchmarks.speed.peers import interpreters, options
from benchmarks.speed.rows import ROWS
from benchmarks.speed.steps import measure

__all__ = ["ENTRY"]

CONTENDERS = ["hand", "fit-eager", "pyro-unvalidated", "compiled", "hand-compile"]
PEERS = ("numpyro",)
SHOWN = [*CONTENDERS, "numpyro", "numpyro-scan"]
BESIDE = ("hand-compile", "numpyro", "numpyro-scan")


def run(job: Job) -> None:
    """Measure each row that is asked for, anew."""
    given, pythons = job.options, interpreters(job, PEERS)
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    card = torch.cuda.get_device_name() if given.device == "cuda" else given.device
    for name in given.row:
        key = {"row": name, "rounds": given.rounds, "card": card}
        how = {"threads": 1, "data": "random", "device": given.device, "backend": given.backend, "contenders": CONTENDERS}
        found = measure({**key, **how, "pythons": pythons, "steps": given.steps})
        job.records.add({**key, "steps": found.pop("steps")}, found)
        job.say(f"{name}: {json.dumps(found)}")


def tables(rows: Sequence[Record]) -> dict[str, str]:
    """Milliseconds, and the compiled step over its rivals."""
    lines = []
    for row in rows:
        ms = {name: facts["ms"]["median"] for name, facts in row["contenders"].items()}
        times = [f"{ms[name]:.3f}" if name in ms else "-" for name in SHOWN]
        ratios = [f"{ms['compiled'] / ms[name]:.2f}" if name in ms and "compiled" in ms else "-" for name in BESIDE]
        seconds = row["contenders"]["compiled"]["compile_s"]
        lines.append([row["row"], row["card"], *times, *ratios, f"{seconds:.0f}"])
    heads = ["row", "card", *SHOWN, *(f"compiled / {name}" for name in BESIDE), "compile s"]
    return {"speed-gpu": markdown.table(heads, lines)}


ENTRY = Entry(
    name="speed-gpu",
    shows="A training step on a GPU, compiled by pyrovae into one CUDA graph, beside hand-written PyTorch and NumPyro.",
    budgets={
        "smoke": Spend("4 seconds", {"row": ["vae-20"], "rounds": 1, "steps": 2, "device": "cpu", "backend": "graph"}),
        "cpu": Spend("not meant for it: a minute a row", {"device": "cpu"}),
        "gpu": Spend("4 minutes of one GPU", {}),
    },
    run=run,
    tables=tables,
    options={
        "row": Option("rows to measure", list(ROWS), str, list(ROWS)),
        "rounds": Option("in which all contenders take a turn", 5),
        "steps": Option("in a turn, in place of the row's own number", None, int),
        "device": Option("cuda, or cpu to try it out", "cuda"),
        "backend": Option("inductor, or graph: trace, and compile nothing", "inductor", str, ("inductor", "graph")),
        **options(PEERS),
    },
)
