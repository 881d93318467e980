"""How long does log p(x) of 10,000 images by 5,000 samples take, beside hand-written loops, JAX and Pythae?

The trained 784-200-200-50 VAE of --run on binary-mnist, or one trained first. Contenders take turns, a block of test images
each, till all are done; JAX and Pythae with interpreters of their own, from the same weights. ``hand`` is a PyTorch loop under
torch.compile: the encoder once for 100 images, 50 samples in a pass, density in one softplus a pixel; with MKL's or oneDNN's
products, whichever is faster. ``jax`` is the same estimator jitted, its passes in ``lax.scan``, in the fastest of three
shapes of a pass. Pythae's ``get_nll`` takes an image at a time, 100 samples in a pass by default and in ``pythae-best`` the
fastest of three numbers; it runs on a few images of each block. Times leave out compilation, which is stated; values
must agree.
"""

from __future__ import annotations

import logging
import math
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.lab.worker import Worker
from benchmarks.speed import row as turns
from benchmarks.speed.peers import interpreters, options
from benchmarks.studies.evidence import FULL, SMOKE, trained
from pyrovae.compile.matmul import MATMULS, matmul_backend
from pyrovae.core.parameters import parameters

__all__ = ["ENTRY", "Hand", "Ours"]

BATCH, PASS = 100, 50  # images, and samples of each, in a pass
PYTHAE_BATCH = 100  # samples in a pass of ``get_nll`` unless it is told otherwise


class Ours:
    """``log_evidence``, compiled; its log says what compiling took."""

    def __init__(self, run: pv.Run, samples: int, precision: str, compile: bool = True) -> None:
        self.run, self.samples, self.precision, self.compile, self.compile_s = run, samples, precision, compile, 0.0

    def __call__(self, x: Tensor) -> tuple[float, np.ndarray]:
        records: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[method-assign]
        log = logging.getLogger("pyrovae")
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        began = time.perf_counter()
        evidence = pv.log_evidence(self.run, x, num_samples=self.samples, compile=self.compile, precision=self.precision)
        seconds = time.perf_counter() - began
        log.removeHandler(handler)
        self.compile_s = sum(record.args[0] for record in records if str(record.msg).startswith("compiled in"))
        return seconds - self.compile_s, evidence.value.numpy()


class Hand:
    """A loop over batches and passes, one compiled function for a pass."""

    def __init__(self, run: pv.Run, samples: int, precision: str, compile: bool = True) -> None:
        self.guide, self.samples = run.guide.encoder.mlp, samples
        decoder, bf16 = run.model.decoder.mlp, precision == "bf16"

        def weigh(x: Tensor, loc: Tensor, log_scale: Tensor, noise: Tensor) -> Tensor:
            z = loc + log_scale.exp() * noise
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = decoder(z)
            log_px = -F.softplus((1 - 2 * x) * logits.float()).sum(-1)
            return (log_px + 0.5 * (noise.square() - z.square()).sum(-1) + log_scale.sum(-1)).logsumexp(0)

        self.weigh = torch.compile(weigh, dynamic=False) if compile else weigh
        times, self.compile_s, x = {}, 0.0, torch.rand(BATCH, self.guide[0].in_features).round()
        for self.library in MATMULS:
            began = time.perf_counter()
            self.estimate(x, 2 * PASS)
            self.compile_s = max(self.compile_s, time.perf_counter() - began)
            began = time.perf_counter()
            self.estimate(x, 20 * PASS)
            times[self.library] = time.perf_counter() - began
        self.library = min(times, key=times.__getitem__)

    @torch.no_grad()
    def estimate(self, x: Tensor, samples: int) -> Tensor:
        with matmul_backend(self.library):
            loc, log_scale = self.guide(x).chunk(2, -1)
            # noise by torch's own generator: Inductor's is slow on a CPU
            parts = [self.weigh(x, loc, log_scale, torch.randn(PASS, *loc.shape)) for _ in range(samples // PASS)]
        return torch.stack(parts).logsumexp(0) - math.log(samples)

    def __call__(self, x: Tensor) -> tuple[float, np.ndarray]:
        began = time.perf_counter()
        values = [self.estimate(rows, self.samples) for rows in x.flatten(1).split(BATCH)]
        return time.perf_counter() - began, torch.cat(values).numpy()


class Peer:
    """A worker process with the same weights."""

    def __init__(self, python: str, module: str, weights: str, samples: int, few: int | None = None, batch: int = 0) -> None:
        self.worker, self.samples, self.few = Worker(python, f"benchmarks.speed.contenders.{module}"), samples, few
        self.facts = self.worker.ask("load", weights=weights, batch=batch, samples=samples)
        self.compile_s = self.facts.pop("compile_s")

    def __call__(self, x: Tensor) -> tuple[float, np.ndarray]:
        rows = x[: self.few] if self.few else x
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file, rows.flatten(1).numpy())
            file.flush()
            seconds, values = self.worker.ask("estimate", images=file.name)
        return seconds, np.asarray(values)


Contender = Callable[[Tensor], tuple[float, np.ndarray]]
PEERS = ("jax", "pythae")


def contenders(run: pv.Run, job: Job, folder: str) -> dict[str, Any]:
    """All that can run here."""
    given, pythons = job.options, interpreters(job, PEERS)
    found: dict[str, Any] = {}
    for suffix, precision in (("", "float32"), ("-bf16", "bf16")):
        found["pyrovae" + suffix] = Ours(run, given.samples, precision, not given.eager)
        found["hand" + suffix] = Hand(run, given.samples, precision, not given.eager)
    weights = f"{folder}/weights.npz"
    np.savez(weights, **{name: p.detach().numpy() for name, p in parameters(run.model, run.guide).items()})
    if "jax" in pythons:
        found["jax"] = Peer(pythons["jax"], "jax_evidence", weights, given.samples, batch=BATCH)
    if "pythae" in pythons:
        shared = (pythons["pythae"], "pythae_evidence", weights, given.samples, given.few)
        found |= {"pythae": Peer(*shared, batch=PYTHAE_BATCH), "pythae-best": Peer(*shared)}
    return found


def rounds(some: dict[str, Contender], blocks: Sequence[Tensor], job: Job) -> dict[str, list[tuple[float, np.ndarray]]]:
    """Milliseconds an image, and the values, of each contender on each block; who begins rotates."""
    found: dict[str, list[tuple[float, np.ndarray]]] = {name: [] for name in some}
    names = list(some)
    for i, block in enumerate(blocks):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            time.sleep(turns.PAUSE)
            took, value = some[name](block)
            found[name].append((1000 * took / len(value), value))
            job.say(f"block {i}: {name} {found[name][-1][0]:.2f} ms an image, {value.mean():.3f} nats")
    return found


def told(contender: Any, timed: Sequence[tuple[float, np.ndarray]], ours: Sequence[tuple[float, np.ndarray]]) -> Row:
    """A contender's times, and its values beside ours on the same images."""
    theirs = np.concatenate([values for _, values in timed])
    mine = np.concatenate([block[: len(few)] for (_, block), (_, few) in zip(ours, timed, strict=True)])
    difference = theirs - mine
    return {
        "ms_an_image": statistics.median(ms for ms, _ in timed),
        "all": [ms for ms, _ in timed],
        "compile_s": round(contender.compile_s, 2),
        "log_p": float(theirs.mean()),
        "difference": float(difference.mean()),
        "difference_stderr": float(difference.std(ddof=1) / len(difference) ** 0.5),
        **getattr(contender, "facts", {}),
        **({"library": contender.library} if hasattr(contender, "library") else {}),
    }


def run(job: Job) -> None:
    """All rounds; one record, in place of the one of the same settings."""
    given, sizes = job.options, SMOKE if job.smoke else FULL
    data = pv.data.load(sizes["data"])
    trained_run = trained(given.run or job.out / "evidence-run", sizes, data, given)
    x = data.test["x"][: given.images].float()
    with tempfile.TemporaryDirectory() as folder:
        some = contenders(trained_run, job, folder)
        blocks = x.split(math.ceil(len(x) / given.rounds))
        timed = rounds(some, blocks, job)
    versions = {name: version(name) for name in ("torch", "pyro-ppl", "numpy")}
    rows = {name: told(contender, timed[name], timed["pyrovae"]) for name, contender in some.items()}
    for row in rows.values():
        versions |= row.pop("versions", {})
    threads = given.threads or torch.get_num_threads()
    key = {"images": len(x), "samples": given.samples, "threads": threads, "rounds": len(blocks)}
    job.records.add(key, {"python": platform.python_version(), "versions": versions, "rows": rows})


def table(record: Row) -> str:
    """Markdown: milliseconds an image, time beside ``pyrovae``, and what the value differs by."""
    base, lines = record["rows"]["pyrovae"]["all"], []
    for name, row in record["rows"].items():
        ratio = statistics.median(theirs / ours for theirs, ours in zip(row["all"], base, strict=True))
        what = f"{row['difference']:+.4f} +- {row['difference_stderr']:.4f}"
        total = row["ms_an_image"] * record["images"] / 1000
        lines.append([name, f"{row['ms_an_image']:.2f}", f"{total:.0f}", f"{ratio:.2f}", row["compile_s"], what])
    heads = ["contender", "ms an image", "all images, s", "times pyrovae", "compile, s", "log p(x) less pyrovae's"]
    return markdown.table(heads, lines)


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """One for each number of images."""
    return {"evidence-speed": "\n\n".join(map(table, rows))}


ENTRY = Entry(
    name="evidence-speed",
    shows="Seconds of log p(x) of 10,000 images by 5,000 samples, beside hand-written loops, JAX and Pythae.",
    budgets={
        "smoke": Spend("3 seconds", {"epochs": 2, "images": 10, "samples": 100, "rounds": 2, "eager": True}),
        "cpu": Spend("20 minutes, with nothing else running", {"threads": 2}),
    },
    run=run,
    tables=tables,
    options={
        "run": Option("folder of a trained 784-200-200-50 VAE; by default one is trained beside the records", None, Path),
        "epochs": Option("of that training", 100),
        "particles": Option("of that training: above 1 the IWAE's objective", 1),
        "images": Option("how many test images", 10_000),
        "samples": Option("of log p(x)", 5000),
        "rounds": Option("in which the contenders take turns", 5),
        "few": Option("images of each block for pythae", 10),
        "eager": Option("compile nothing", False),
        **options(PEERS),
    },
)
