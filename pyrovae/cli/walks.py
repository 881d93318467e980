"""Commands that say what a pair makes of data: reconstructions, and walks between two, as lines of text or pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser

from pyrovae import data as data_sets
from pyrovae import plots
from pyrovae.cli.options import parse
from pyrovae.cli.run_options import first_rows, load_run, run_parser
from pyrovae.cli.saying import say
from pyrovae.core.inference import check_seed
from pyrovae.errors import OptionError
from pyrovae.files import read_json, require_writable, write_whole
from pyrovae.generate.latent_space import interpolate
from pyrovae.generate.reconstruction import reconstruct, shown_values
from pyrovae.train import Run

__all__ = ["interpolate_rows", "reconstruct_rows", "text_spec", "write_lines"]


def text_spec(folder: str) -> data_sets.DataSpec | None:
    """The description of a run's data where they are text that can be said; None of all else."""
    config = Path(folder) / "config.json"
    if not config.is_file():  # which loading the run says
        return None
    written = read_json(config).get("data")
    if not isinstance(written, dict) or "spec" not in written:  # likewise
        return None
    spec = data_sets.DataSpec.from_json(written["spec"])
    return spec if spec.kind == "tokens" and spec.keys[spec.main].labels is not None else None


def write_lines(lines: list[str], out: str | None, key: str, told: Any = None) -> None:
    """Say lines of text, of which JSON is told this or themselves, or write them to a file (.txt)."""
    if out is None:
        say("\n".join(lines), result={key: lines if told is None else told})
        return
    write_whole(Path(out), "".join(f"{line}\n" for line in lines).encode())
    say(f"{len(lines)} lines in {out}", result={"out": out, key: len(lines)})


def _parser(command: str, doc: str, lines: str) -> ArgumentParser:
    parser = run_parser(command, doc)
    parser.add_argument("--lines", type=str, nargs="*", default=[], help=lines)
    parser.add_argument(
        "--out", type=str | None, default=None, help="a file of lines (.txt), by default said; else a picture (.png)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    return parser


def _load(options: Any, num: int) -> tuple[Run, data_sets.DataSpec | None, dict[str, Any]]:
    """The run, the description of its text, and the lines, or so many rows of the test data."""
    text = text_spec(options.run)
    ends = ".txt" if text is not None else ".png"
    if options.out is not None and not options.out.endswith(ends):
        raise OptionError(f"out is {options.out!r}; expected a name that ends in {ends}.")
    if options.lines and text is None:
        raise OptionError("lines are given, and the run's data are no text; leave them out.")
    require_writable(options.out or "samples.png")
    run = load_run(options, with_data=not options.lines)
    torch.manual_seed(check_seed(options.seed))
    if text is not None and options.lines:
        return run, text, {text.main: options.lines}
    return run, text, first_rows(run, num)


def reconstruct_rows(args: list[str]) -> int:
    """What the pair makes of data: pyrovae reconstruct runs/sentences --lines 'a man rides a bike .'"""
    parser = _parser("reconstruct", reconstruct_rows.__doc__ or "", "lines of text in place of the test data")
    parser.add_argument("--num", type=int, default=8, help="how many rows of the test data")
    parser.add_argument("--num_samples", type=int, default=1, help="draws of the posterior that are averaged")
    options = parse(parser, args)
    run, text, rows = _load(options, options.num)
    found = reconstruct(run, rows, options.num_samples)
    if text is None:
        out = options.out or "reconstructions.png"
        plots.save(plots.reconstructions(shown_values(run.pair, rows), found), out)
        say(f"{len(found)} reconstructions in {out}", result={"out": out, "reconstructions": len(found)})
        return 0
    given = data_sets.as_split(rows, text)[text.main] if options.lines else rows[text.main]
    both = list(zip(data_sets.as_text(given, text), data_sets.as_text(found, text), strict=True))
    told = [{"line": line, "reconstruction": made} for line, made in both]
    write_lines([f"{line}\n  -> {made}" for line, made in both], options.out, "reconstructions", told)
    return 0


def interpolate_rows(args: list[str]) -> int:
    """Between two data: pyrovae interpolate runs/sentences --lines 'a man sleeps .' 'two dogs play .'"""
    parser = _parser("interpolate", interpolate_rows.__doc__ or "", "two lines of text in place of the first of the test data")
    parser.add_argument("--num", type=int, default=7, help="how many, both ends included")
    options = parse(parser, args)
    if options.lines and len(options.lines) != 2:
        raise OptionError(f"{len(options.lines)} lines came; expected two, to go from one to the other.")
    if options.num < 2:
        raise OptionError(f"num is {options.num}; expected a whole number of at least 2, both ends included.")
    run, text, rows = _load(options, 2)
    first, second = ({key: value[i : i + 1] for key, value in rows.items()} for i in range(2))
    found = interpolate(run, first, second, options.num)
    if text is not None:
        write_lines(data_sets.as_text(found, text), options.out, "interpolation")
        return 0
    out = options.out or "interpolation.png"
    low, high = min(0.0, float(found.min())), max(1.0, float(found.max()))
    plots.save(plots.image_grid(found, options.num, vmin=low, vmax=high), out)
    say(f"{options.num} steps in {out}", result={"out": out, "steps": options.num})
    return 0
