"""What commands on a run share: its parser, its pair, its data, threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace

from pyrovae import data as data_sets
from pyrovae.cli.options import Builder, make_parser
from pyrovae.core.pair import Pair
from pyrovae.data.loading import warn_of_cut
from pyrovae.errors import OptionError, RunError
from pyrovae.files import read_json
from pyrovae.runs.folders import load
from pyrovae.train import Run

__all__ = ["load_run", "own_pair", "run_parser", "set_threads", "first_rows"]

MOST_THREADS = 64  # or as many as there are CPUs


def set_threads(threads: int | None) -> None:
    """Let torch use so many CPU threads; None leaves it its own number."""
    if threads is not None:
        most = max(MOST_THREADS, os.cpu_count() or 1)
        if not 1 <= threads <= most:
            raise OptionError(f"threads is {threads}; expected a whole number from 1 to {most}.")
        torch.set_num_threads(threads)


def run_parser(command: str, doc: str) -> ArgumentParser:
    """The parser of a command on a run: its folder, and what may take the place of its pair and data."""
    parser = make_parser(command, doc)
    parser.add_argument("run", type=str, help="the run folder")
    parser.add_argument(
        "--pair",
        type=str | None,
        default=None,
        help="FILE.py:FUNCTION, for runs of a pair of your own whose file has changed or moved since",
    )
    parser.add_argument("--data", type=str | None, default=None, help="data set or file, in place of the run's own")
    parser.add_argument("--threads", type=int | None, default=None, help="CPU threads of torch")
    return parser


def own_pair(options: Namespace) -> Pair | None:
    """The user's pair, with the options it was trained with."""
    if options.pair is None:
        return None
    config = read_json(Path(options.run) / "config.json")
    builder = Builder(options.pair)
    trained = Namespace(**config["pair"].get("options", {}))
    return builder.pair(trained, data_sets.DataSpec.from_json(config["data"]["spec"]))


def load_run(options: Namespace, **more: Any) -> Run:
    """The run that the options name."""
    set_threads(options.threads)
    run = load(options.run, pair=own_pair(options), data=options.data, **more)
    if options.data is not None:
        warn_of_cut(run.data)
    return run


def first_rows(run: Run, num: int) -> dict[str, torch.Tensor]:
    """The first rows of the test data, or where there are none of the training data, without their labels."""
    part = None if run.data is None else run.data.test or run.data.train
    if part is None:
        raise RunError(f"{run.path} has no data; give --data.")
    if num < 1:
        raise OptionError(f"num is {num}; expected a whole number of at least 1.")
    return {key: value for key, value in next(iter(part.batches(num))).items() if key not in ("y", "index")}
