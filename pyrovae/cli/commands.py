"""The commands: each parses its own arguments and returns the exit code."""

from __future__ import annotations

import inspect
import io
import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace

from pyrovae import data as data_sets
from pyrovae import pairs, plots
from pyrovae.cli import listing
from pyrovae.cli.options import Builder, add_data, argument_help, load_data, make_parser, method_options, pair_of, parse
from pyrovae.core.contract import check
from pyrovae.core.pair import Pair
from pyrovae.errors import OptionError, RunError, nearest
from pyrovae.evaluation.summary import evaluate
from pyrovae.files import read_json, write_json, write_whole
from pyrovae.generate.ancestral import sample
from pyrovae.generate.classes import analogies, class_samples
from pyrovae.generate.completion import HIDDEN, complete, conditional_samples, known_part
from pyrovae.objectives import OBJECTIVES
from pyrovae.report.page import write_report
from pyrovae.runs.arviz import to_arviz, write_netcdf
from pyrovae.runs.folders import load, resume
from pyrovae.runs.stages import fit_stages
from pyrovae.runs.user_file import remember_file
from pyrovae.train import FitSettings, Run, fit

__all__ = ["COMMANDS"]

EXIT_CODES = {"interrupted": 130, "terminated": 143}  # 128 and the number of the signal, as shells have it
FIT_TEXTS = ("objective", "optimizer", "scheduler", "out")  # objects in Python, text on the command line


def _train(args: list[str]) -> int:
    """Train a pair: pyrovae train vae --data binary-mnist --epochs 50 --out runs/vae"""
    if args[:1] in (["-h"], ["--help"]):
        print(
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
    group.add_argument("--threads", type=int | None, default=None, help="CPU threads of torch")
    options = parse(parser, args)
    _set_threads(options.threads)
    data = load_data(options)
    print(data)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)  # the seed also draws the first parameters
        pair = builder.pair(options, data.spec)
    names = [each.name for each in fields(FitSettings) if each.name != "callbacks"]
    out = options.out or _new_folder(builder.spec)
    stage_options = {} if options.stage_epochs is None else {"epochs": options.stage_epochs}
    if builder.own:
        remember_file(builder.build)
    settings = {name: options[name] for name in [*names, "progress"]}
    run = fit_stages(pair, data, **settings, out=out, stage_options=stage_options)
    return _say_trained(run)


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        if threads < 1:
            raise OptionError(f"threads is {threads}; expected at least 1.")
        torch.set_num_threads(threads)


def _new_folder(spec: str) -> str:
    stem = Path(spec.partition(":")[0]).name.removesuffix(".py").rpartition(".")[2]
    return next(f for f in (f"runs/{stem}{n}" for n in ("", *(f"-{i}" for i in range(2, 10_000)))) if not os.path.exists(f))


def _say_trained(run: Run, own: str = "") -> int:
    print(run)
    again = f"{run.path}{own}"
    if run.unfinished:
        print(f"{run.stopped}; continue with: pyrovae resume {again}")
        return EXIT_CODES[run.stopped]
    print(f"next: pyrovae evaluate {again}; pyrovae sample {again} --out samples.png; pyrovae report {again}")
    return 0


def _run_parser(command: str, doc: str) -> ArgumentParser:
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


def _own_pair(options: Namespace) -> Pair | None:
    """The user's pair, with the options it was trained with."""
    if options.pair is None:
        return None
    config = read_json(Path(options.run) / "config.json")
    builder = Builder(options.pair)
    trained = Namespace(**config["pair"].get("options", {}))
    return builder.pair(trained, data_sets.DataSpec.from_json(config["data"]["spec"]))


def _load_run(options: Namespace, **more: Any) -> Run:
    _set_threads(options.threads)
    return load(options.run, pair=_own_pair(options), data=options.data, **more)


def _resume(args: list[str]) -> int:
    """Continue a run exactly: pyrovae resume runs/vae --epochs 100"""
    parser = _run_parser("resume", _resume.__doc__ or "")
    parser.add_argument("--epochs", type=int | None, default=None, help="new total number of epochs")
    parser.add_argument("--steps", type=int | None, default=None, help="new total number of steps")
    options = parse(parser, args)
    _set_threads(options.threads)
    run = resume(options.run, epochs=options.epochs, steps=options.steps, pair=_own_pair(options), data=options.data)
    return _say_trained(run, f" --pair {options.pair}" if options.pair else "")


def _evaluate(args: list[str]) -> int:
    """ELBO and log p(x) of the test data, active units: pyrovae evaluate runs/vae --method ais --num_chains 16"""
    parser = _run_parser("evaluate", _evaluate.__doc__ or "")
    parser.add_argument("--split", type=str, default="test", help="train, valid or test")
    parser.add_argument("--weights", type=str | None, default=None, help="best or last")
    parser.add_function_arguments(evaluate, skip={"pair", "data", "progress", "options"})
    for name, (kind, methods, text) in method_options().items():
        parser.add_argument(f"--{name}", type=kind, default=None, help=f"{', '.join(methods)}: {text}")
    options = parse(parser, args)
    run = _load_run(options, weights=options.weights)
    if options.split not in ("train", "valid", "test"):
        raise nearest("split", options.split, ("train", "valid", "test"))
    split = None if run.data is None else getattr(run.data, options.split)
    if split is None:
        raise RunError(f"{options.run} has no {options.split} data; choose another --split, or give --data.")
    names = [n for n in inspect.signature(evaluate).parameters if n not in ("pair", "data", "progress", "options")]
    own = {name: options[name] for name in method_options() if options[name] is not None}
    evaluation = evaluate(run, split, progress=True, **{name: options[name] for name in names}, **own)
    figures = {"split": options.split, "weights": run.weights, "seed": options.seed, **evaluation.to_json()}
    write_json(Path(options.run) / "evaluation.json", figures)
    print(evaluation)
    return 0


def _sample(args: list[str]) -> int:
    """Draw from the model: pyrovae sample runs/vae --num 64 --out samples.png"""
    parser = _run_parser("sample", _sample.__doc__ or "")
    parser.add_argument("--num", type=int, default=64, help="how many")
    parser.add_argument("--out", type=str, default="samples.png", help="a picture (.png), or the arrays of all sites (.npz)")
    parser.add_argument(
        "--by_class", type=bool, default=False, help="--num styles, each in every class, of a pair with a class y"
    )
    parser.add_argument(
        "--given", type=dict[str, Any] | None, default=None, help='values of sites that are held, as in --given "{y: 3}"'
    )
    parser.add_argument("--mean", type=bool, default=True, help="E[x | z] (usual in pictures) in place of a draw of x")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    options = parse(parser, args)
    if not options.out.endswith((".png", ".npz")):
        raise OptionError(f"out is {options.out!r}; expected a name that ends in .png or .npz.")
    run = _load_run(options, with_data=False)
    torch.manual_seed(options.seed)
    like = _like(run)
    if options.by_class and options.given:
        raise OptionError("by_class draws every class; leave out one of --by_class and --given.")
    if options.by_class:
        drawn = {"x": class_samples(run, options.num, like=like).flatten(0, 1)}
    else:
        drawn = sample(run, options.num, given=options.given, like=like, mean=options.mean)
    if options.out.endswith(".npz"):
        content = io.BytesIO()
        np.savez_compressed(content, **{name: value.cpu().numpy() for name, value in drawn.items()})
        write_whole(Path(options.out), content.getvalue())
    else:
        x = drawn["x"] if "x" in drawn else list(drawn.values())[-1]
        columns = options.num if options.by_class else None
        plots.save(plots.image_grid(x, columns, vmin=min(0.0, float(x.min())), vmax=max(1.0, float(x.max()))), options.out)
    print(f"{len(drawn['x'])} samples in {options.out}")
    return 0


def _like(run: Run) -> dict[str, torch.Tensor] | None:
    """What a model of data with missing values takes beside x: a mask, on which no draw depends."""
    spec = data_sets.DataSpec.from_json(run.config["data"]["spec"])
    if "c" in spec.covariates:
        raise OptionError(f"{run.path} draws x given a condition: pyrovae complete {run.path}.")
    return {"mask": torch.ones(1, *spec.shape)} if "mask" in spec.covariates else None


def _analogies(args: list[str]) -> int:
    """Every class in the style of test images: pyrovae analogies runs/m2 --num 10 --out analogies.png"""
    parser = _run_parser("analogies", _analogies.__doc__ or "")
    parser.add_argument("--num", type=int, default=10, help="how many test images")
    parser.add_argument("--out", type=str, default="analogies.png", help="a picture (.png)")
    options = parse(parser, args)
    run = _load_run(options)
    rows = _test_rows(run, options.num)
    plots.save(plots.analogies(analogies(run, rows), rows["x"]), options.out)
    print(f"{len(rows['x'])} images in every class in {options.out}")
    return 0


def _test_rows(run: Run, num: int) -> dict[str, torch.Tensor]:
    """The first rows of the test data, or where there are none of the training data, without their labels."""
    part = None if run.data is None else run.data.test or run.data.train
    if part is None:
        raise RunError(f"{run.path} has no data; give --data.")
    return {key: value for key, value in next(iter(part.batches(num))).items() if key not in ("y", "index")}


def _complete(args: list[str]) -> int:
    """Complete images: pyrovae complete runs/vae --mask lower-half --out completions.png"""
    parser = _run_parser("complete", _complete.__doc__ or "")
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
    run = _load_run(options)
    rows = _test_rows(run, options.num)
    torch.manual_seed(options.seed)
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
    print(f"{options.num_samples} completions of {len(rows['x'])} images in {options.out}")
    return 0


def _report(args: list[str]) -> int:
    """Write pictures and one self-contained report.html: pyrovae report runs/vae"""
    options = parse(_run_parser("report", _report.__doc__ or ""), args)
    run = _load_run(options)
    figures = Path(options.run) / "evaluation.json"
    print(write_report(run, evaluation=read_json(figures) if figures.exists() else None))
    return 0


def _to_arviz(args: list[str]) -> int:
    """Write an ArviZ InferenceData as netCDF: pyrovae to-arviz runs/vae --out vae.nc"""
    parser = _run_parser("to-arviz", _to_arviz.__doc__ or "")
    parser.add_argument("--out", type=str, default="run.nc", help="netCDF file")
    parser.add_function_arguments(to_arviz, skip={"pair", "data"})
    options = parse(parser, args)
    names = [n for n in inspect.signature(to_arviz).parameters if n not in ("pair", "data")]
    write_netcdf(to_arviz(_load_run(options), **{n: options[n] for n in names}), options.out)
    print(options.out)
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
    print(data)
    print(check(pair, data))
    return 0


def _list(args: list[str]) -> int:
    """Pairs by family, data sets, their transforms, objectives and the rest: pyrovae list, or pyrovae list --json"""
    parser = make_parser("list", _list.__doc__ or "")
    parser.add_argument("--json", action="store_true", help="as JSON, with all that is true of each pair")
    parser.add_argument("--markdown", action="store_true", help="the pairs as the tables of docs/catalogue.md")
    options = parse(parser, args)
    if options.json:
        print(json.dumps(listing.as_json(), indent=1))
    else:
        print(listing.as_markdown() if options.markdown else listing.as_text(), end="" if options.markdown else "\n")
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "resume": _resume,
    "evaluate": _evaluate,
    "sample": _sample,
    "analogies": _analogies,
    "complete": _complete,
    "report": _report,
    "to-arviz": _to_arviz,
    "check": _check,
    "list": _list,
}
