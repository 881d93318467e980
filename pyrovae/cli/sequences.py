"""Sequences at the command line: drawn step by step, from nothing or from a beginning, as piano rolls, arrays or MIDI."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from torch import Tensor

from pyrovae import plots
from pyrovae.cli.run_options import first_rows, load_run
from pyrovae.core.inference import check_seed
from pyrovae.data.midi import write_midi
from pyrovae.errors import OptionError
from pyrovae.files import write_whole
from pyrovae.generate.continuation import continuations

__all__ = ["add_steps", "in_steps", "save_midi", "save_steps"]


def add_steps(parser: ArgumentParser) -> None:
    """The options of sequences."""
    parser.add_argument("--num_steps", type=int | None, default=None, help="of a pair in steps: how many, instead of its own")
    parser.add_argument(
        "--beginning", type=int | None, default=None, help="with --given data: steps of each sequence that are given, else all"
    )


def in_steps(options: Namespace) -> bool:
    """Whether steps are asked for; refuses what does not go together."""
    from_data = options.given == "data"
    if options.beginning is not None and (not from_data or options.beginning < 1):
        raise OptionError(f"--beginning is {options.beginning}; it goes with --given data and is at least 1.")
    if from_data and options.num_steps is None:
        raise OptionError("--given data is what sequences go on from; say --num_steps, how far.")
    if options.num_steps is None:
        return False
    if options.num_steps < 1 or options.num < 1:
        raise OptionError(f"--num_steps is {options.num_steps}, --num {options.num}; both are at least 1.")
    if options.by_site or (options.given and not from_data):
        raise OptionError("--num_steps draws steps one after another; leave --by_site and --given with values out.")
    return True


def save_steps(options: Namespace) -> int:
    """Draw the steps that are asked for and save them; how many sequences."""
    from_data = options.given == "data"
    run = load_run(options, with_data=from_data)
    torch.manual_seed(check_seed(options.seed))
    if not from_data:
        found = continuations(run, None, options.num, num_steps=options.num_steps)
        drawn = {name: value[:, 0] for name, value in found.items()}
        _save(options, drawn, drawn["x"], None)
        return len(drawn["x"])
    rows = first_rows(run, options.num)
    size, steps = rows["x"].shape[:2]
    lengths = rows.get("lengths", torch.full((size,), steps)).long()
    lengths = lengths.clamp(max=options.beginning or steps)
    found = continuations(run, {**rows, "lengths": lengths}, num_steps=options.num_steps)
    drawn = {name: value[0] for name, value in found.items()}
    _save(options, {**drawn, "given": rows["x"], "lengths": lengths}, joined(rows["x"], drawn["x"], lengths), lengths)
    return size


def joined(x: Tensor, more: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence's own steps and those that follow them, zeros after them, (B, T + n, *shape)."""
    whole = torch.cat([x.to(more), torch.zeros_like(more)], 1)
    for row, length in enumerate(lengths.tolist()):
        whole[row, length:] = 0
        whole[row, length : length + more.shape[1]] = more[row]
    return whole


def _save(options: Namespace, drawn: dict[str, Tensor], x: Tensor, lengths: Tensor | None) -> None:
    """As the ending of --out says."""
    ends = None if lengths is None else lengths + options.num_steps
    if options.out.endswith(".npz"):
        content = io.BytesIO()
        np.savez_compressed(content, **{name: value.cpu().numpy() for name, value in drawn.items()})
        write_whole(Path(options.out), content.getvalue())
    elif options.out.endswith(".mid"):
        save_midi(options.out, x, ends)
    else:
        same = 0 if lengths is None or len(set(lengths.tolist())) > 1 else int(lengths[0])
        plots.save(plots.piano_rolls(x.flatten(2), ends, given=same), options.out)


def save_midi(out: str, x: Tensor, ends: Tensor | None = None) -> list[Path]:
    """One MIDI file a sequence, (n, T, D): OUT.mid, or OUT-1.mid, OUT-2.mid, ... of several."""
    path, written = Path(out), []
    for i, row in enumerate(x.cpu()):
        one = path if len(x) == 1 else path.with_name(f"{path.stem}-{i + 1}{path.suffix}")
        written.append(write_midi(one, row[: None if ends is None else int(ends[i])].numpy()))
    return written
