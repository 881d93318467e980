"""The commands: each parses its own arguments and returns the exit code."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from pyrovae import pairs
from pyrovae.cli import listing
from pyrovae.cli.attacks import attack_run
from pyrovae.cli.judging import judge_run
from pyrovae.cli.options import Builder, add_data, argument_help, load_data, make_parser, method_options, pair_of, parse
from pyrovae.cli.pictures import draw_analogies, draw_completions, draw_samples, report_run
from pyrovae.cli.run_options import load_run, own_pair, run_parser, set_threads
from pyrovae.cli.saying import say, shows_progress
from pyrovae.cli.walks import interpolate_rows, reconstruct_rows
from pyrovae.core.contract import check
from pyrovae.core.pair import Pair
from pyrovae.data import Data, DataSpec, Split, Stream
from pyrovae.errors import OptionError, RunError, nearest
from pyrovae.evaluation.disentanglement import disentanglement_scores
from pyrovae.evaluation.summary import evaluate
from pyrovae.evidence import gaps
from pyrovae.files import require_writable, write_json
from pyrovae.objectives import OBJECTIVES
from pyrovae.runs.arviz import to_arviz, write_netcdf
from pyrovae.runs.folders import resume
from pyrovae.runs.seeds import fit_seeds
from pyrovae.runs.stages import fit_stages
from pyrovae.runs.user_file import remember_file
from pyrovae.train import FitSettings, Run, fit

__all__ = ["COMMANDS"]


EXIT_CODES = {"interrupted": 130, "terminated": 143}  # 128 and the number of the signal, as shells have it


FIT_TEXTS = ("objective", "optimizer", "scheduler", "out")  # objects in Python, text on the command line


def _train(args: list[str]) -> int:
    """Train a pair: pyrovae train vae --data binary-mnist --epochs 50 --out runs/vae"""
    if args[:1] in (["-h"], ["--help"]):
        say(
            f"usage: pyrovae train PAIR [options]\n\nPAIR is one of {', '.join(pairs.CATALOGUE)}, FILE.py:FUNCTION or "
            "package.module:FUNCTION, a function of\nthe data's description (and of options) that returns (model, guide). "
            "Its options, the data's and the training's are\nlisted by\n\n    pyrovae train PAIR --help"
        )
        return 0
    builder = Builder(pair_of(args, "train"))
    parser = make_parser(f"train {builder.spec}", (builder.build.__doc__ or "").split("\n")[0])
    parser.add_argument("pair", type=str, help="the pair")
    builder.add_options(parser)
    add_data(parser)
    _add_training(parser)
    options = parse(parser, args)
    for name in ("seeds", "stage_epochs"):
        if options[name] is not None and options[name] < 1:
            raise OptionError(f"--{name} is {options[name]}; expected a whole number of at least 1.")
    set_threads(options.threads)
    names = [each.name for each in fields(FitSettings) if each.name != "callbacks"]
    FitSettings(**{name: options[name] for name in names})  # refuses what is none, before anything is read or drawn
    data = load_data(options)
    say(data)
    out = options.out or _new_folder(builder.spec)
    stage_options = {} if options.stage_epochs is None else {"epochs": options.stage_epochs}
    if builder.own:
        remember_file(builder.build)
    settings = {name: options[name] for name in names} | {"stage_options": stage_options}
    settings["progress"] = options.progress and shows_progress()

    def build(spec: DataSpec) -> Pair:
        return builder.pair(options, spec)

    if options.seeds == 1:
        return _say_trained(fit_stages(build, data, **settings, out=out))
    first = settings.pop("seed")
    found = fit_seeds(build, data, seeds=range(first, first + options.seeds), out=out, **settings)
    say(found, result=[_figures_of(run) for run in found.runs])
    if found.unfinished:
        say(f"{found.runs[-1].stopped}; the same command continues in --out {out}")
        return EXIT_CODES[found.runs[-1].stopped]
    say(f"next: pyrovae evaluate {found.runs[0].path}")
    return 0


def _add_training(parser: ArgumentParser) -> None:
    """The options of training."""
    group, texts = parser.add_argument_group("training"), argument_help(fit)
    parser.add_function_arguments(fit, skip={"pair", "data", "callbacks", "fabric", *FIT_TEXTS})
    group.add_argument(
        "--objective",
        type=str | None,
        default=None,
        help=f"{', '.join(OBJECTIVES)}, with options as in iwae:num_particles=50 or "
        "semisupervised:base=meanfield,base.beta=3; by default the pair's own",
    )
    group.add_argument("--optimizer", type=str, default="Adam", help=texts["optimizer"])
    group.add_argument("--scheduler", type=str | None, default=None, help=texts["scheduler"])
    group.add_argument("--out", type=str | None, default=None, help="new folder for the run; by default runs/PAIR")
    group.add_argument(
        "--stage_epochs",
        type=int | None,
        default=None,
        help="epochs of the stages that the pair is built on (m1-m2), if not those of the pair",
    )
    group.add_argument(
        "--seeds", type=int, default=1, help="how many runs, of this seed and those after it, in folders of their own in --out"
    )
    group.add_argument("--threads", type=int | None, default=None, help="CPU threads of torch")


def _new_folder(spec: str) -> str:
    stem = Path(spec.partition(":")[0]).name.removesuffix(".py").rpartition(".")[2]
    return next(f for f in (f"runs/{stem}{n}" for n in ("", *(f"-{i}" for i in range(2, 10_000)))) if not os.path.exists(f))


def _figures_of(run: Run) -> dict[str, Any]:
    """Where a run lies, how it ended, and the last row of its history."""
    return {"run": run.path, "stopped": run.stopped, "quantity": run.quantity, **(run.records[-1] if run.records else {})}


def _say_trained(run: Run, own: str = "") -> int:
    say(run, result=_figures_of(run))
    again = f"{run.path}{own}"
    if run.unfinished:
        say(f"{run.stopped}; continue with: pyrovae resume {again}")
        return EXIT_CODES[run.stopped]
    say(f"next: pyrovae evaluate {again}; pyrovae sample {again}; pyrovae report {again}")
    return 0


def _resume(args: list[str]) -> int:
    """Continue a run exactly: pyrovae resume runs/vae --epochs 100"""
    parser = run_parser("resume", _resume.__doc__ or "")
    parser.add_argument("--epochs", type=int | None, default=None, help="new total number of epochs")
    parser.add_argument("--steps", type=int | None, default=None, help="new total number of steps")
    options = parse(parser, args)
    set_threads(options.threads)
    longer = {"epochs": options.epochs, "steps": options.steps, "progress": shows_progress()}
    run = resume(options.run, pair=own_pair(options), data=options.data, **longer)
    return _say_trained(run, f" --pair {options.pair}" if options.pair else "")


def _evaluate(args: list[str]) -> int:
    """ELBO and log p(x) of the test data, active units: pyrovae evaluate runs/vae --method ais --num_chains 16"""
    parser = run_parser("evaluate", _evaluate.__doc__ or "")
    parser.add_argument(
        "--split",
        type=str | None,
        default=None,
        help="train, valid or test (the default); of --disentanglement all by default",
    )
    parser.add_argument("--weights", type=str | None, default=None, help="best or last")
    parser.add_argument(
        "--disentanglement", action="store_true", help="instead, all metrics of the codes against the factors of the data"
    )
    parser.add_argument(
        "--importance", type=str | None, default=None, help=f"with it: {argument_help(disentanglement_scores)['importance']}"
    )
    parser.add_function_arguments(evaluate, skip={"pair", "data", "progress", "options"})
    for name, (kind, methods, text) in method_options().items():
        parser.add_argument(f"--{name}", type=kind, default=None, help=f"{', '.join(methods)}: {text}")
    options = parse(parser, args)
    names = [n for n in inspect.signature(evaluate).parameters if n not in ("pair", "data", "progress", "options")]
    if options.disentanglement:
        given = [n for n in [*names, *method_options()] if n != "seed" and options[n] != parser.get_default(n)]
        if given:
            raise OptionError(
                f"--{given[0]} has no use with --disentanglement, which measures no log p(x); leave one of them out."
            )
    elif options.importance is not None:
        raise OptionError("--importance is of --disentanglement, which is not given; give both or neither.")
    file = "disentanglement.json" if options.disentanglement else "evaluation.json"
    run, out = load_run(options, weights=options.weights), Path(options.run) / file
    require_writable(out)  # before the hours that it may take
    if options.split is None and options.disentanglement and run.data is not None:
        return _say_disentanglement(options, run, run.data, out)
    split = _split_of(options, run)
    if options.disentanglement:
        return _say_disentanglement(options, run, split, out)
    own = {name: options[name] for name in method_options() if options[name] is not None}
    evaluation = evaluate(run, split, progress=shows_progress(), **{name: options[name] for name in names}, **own)
    figures = {"split": options.split or "test", "weights": run.weights, "seed": options.seed, **evaluation.to_json()}
    try:
        write_json(out, figures)
    finally:  # what cannot be written is at least said
        say(evaluation, result=figures)
    return 0


def _split_of(options: Namespace, run: Run) -> Split | Stream:
    """The part of the run's data that is asked for."""
    name = options.split or "test"
    if name not in ("train", "valid", "test"):
        raise nearest("split", name, ("train", "valid", "test"))
    split = None if run.data is None else getattr(run.data, name)
    if split is None:
        raise RunError(f"{options.run} has no {name} data; choose another --split, or give --data.")
    return split


def _say_disentanglement(options: Namespace, run: Run, data: Data | Split | Stream, out: Path) -> int:
    """The table of disentanglement, printed and written beside the run."""
    chosen = {"None": None, "none": None, None: "boosting"}.get(options.importance, options.importance)
    found = disentanglement_scores(run, data, importance=chosen, seed=options.seed)
    figures = {"split": options.split, "weights": run.weights, "seed": options.seed, **found.to_json()}
    try:
        write_json(out, figures)
    finally:  # what cannot be written is at least said
        say(found, result=figures)
    return 0


def _gaps(args: list[str]) -> int:
    """What the guide's family loses, and what its encoder: pyrovae gaps runs/vae --max_rows 100"""
    parser = run_parser("gaps", _gaps.__doc__ or "")
    parser.add_argument("--split", type=str | None, default=None, help="train, valid or test (the default)")
    parser.add_argument("--weights", type=str | None, default=None, help="best or last")
    parser.add_function_arguments(gaps, skip={"pair", "data", "progress", "ais"})
    options = parse(parser, args)
    run, out = load_run(options, weights=options.weights), Path(options.run) / "gaps.json"
    require_writable(out)
    names = [name for name in inspect.signature(gaps).parameters if name not in ("pair", "data", "progress", "ais")]
    found = gaps(run, _split_of(options, run), progress=shows_progress(), **{name: options[name] for name in names})
    figures = {"split": options.split or "test", "weights": run.weights, "seed": options.seed, **found.to_json()}
    try:
        write_json(out, figures)
    finally:  # what cannot be written is at least said
        say(found, result=figures)
    return 0


def _to_arviz(args: list[str]) -> int:
    """Write an ArviZ InferenceData as netCDF: pyrovae to-arviz runs/vae --out vae.nc"""
    parser = run_parser("to-arviz", _to_arviz.__doc__ or "")
    parser.add_argument("--out", type=str, default="run.nc", help="netCDF file")
    parser.add_function_arguments(to_arviz, skip={"pair", "data"})
    options = parse(parser, args)
    require_writable(options.out)
    names = [n for n in inspect.signature(to_arviz).parameters if n not in ("pair", "data")]
    write_netcdf(to_arviz(load_run(options), **{n: options[n] for n in names}), options.out)
    say(options.out, result={"out": options.out})
    return 0


def _check(args: list[str]) -> int:
    """Does a pair keep the contract? pyrovae check my_pair.py:build --data my.npz"""
    if args[:1] in (["-h"], ["--help"]):
        args = ["vae", "--help"]
    builder = Builder(pair_of(args, "check"))
    parser = make_parser(f"check {builder.spec}", _check.__doc__ or "")
    parser.add_argument("pair", type=str, help="the pair")
    builder.add_options(parser)
    add_data(parser)
    options = parse(parser, args)
    data = load_data(options)
    pair = builder.pair(options, data.spec)
    say(data)
    report = check(pair, data)
    say(report, result=asdict(report))
    return 0


def _list(args: list[str]) -> int:
    """Pairs by family, data sets, their transforms, objectives and the rest: pyrovae list, or pyrovae list --json"""
    parser = make_parser("list", _list.__doc__ or "")
    parser.add_argument("--markdown", action="store_true", help="the pairs as the tables of docs/catalogue.md")
    options = parse(parser, args)
    if options.markdown:
        say(listing.as_markdown(), end="")
    else:
        say(listing.as_text(), result=listing.as_json() if options.json else None)
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "resume": _resume,
    "evaluate": _evaluate,
    "verdict": judge_run,
    "gaps": _gaps,
    "sample": draw_samples,
    "reconstruct": reconstruct_rows,
    "interpolate": interpolate_rows,
    "analogies": draw_analogies,
    "complete": draw_completions,
    "attack": attack_run,
    "report": report_run,
    "to-arviz": _to_arviz,
    "check": _check,
    "list": _list,
}
