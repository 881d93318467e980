"""One row of the entry ``speed``: contenders take turns, round by round; and whole epochs beside bare steps.

Run in a process of its own with the options as a line of JSON; prints the record as another.
"""

from __future__ import annotations

import copy
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.lab.worker import Worker, forget_peak, peak_mb, resident_mb
from benchmarks.speed.contenders.local import CONTENDERS, Contender, Missing, Setup
from benchmarks.speed.pairs import make_pair
from benchmarks.speed.rows import ROWS, Row
from pyrovae.core.parameters import parameters

__all__ = ["alternate", "connected", "measure", "prepared", "summary"]

PREPARED = 100  # batches; the same one over and over would let Adam's moments shrink to denormal numbers
PAUSE = 0.2  # seconds before a turn, in which the threads of the last one fall asleep


def images(data: str, count: int) -> Tensor:
    """Binary images (N, 28, 28): random ones, or the first of a data set's training part."""
    if data == "random":
        return torch.bernoulli(torch.rand(28, 28) * 0.3 * torch.ones(count, 1, 1))
    return pv.data.load(data).train["x"][:count]


def prepared(row: Row, data: str, count: int = PREPARED) -> list[Tensor]:
    """Batches (B, 28, 28)."""
    return list(images(data, count * row.batch).float().reshape(count, row.batch, 28, 28))


# ------------------------------------------------------------------------------------------------------- peers
@contextmanager
def connected(row: Row, pair: pv.Pair, batches: list[Tensor], pythons: dict[str, str]) -> Iterator[dict[str, tuple]]:
    """Peers that can run the row, by contender: a worker with the pair's weights and the batches, and what its making took."""
    workers: list[Worker] = []
    found: dict[str, tuple[Worker, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        weights, data = f"{folder}/weights.npz", f"{folder}/batches.npy"
        np.savez(weights, **{name: p.detach().cpu().numpy() for name, p in parameters(pair.model, pair.guide).items()})
        np.save(data, torch.stack(batches).cpu().numpy())
        try:
            for peer, python in pythons.items():
                if peer == "pythae" and row.kind not in ("vae", "conv"):
                    continue
                workers.append(Worker(python, f"benchmarks.speed.contenders.{peer}"))
                made = workers[-1].ask("load", row=row.to_json(), weights=weights, batches=data)
                found |= {name: (workers[-1], facts) for name, facts in made.items()}
            yield found
        finally:
            for worker in workers:
                worker.close()


# ------------------------------------------------------------------------------------------------------- rounds
def measure_steps(row: Row, options: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds a step of each contender: median and quartiles of rounds in which all take turns."""
    steps = options["steps"] or row.steps
    count = min(PREPARED, steps)
    steps -= steps % count  # NumPyro's scan takes all batches in one call
    device = options.get("device", "cpu")
    batches = [x.to(device) for x in prepared(row, options["data"], count)]
    pair = make_pair(row)
    pair.model.to(device)
    pair.guide.to(device)
    record: dict[str, Any] = {"contenders": {}, "missing": {}, "versions": versions()}
    turns: dict[str, Callable[[int], float]] = {}
    matmul = "onednn" if device == "cpu" else "mkl"
    CONTENDERS["hand"](Setup(row, copy.deepcopy(pair), batches)).run(batches, 3)  # the memory of torch itself is nobody's
    for name in options.get("contenders", CONTENDERS):
        make = CONTENDERS[name]
        forget_peak()
        before = resident_mb()
        try:
            contender = make(Setup(row, copy.deepcopy(pair), batches, matmul, backend=options["backend"]))
            contender.run(batches, 3)
        except Missing as reason:
            record["missing"][name] = str(reason)
            continue
        matmul = contender.notes.get("matmul", matmul)
        turns[name] = turn(contender, batches)
        record["contenders"][name] = {"compile_s": contender.compile_s, **contender.notes, "peak_mb": peak_mb() - before}
    with connected(row, pair, batches, options["pythons"]) as peers:
        for name, (worker, facts) in peers.items():
            turns[name] = remote_turn(worker, name)
            record["contenders"][name] = facts
        for name, times in alternate(turns, steps, options["rounds"]).items():
            record["contenders"][name] |= {"ms": summary([1000 * seconds / steps for seconds in times])}
        for name, (worker, _) in peers.items():
            about = worker.ask("about")
            record["versions"] |= about["versions"]
            record["contenders"][name]["peak_mb"] = about["peak_mb"]
    return {**record, "steps": steps}


def turn(contender: Contender, batches: list[Tensor]) -> Callable[[int], float]:
    return lambda steps: contender.run(batches, steps)


def remote_turn(worker: Worker, name: str) -> Callable[[int], float]:
    return lambda steps: worker.ask("run", contender=name, steps=steps)


def alternate(turns: dict[str, Callable[[int], float]], steps: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round; a first round warms up and is not counted, and each starts one further."""
    names = list(turns)
    times: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds + 1):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            time.sleep(PAUSE)
            seconds = turns[name](steps)
            if i > 0:
                times[name].append(seconds)
    return times


def summary(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": round(middle, 4), "quartiles": [round(low, 4), round(high, 4)]}


# ------------------------------------------------------------------------------------------------------- epochs
def measure_epochs(row: Row, options: dict[str, Any]) -> dict[str, Any]:
    """Seconds of whole epochs through ``fit`` (data, logging, progress; no validation) beside as many bare steps."""
    x = images("random", 20 * row.batch)
    data = pv.data.as_data((x, x)) if options["data"] == "random" else pv.data.load(options["data"])
    batches = [batch["x"] for batch in data.train.epoch(row.batch, seed=0, epoch=0)]
    pair = make_pair(row)
    own = Setup(row, pair, batches).own
    bare = CONTENDERS["compiled"](Setup(row, copy.deepcopy(pair), batches, backend=options["backend"]))

    def fit(steps: int) -> float:
        settings = {"epochs": 2, "batch_size": row.batch, "validate": False, "progress": False}
        settings["compile"] = options["backend"] == "inductor"
        return pv.fit(own, data, row.objective, **settings).records[1]["seconds"]  # the first epoch compiles

    times = alternate({"fit": fit, "compiled": turn(bare, batches)}, len(batches), options["rounds"])
    contenders = {name: {"ms": summary([1000 * s / len(batches) for s in values])} for name, values in times.items()}
    return {"contenders": contenders, "missing": {}, "versions": versions(), "steps": len(batches)}


# ------------------------------------------------------------------------------------------------------- facts
def versions() -> dict[str, str]:
    return {
        "pyrovae": pv.__version__,
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "python": platform.python_version(),
    }


def measure(options: dict[str, Any]) -> dict[str, Any]:
    """What is found of a row: of its steps, or of whole epochs where its name begins with "epoch"."""
    torch.manual_seed(0)
    name = options["row"].removeprefix("epoch ")
    return (measure_steps if name == options["row"] else measure_epochs)(ROWS[name], options)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    print(json.dumps(measure(given)), flush=True)
