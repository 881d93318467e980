"""How long does log p(x) of 10,000 images by 5,000 samples take, beside hand-written loops, JAX and Pythae?

    python benchmarks/evidence_speed.py --run runs/vae --jax JAX/bin/python --pythae PYTHAE/bin/python --out speed.jsonl

The trained 784-200-200-50 VAE of --run on binary-mnist. Contenders take turns, a block of test images each, till all are
done; JAX and Pythae with interpreters of their own, from the same weights. ``hand`` is a PyTorch loop under torch.compile:
the encoder once for 100 images, 50 samples in a pass, density in one softplus a pixel; with MKL's or oneDNN's products,
whichever is faster. ``jax`` is the same estimator jitted, its passes in ``lax.scan``, in the fastest of three shapes of a
pass. Pythae's ``get_nll`` takes an image at a time, 100 samples in a pass by default and in ``pythae-best`` the fastest of
three numbers; it runs on a few images of each block. Times leave out compilation, which is stated.
Prints a Markdown table of times, ratios and the values, which must agree.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from speed_worker import Worker
from torch import Tensor

import pyrovae as pv
from pyrovae.compile.matmul import MATMULS, matmul_backend
from pyrovae.core.pair import parameters

BATCH, PASS = 100, 50  # images, and samples of each, in a pass
PIXELS = 784
PYTHAE_BATCH = 100  # samples in a pass of ``get_nll`` unless it is told otherwise
HERE = Path(__file__).parent


class Ours:
    """``log_evidence``, compiled; its log says what compiling took."""

    def __init__(self, run: pv.Run, samples: int, precision: str) -> None:
        self.run, self.samples, self.precision, self.compile_s = run, samples, precision, 0.0

    def __call__(self, x: Tensor) -> tuple[float, np.ndarray]:
        records: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[method-assign]
        log = logging.getLogger("pyrovae")
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        began = time.perf_counter()
        evidence = pv.log_evidence(
            self.run.model, self.run.guide, x, num_samples=self.samples, compile=True, precision=self.precision
        )
        seconds = time.perf_counter() - began
        log.removeHandler(handler)
        (self.compile_s,) = (record.args[0] for record in records if str(record.msg).startswith("compiled in"))
        return seconds - self.compile_s, evidence.value.numpy()


class Hand:
    """A loop over batches and passes, one compiled function for a pass."""

    def __init__(self, run: pv.Run, samples: int, precision: str) -> None:
        self.guide, self.samples = run.guide.encoder.mlp, samples
        decoder, bf16 = run.model.decoder.mlp, precision == "bf16"

        def weigh(x: Tensor, loc: Tensor, log_scale: Tensor, noise: Tensor) -> Tensor:
            z = loc + log_scale.exp() * noise
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = decoder(z)
            log_px = -F.softplus((1 - 2 * x) * logits.float()).sum(-1)
            return (log_px + 0.5 * (noise.square() - z.square()).sum(-1) + log_scale.sum(-1)).logsumexp(0)

        self.weigh = torch.compile(weigh, dynamic=False)
        times, self.compile_s, x = {}, 0.0, torch.rand(BATCH, PIXELS).round()
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

    def __init__(self, python: str, script: str, weights: str, samples: int, few: int | None = None, batch: int = 0) -> None:
        self.worker, self.samples, self.few = Worker(python, HERE / script), samples, few
        self.facts = self.worker.ask("load", weights=weights, batch=batch, samples=samples)
        self.compile_s = self.facts.pop("compile_s")

    def __call__(self, x: Tensor) -> tuple[float, np.ndarray]:
        rows = x[: self.few] if self.few else x
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file, rows.flatten(1).numpy())
            file.flush()
            seconds, values = self.worker.ask("estimate", images=file.name)
        return seconds, np.asarray(values)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds; one record."""
    data = pv.data.load("binary-mnist")
    run = pv.load(options.run, data=data)
    x = data.test["x"][: options.images].float()
    with tempfile.TemporaryDirectory() as folder:
        weights = f"{folder}/weights.npz"
        np.savez(weights, **{name: p.detach().numpy() for name, p in parameters(run.model, run.guide).items()})
        contenders: dict[str, Any] = {}
        for suffix, precision in (("", "float32"), ("-bf16", "bf16")):
            contenders["pyrovae" + suffix] = Ours(run, options.samples, precision)
            contenders["hand" + suffix] = Hand(run, options.samples, precision)
        if options.jax:
            contenders["jax"] = Peer(options.jax, "evidence_jax.py", weights, options.samples, batch=BATCH)
        if options.pythae:
            given = (options.pythae, "evidence_pythae.py", weights, options.samples, options.few)
            contenders |= {"pythae": Peer(*given, batch=PYTHAE_BATCH), "pythae-best": Peer(*given)}
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        values: dict[str, list[np.ndarray]] = {name: [] for name in contenders}
        blocks = x.split(math.ceil(len(x) / options.rounds))
        for i, block in enumerate(blocks):
            names = list(contenders)
            for name in names[i % len(names) :] + names[: i % len(names)]:
                time.sleep(0.2)  # threads of the last one fall asleep
                took, value = contenders[name](block)
                seconds[name].append(1000 * took / len(value))
                values[name].append(value)
                print(f"block {i}: {name} {seconds[name][-1]:.2f} ms an image, {value.mean():.3f} nats", flush=True)
    versions = {name: version(name) for name in ("torch", "pyro-ppl", "numpy")}
    rows = {}
    for name, contender in contenders.items():
        theirs = np.concatenate(values[name])
        mine = np.concatenate([block[: len(few)] for block, few in zip(values["pyrovae"], values[name], strict=True)])
        difference = theirs - mine
        rows[name] = {
            "ms_an_image": statistics.median(seconds[name]),
            "all": seconds[name],
            "compile_s": round(contender.compile_s, 2),
            "log_p": float(np.concatenate(values[name]).mean()),
            "difference": float(difference.mean()),
            "difference_stderr": float(difference.std(ddof=1) / len(difference) ** 0.5),
            **getattr(contender, "facts", {}),
            **({"library": contender.library} if hasattr(contender, "library") else {}),
        }
        versions |= rows[name].pop("versions", {})
    shape = {"images": len(x), "samples": options.samples, "threads": options.threads, "rounds": len(blocks)}
    return {**shape, "python": platform.python_version(), "versions": versions, "rows": rows}


def table(record: dict[str, Any]) -> str:
    """Markdown: milliseconds an image, time beside ``pyrovae``, and what the value differs by."""
    lines = [
        "| contender | ms an image | all images, s | times pyrovae | compile, s | log p(x) less pyrovae's |",
        "|" + "---|" * 6,
    ]
    base = record["rows"]["pyrovae"]["all"]
    for name, row in record["rows"].items():
        ratio = statistics.median(theirs / ours for theirs, ours in zip(row["all"], base, strict=True))
        what = f"{row['difference']:+.4f} +- {row['difference_stderr']:.4f}"
        total = row["ms_an_image"] * record["images"] / 1000
        lines.append(f"| {name} | {row['ms_an_image']:.2f} | {total:.0f} | {ratio:.2f} | {row['compile_s']} | {what} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write a line, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="folder of a trained 784-200-200-50 VAE")
    parser.add_argument("--jax", help="interpreter with jax")
    parser.add_argument("--pythae", help="interpreter with pythae")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--few", type=int, default=10, help="images of each block for pythae")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="evidence_speed.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    record = measure(options)
    with open(options.out, "a") as file:
        file.write(json.dumps(record) + "\n")
    print(table(record))


if __name__ == "__main__":
    main()
