"""The compiled step as another checkout of this package makes it, for the entry ``speed-earlier``.

Run by that checkout's interpreter, of whose pyrovae it asks only what all versions have: ``pairs``, ``compile_step``.
"""

from __future__ import annotations

import inspect
import time
from typing import Any

import numpy as np
import torch

import pyrovae as pv
from benchmarks.lab.worker import serve
from benchmarks.speed.pairs import make_pair
from benchmarks.speed.rows import Row

__all__: list[str] = []

STATE: dict[str, Any] = {}


def load(row: dict[str, Any], batches: str, threads: int, backend: str, matmul: str | None) -> dict[str, Any]:
    """Make the step of a row; what it cost, and the library of its products of matrices."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    row_ = Row(**{**row, "hidden": tuple(row["hidden"])})
    pair = make_pair(row_)
    STATE["batches"] = list(torch.from_numpy(np.load(batches)))
    example = {"x": STATE["batches"][0]}
    given = (pair, example, row_.objective)
    if next(iter(inspect.signature(pv.compile_step).parameters)) == "objective":  # before the pair came first
        given = (row_.objective, pair.model, pair.guide, example)
    began = time.perf_counter()
    step = STATE["step"] = pv.compile_step(*given, matmul=matmul, backend=None if backend == "inductor" else backend)
    step(example)
    return {
        "compile_s": time.perf_counter() - began,
        "backend": step.backend,
        "matmul": step.matmul,
        "version": pv.__version__,
    }


def run(steps: int) -> float:
    """Seconds for so many steps, the value of the last read at the end."""
    step, batches = STATE["step"], STATE["batches"]
    began = time.perf_counter()
    for i in range(steps):
        value = step({"x": batches[i % len(batches)]})
    float(value)
    return time.perf_counter() - began


if __name__ == "__main__":
    serve({"load": load, "run": run})
