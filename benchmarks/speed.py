"""How long is a training step, compiled by pyrovae, beside hand-written PyTorch, stock Pyro, NumPyro and Pythae?

    python benchmarks/speed.py --numpyro JAXENV/bin/python --pythae PYTHAEENV/bin/python --out benchmarks/results/speed.jsonl
    python benchmarks/speed.py --table --out benchmarks/results/speed.jsonl
    python benchmarks/speed.py --check --numpyro JAXENV/bin/python
    python benchmarks/speed.py --smoke

Nine rows (``speed_rows.py``): an MLP VAE 784-400-20 at batch 20, 100 and 256; the IWAE's 784-200-200-50 with K = 50 at batch
20 and 100; a convolutional VAE; the IWAE with two stochastic layers; a VAE with an enumerated class; a sequence of 28 steps
with a latent at each. Then whole epochs through ``fit`` beside bare compiled steps ("epoch vae-20", ...).

Contenders, all of one objective on one network with Adam at 1e-3 (``--check`` compares their bounds):

    hand              PyTorch by hand, fused Adam (speed_hand.py)
    hand-compile      the same under torch.compile, with the matmul backend that ``compiled`` chose and the faster of two Adams
    fit-eager         the step of ``fit`` without a compiler
    compiled          ``pyrovae.compile_step``
    pyro              stock SVI, modules registered: Trace_ELBO, RenyiELBO(alpha=0) vectorized, or TraceEnum_ELBO
    pyro-unvalidated  the same under pyro.validation_enabled(False)
    pyro-meanfield    TraceMeanField_ELBO, for the first three rows
    numpyro           jitted svi.update, the state donated or not, whichever is faster
    numpyro-scan      svi.update in lax.scan over 100 batches a call
    pythae            the step of Pythae's BaseTrainer, for the rows of a VAE

Each row has a process of its own with empty compiler caches; NumPyro and Pythae have one each, started by the interpreters
given, idle while others run; where none is given their cells are "-". In each round all contenders take a turn of as many
steps as ``speed_rows.py`` says, in rotating order; a first round warms up. Each step takes the next of 100 prepared batches.
Cores and threads are fixed to ``--threads``. NumPyro's enumerated row needs funsor beside numpyro. Linux only (memory, cores).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import processor
from speed_rows import EPOCHS, ROWS
from speed_table import render

NAMES = [*ROWS, *(f"epoch {name}" for name in EPOCHS)]


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The record of one row, from a process of its own."""
    settings = {"row": name, "pythons": pythons(options)}
    settings |= {key: getattr(options, key) for key in ("threads", "rounds", "steps", "data")}
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, str(Path(__file__).with_name("speed_row.py")), json.dumps(settings)]
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    record = json.loads(done.stdout.splitlines()[-1])
    told = {"rounds": options.rounds, "threads": options.threads, "data": options.data}
    return {**record, **told, "machine": processor(), "cores": os.cpu_count()}


def pythons(options: argparse.Namespace) -> dict[str, str]:
    """The peers' interpreters, of those given."""
    return {peer: python for peer in ("numpyro", "pythae") if (python := getattr(options, peer))}


def check(names: list[str], options: argparse.Namespace) -> None:
    """Print how far the contenders' bounds differ; AssertionError where they do."""
    import torch
    from speed_check import check_means, check_seeded
    from speed_row import prepared
    from speed_torch import make_pair

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for name in names:
        row, batches = ROWS[name], prepared(ROWS[name], "random", 1)
        seeded = check_seeded(row, make_pair(row), batches[0])
        shown = ", ".join(f"{k} {bound:.0e} and {gradient:.0e}" for k, (bound, gradient) in seeded.items())
        print(f"{name}, relative differences of bound and gradient under one seed: {shown}", flush=True)
        means = check_means(row, batches, pythons(options), repeats=100)
        print(f"{name}, means: " + ", ".join(f"{k} {mean:.3f} +- {e:.3f}" for k, (mean, e) in means.items()), flush=True)


def main() -> None:
    """Measure what is asked for, append to --out, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", nargs="+", default=NAMES, choices=NAMES, metavar="ROW", help=", ".join(NAMES))
    parser.add_argument("--numpyro", help="interpreter with numpyro and funsor")
    parser.add_argument("--pythae", help="interpreter with pythae")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="in a turn, in place of the row's own number")
    parser.add_argument("--data", default="binary-mnist", help="a data set of binary 28x28 images, or random")
    parser.add_argument("--out", default="speed.jsonl")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the tables of --out")
    parser.add_argument("--check", action="store_true", help="compare the contenders' bounds instead")
    parser.add_argument("--smoke", action="store_true", help="everything, but 2 rounds of 3 steps on random data, not kept")
    options = parser.parse_args()
    # inherited by every process started: torch's pools take the first two, XLA's pool the cores
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(options.threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    if options.check:
        return check([name for name in options.row if name in ROWS], options)
    if options.smoke:
        options.rounds, options.steps, options.data, options.out = 2, 3, "random", os.devnull
    load = os.getloadavg()[0]
    if load > 0.5 and not options.table:
        print(f"the load average is {load:.1f}: something else runs here, and will be in the figures.", file=sys.stderr)
    path = Path(options.out)
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for name in [] if options.table else options.row:
        records.append({**measure(name, options), "load": load})
        with open(path, "a") as file:
            file.write(json.dumps(records[-1]) + "\n")
        print(json.dumps(records[-1]), flush=True)
    print(render(records))


if __name__ == "__main__":
    main()
