"""Commands that draw: samples, analogies, completions, the report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pyrovae import data as data_sets
from pyrovae import plots
from pyrovae.cli.options import parse
from pyrovae.cli.run_options import first_rows, load_run, run_parser
from pyrovae.cli.saying import say
from pyrovae.cli.sequences import add_steps, in_steps, save_midi, save_steps
from pyrovae.cli.walks import text_spec, write_lines
from pyrovae.core.inference import check_seed
from pyrovae.errors import OptionError
from pyrovae.files import read_json, require_writable, write_whole
from pyrovae.generate.ancestral import sample
from pyrovae.generate.classes import analogies, class_samples
from pyrovae.generate.completion import HIDDEN, complete, conditional_samples, known_part
from pyrovae.generate.films import chain_film
from pyrovae.generate.reconstruction import shown_values
from pyrovae.report.page import write_report
from pyrovae.train import Run

__all__ = ["draw_analogies", "draw_completions", "draw_samples", "report_run"]


def draw_samples(args: list[str]) -> int:
    """Draw from the model: pyrovae sample runs/vae --num 64 --out samples.png"""
    parser = run_parser("sample", draw_samples.__doc__ or "")
    parser.add_argument("--num", type=int, default=64, help="how many")
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="a picture (.png, by default samples.png), arrays (.npz), music (.mid), a film (.gif) or lines of text (.txt, "
        "by default said)",
    )
    parser.add_argument(
        "--frames", type=int | None, default=None, help="of a film along the prior's Gibbs chains, by default 50"
    )
    parser.add_argument(
        "--by_site", type=str | None, default=None, help="--num styles, each at every value of a discrete site, as in y"
    )
    parser.add_argument(
        "--given",
        type=dict[str, Any] | Literal["data"] | None,
        default=None,
        help='values of sites that are held, as in --given "{y: 3}"; data: the test data, which --num_steps go on from',
    )
    add_steps(parser)
    parser.add_argument(
        "--mean",
        type=bool | None,
        default=None,
        help="E[x | z] in place of a draw of x, of sentences the most probable words; by default of pictures alone",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    options = parse(parser, args)
    text = text_spec(options.run)
    if text is not None and (options.out is None or options.out.endswith(".txt")):
        return _write_sentences(options, text)
    options.out = options.out or "samples.png"
    options.mean = text is None if options.mean is None else options.mean
    film = options.out.endswith(".gif")
    _refuse_form(options, film)
    require_writable(options.out)
    if in_steps(options):
        num = save_steps(options)
        say(f"{num} samples in {options.out}", result={"out": options.out, "samples": num})
        return 0
    run = load_run(options, with_data=False)
    torch.manual_seed(check_seed(options.seed))
    like = _like(run)
    if options.by_site and options.given:
        raise OptionError("by_site draws every value of a site; leave out one of --by_site and --given.")
    if film:
        return _draw_film(run, options, like)
    if options.by_site:
        drawn = {"x": class_samples(run, options.num, like=like, site=options.by_site).flatten(0, 1)}
    else:
        drawn = sample(
            run, options.num, given=options.given, like=like, mean=options.mean and not options.out.endswith(".mid")
        )
    _save_draws(options, drawn)
    num = len(next(iter(drawn.values())))
    say(f"{num} samples in {options.out}", result={"out": options.out, "samples": num})
    return 0


def _write_sentences(options: Any, text: data_sets.DataSpec) -> int:
    """Say sentences that are drawn, or write them to a file."""
    if options.frames is not None or options.by_site or in_steps(options):
        raise OptionError("frames, by_site and num_steps are of pictures and sequences of numbers; leave them out for text.")
    if options.out is not None:
        require_writable(options.out)
    run = load_run(options, with_data=False)
    torch.manual_seed(check_seed(options.seed))
    drawn = sample(run, options.num, given=options.given, like=_like(run), mean=bool(options.mean))
    write_lines(data_sets.as_text(drawn[text.main], text), options.out, "samples")
    return 0


def _save_draws(options: Any, drawn: dict[str, torch.Tensor]) -> None:
    """Write draws in the form that the name of the file asks for."""
    if options.out.endswith(".mid"):
        save_midi(options.out, drawn["x"])
    elif options.out.endswith(".npz"):
        content = io.BytesIO()
        np.savez_compressed(content, **{name: value.cpu().numpy() for name, value in drawn.items()})
        write_whole(Path(options.out), content.getvalue())
    else:
        x = drawn["x"] if "x" in drawn else list(drawn.values())[-1]
        columns = options.num if options.by_site else None
        plots.save(plots.image_grid(x, columns, vmin=min(0.0, float(x.min())), vmax=max(1.0, float(x.max()))), options.out)


def _refuse_form(options: Any, film: bool) -> None:
    """OptionError for a name of no known form, and for options that a film, or what is none, has no use for."""
    if not options.out.endswith((".png", ".npz", ".mid", ".gif")):
        raise OptionError(f"out is {options.out!r}; expected a name that ends in .png, .npz, .gif (a film) or .mid (music).")
    if options.frames is not None and not film:
        raise OptionError(f"frames is {options.frames!r}, and {options.out} is no film; leave it out, or let out end in .gif.")
    if film and (options.by_site or options.given or not options.mean or in_steps(options)):
        raise OptionError("a film shows E[x | z] along the prior's chains: leave out by_site, given, mean and num_steps.")


def _draw_film(run: Run, options: Any, like: dict[str, torch.Tensor] | None) -> int:
    """Write the film that draw_samples is asked for."""
    frames = 50 if options.frames is None else options.frames
    plots.save_film(chain_film(run, options.num, frames, seed=options.seed, like=like), options.out)
    say(f"{options.num} chains of {frames} frames in {options.out}", result={"out": options.out, "frames": frames})
    return 0


def _like(run: Run) -> dict[str, torch.Tensor] | None:
    """What a model of data with missing values takes beside x: a mask, on which no draw depends."""
    spec = data_sets.DataSpec.from_json(run.config["data"]["spec"])
    if "c" in spec.covariates:
        raise OptionError(f"{run.path} draws x given a condition: pyrovae complete {run.path}.")
    key = spec.roles.get("missing")
    return None if key is None else {key: torch.ones(1, *spec.shape)}


def draw_analogies(args: list[str]) -> int:
    """Every class in the style of test images: pyrovae analogies runs/m2 --num 10 --out analogies.png"""
    parser = run_parser("analogies", draw_analogies.__doc__ or "")
    parser.add_argument("--num", type=int, default=10, help="how many test images")
    parser.add_argument("--out", type=str, default="analogies.png", help="a picture (.png)")
    options = parse(parser, args)
    require_writable(options.out)
    run = load_run(options)
    rows = first_rows(run, options.num)
    pictures = analogies(run, rows)
    plots.save(plots.analogies(pictures, shown_values(run.pair, rows)), options.out)
    say(f"{len(pictures)} images in every class in {options.out}", result={"out": options.out})
    return 0


def draw_completions(args: list[str]) -> int:
    """Complete images: pyrovae complete runs/vae --mask lower-half --out completions.png"""
    parser = run_parser("complete", draw_completions.__doc__ or "")
    hidden = ", ".join(HIDDEN)
    parser.add_argument(
        "--mask",
        type=str | None,
        default=None,
        help=f"the part to hide: {hidden}; by default the data's own missing values or condition",
    )
    parser.add_argument("--num", type=int, default=8, help="how many test images")
    parser.add_argument("--num_samples", type=int, default=6, help="completions of each")
    parser.add_argument("--num_steps", type=int, default=500, help="length of the Markov chains (not of conditional pairs)")
    parser.add_argument("--out", type=str, default="completions.png", help="a picture (.png)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    options = parse(parser, args)
    require_writable(options.out)
    run = load_run(options)
    rows = first_rows(run, options.num)
    torch.manual_seed(check_seed(options.seed))
    if "c" in rows and options.mask is None:
        known, draws = rows["given"], conditional_samples(run, rows, options.num_samples)
        seen = None if known.any() else rows["c"]
    else:
        if options.mask is not None:
            rows["mask"] = known_part(options.mask, run.data.spec.shape).expand_as(rows["x"])
        elif "mask" not in rows:
            raise OptionError(f"what is to be completed? Give --mask, one of {hidden}.")
        known, seen = rows["mask"], None
        draws = complete(run, rows, options.num_samples, options.num_steps)
    whole = options.mask is not None or "c" in rows
    plots.save(plots.completions(rows["x"], known, draws, seen, whole), options.out)
    found = f"{options.num_samples} completions of {len(rows['x'])} images in {options.out}"
    say(found, result={"out": options.out})
    return 0


def report_run(args: list[str]) -> int:
    """Write pictures and one self-contained report.html: pyrovae report runs/vae"""
    options = parse(run_parser("report", report_run.__doc__ or ""), args)
    require_writable(Path(options.run) / "report.html")
    run = load_run(options)
    files = {name: Path(options.run) / f"{name}.json" for name in ("evaluation", "disentanglement")}
    page = write_report(run, **{name: read_json(file) for name, file in files.items() if file.exists()})
    say(page, result={"out": page})
    return 0
