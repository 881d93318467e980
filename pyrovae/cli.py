"""The command line: ``pyrovae train vae --data binary-mnist --latent_dim 50 --out runs/vae``."""

from __future__ import annotations

import difflib
import inspect
import io
import os
import re
import sys
import traceback
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import docstring_parser
import numpy as np
import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

from pyrovae import data as data_sets
from pyrovae import pairs, plots
from pyrovae.check import check
from pyrovae.errors import ContractError, OptionError, PyrovaeError, RunError, nearest
from pyrovae.evaluation import evaluate
from pyrovae.export import to_arviz, write_netcdf
from pyrovae.generate import sample
from pyrovae.objectives import OBJECTIVES
from pyrovae.pair import Pair, as_pair
from pyrovae.report import write_report
from pyrovae.runs import load, resume
from pyrovae.train import Run, fit
from pyrovae.train.files import read_json, write_json, write_whole
from pyrovae.user_file import load_builder, where_it_fails

__all__ = ["main"]

FIT_TEXTS = ("objective", "optimizer", "scheduler", "out")  # objects in Python, text on the command line


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 2 on bad input, 130 when interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        return _run(args)
    except SystemExit as done:  # --help and --print_config
        return int(done.code or 0)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, (PyrovaeError, ArgumentError)):
            return _fail(str(error), 2)
        return _fail(f"{type(error).__name__}: {error} (--debug shows where)", 2)


def _fail(message: str, code: int) -> int:
    print(f"pyrovae: {message}", file=sys.stderr)
    return code


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if args[0] == "--version":
        from importlib.metadata import version

        print(f"pyrovae {version('pyrovae')}")
        return 0
    if args[0] not in COMMANDS:
        raise nearest("command", args[0], COMMANDS)
    return COMMANDS[args[0]](args[1:]) or 0


def _usage() -> str:
    lines = ["usage: pyrovae COMMAND ... [--debug]", "", "Variational autoencoders as pairs of Pyro programs.", ""]
    lines += [f"  {name:10s}{(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "pyrovae COMMAND --help explains each."])


# ------------------------------------------------------------------------------------------------------ parsing
def _parse(parser: ArgumentParser, args: list[str]) -> Namespace:
    """Parse; an unknown option's error names the nearest one."""
    try:
        return parser.parse_args(args)
    except ArgumentError as error:
        message = _one_sentence(str(error))
        known = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
        unknown = [arg.split("=")[0] for arg in args if arg.startswith("--") and arg.split("=")[0] not in known]
        if unknown:
            match = difflib.get_close_matches(unknown[0], known, n=1, cutoff=0.5)
            hint = f"; did you mean {match[0]}?" if match else "."
            message = f"{parser.prog} has no option {unknown[0]}{hint} (--help lists them)"
        raise OptionError(message) from error


def _one_sentence(message: str) -> str:
    """jsonargparse's account of a wrong value, shortened."""
    text = re.sub(r"\s*\n\s*", " ", message).strip()
    key = re.search(r'Parser key "(\w+)"', text)
    value = re.search(r"(?:Given value|Got value): (.*)$", text)
    types = re.findall(r"Expected an? (?:<class '(\w+)'>|typing\.(\S+\[.*?\])|([\w\[\], |.]+?)(?:\.| Got|$))", text)
    expected = dict.fromkeys(next(filter(None, match), "") for match in types)
    names = {"str": "text", "int": "a whole number", "float": "a number", "NoneType": "null"}
    if key and value and expected:
        return f"--{key[1]} is {value[1]}; expected {' or '.join(names.get(e, e) for e in expected)}."
    return text


def _parser(command: str, doc: str) -> ArgumentParser:
    parser = ArgumentParser(prog=f"pyrovae {command}", description=doc, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file of options")
    return parser


def _help(function: Callable[..., Any]) -> dict[str, str]:
    """What a function's docstring says of each argument."""
    parsed = docstring_parser.parse(function.__doc__ or "")
    return {p.arg_name: (p.description or "").replace("\n", " ").replace("%", "%%") for p in parsed.params}


def _add_data(parser: ArgumentParser, default: str | None = "digits") -> None:
    group = parser.add_argument_group("data")
    names = ", ".join(data_sets.names())
    group.add_argument("--data", type=str, default=default, help=f"{names}, or a .npy or .npz file")
    group.add_argument(
        "--binarization",
        type=str | None,
        default=None,
        help="dynamic, fixed, threshold or none; by default the data set's own",
    )
    group.add_argument("--root", type=str | None, default=None, help="folder of the data sets (else PYROVAE_DATA, the cache)")


def _load_data(options: Namespace) -> data_sets.Data:
    return data_sets.load(options.data, root=options.root, binarization=options.binarization)


class _Builder:
    """What follows ``train`` or ``check``: a recipe's name, or FILE.py:FUNCTION of the user's own."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.own = ".py" in spec
        self.build = load_builder(spec) if self.own else pairs.get(spec).build
        self.options = list(inspect.signature(self.build).parameters)

    def add_options(self, parser: ArgumentParser) -> None:
        skip = {name for name in self.options[:1] if self.takes_spec}
        parser.add_function_arguments(self.build, skip=skip, fail_untyped=False)

    @property
    def takes_spec(self) -> bool:
        """Whether the first argument is the data's description: it has no default."""
        first = next(iter(inspect.signature(self.build).parameters.values()), None)
        return first is not None and first.default is first.empty

    def pair(self, options: Namespace, spec: data_sets.DataSpec) -> Pair:
        names = self.options[1:] if self.takes_spec else self.options
        chosen = {name: options[name] for name in names if name in options}
        try:
            built = self.build(*([spec] if self.takes_spec else []), **chosen)
        except Exception as error:
            if not self.own or isinstance(error, PyrovaeError):
                raise
            file = Path(self.spec.rpartition(":")[0])
            raise ContractError(f"{self.spec} fails: {where_it_fails(error, file)}") from error
        pair = as_pair(built)
        return replace(pair, recipe={"name": None, "file": self.spec, "options": chosen}) if self.own else pair


def _pair_of(args: list[str], command: str) -> str:
    """The pair that a command names first, or in its --config file."""
    if args and not args[0].startswith("-"):
        return args[0]
    for i, arg in enumerate(args):
        path = args[i + 1] if arg == "--config" and i + 1 < len(args) else arg.removeprefix("--config=")
        if arg.startswith("--config") and Path(path).is_file():
            settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            if isinstance(settings, dict) and "pair" in settings:
                args.insert(0, str(settings["pair"]))
                return args[0]
    raise OptionError(
        f"pyrovae {command} PAIR: say first which pair, one of {', '.join(pairs.CATALOGUE)}, or FILE.py:FUNCTION that returns "
        "(model, guide)."
    )


# ------------------------------------------------------------------------------------------------------ commands
def _train(args: list[str]) -> int:
    """Train a pair: pyrovae train vae --data binary-mnist --epochs 50 --out runs/vae"""
    if args[:1] in (["-h"], ["--help"]):
        print(
            f"usage: pyrovae train PAIR [options]\n\nPAIR is one of {', '.join(pairs.CATALOGUE)}, or FILE.py:FUNCTION, a "
            "function of the data's description\n(and of options) that returns (model, guide). Its options, the data's "
            "and the training's are listed by\n\n    pyrovae train PAIR --help"
        )
        return 0
    builder = _Builder(_pair_of(args, "train"))
    parser = _parser(f"train {builder.spec}", (builder.build.__doc__ or "").split("\n")[0])
    parser.add_argument("pair", type=str, help="the pair")
    builder.add_options(parser)
    _add_data(parser)
    group, texts = parser.add_argument_group("training"), _help(fit)
    parser.add_function_arguments(fit, skip={"pair", "data", *FIT_TEXTS})
    group.add_argument(
        "--objective",
        type=str | None,
        default=None,
        help=f"{', '.join(OBJECTIVES)}, with options as in iwae:num_particles=50; by default the pair's own",
    )
    group.add_argument("--optimizer", type=str, default="Adam", help=texts["optimizer"])
    group.add_argument("--scheduler", type=str | None, default=None, help=texts["scheduler"])
    group.add_argument("--out", type=str | None, default=None, help="new folder for the run; by default runs/PAIR")
    group.add_argument("--threads", type=int | None, default=None, help="CPU threads of torch")
    options = _parse(parser, args)
    _set_threads(options.threads)
    data = _load_data(options)
    print(data)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)  # the seed also draws the first parameters
        pair = builder.pair(options, data.spec)
    names = [n for n in inspect.signature(fit).parameters if n not in ("pair", "data", "out")]
    run = fit(pair, data, **{n: options[n] for n in names}, out=options.out or _new_folder(builder.spec))
    return _say_trained(run, f" --pair {builder.spec}" if builder.own else "")


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        if threads < 1:
            raise OptionError(f"threads is {threads}; expected at least 1.")
        torch.set_num_threads(threads)


def _new_folder(spec: str) -> str:
    stem = Path(spec.partition(":")[0]).stem
    return next(f for f in (f"runs/{stem}{n}" for n in ("", *(f"-{i}" for i in range(2, 10_000)))) if not os.path.exists(f))


def _say_trained(run: Run, own: str) -> int:
    print(run)
    again = f"{run.path}{own}"
    if run.stopped == "interrupted":
        print(f"interrupted; continue with: pyrovae resume {again}")
        return 130
    print(f"next: pyrovae evaluate {again}; pyrovae sample {again} --out samples.png; pyrovae report {again}")
    return 0


def _run_parser(command: str, doc: str) -> ArgumentParser:
    parser = _parser(command, doc)
    parser.add_argument("run", type=str, help="the run folder")
    parser.add_argument(
        "--pair",
        type=str | None,
        default=None,
        help="FILE.py:FUNCTION, for runs of a pair of your own: loading a run never executes code by itself",
    )
    parser.add_argument("--data", type=str | None, default=None, help="data set or file, in place of the run's own")
    parser.add_argument("--threads", type=int | None, default=None, help="CPU threads of torch")
    return parser


def _own_pair(options: Namespace) -> Pair | None:
    """The user's pair, with the options it was trained with."""
    if options.pair is None:
        return None
    config = read_json(Path(options.run) / "config.json")
    builder = _Builder(options.pair)
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
    options = _parse(parser, args)
    _set_threads(options.threads)
    run = resume(options.run, epochs=options.epochs, steps=options.steps, pair=_own_pair(options), data=options.data)
    return _say_trained(run, f" --pair {options.pair}" if options.pair else "")


def _evaluate(args: list[str]) -> int:
    """ELBO and log p(x) of the test data, active units: pyrovae evaluate runs/vae --num_samples 1000"""
    parser = _run_parser("evaluate", _evaluate.__doc__ or "")
    parser.add_argument("--split", type=str, default="test", help="train, valid or test")
    parser.add_argument("--weights", type=str | None, default=None, help="best or last")
    parser.add_function_arguments(evaluate, skip={"run", "data", "progress"})
    options = _parse(parser, args)
    run = _load_run(options, weights=options.weights)
    if options.split not in ("train", "valid", "test"):
        raise nearest("split", options.split, ("train", "valid", "test"))
    split = None if run.data is None else getattr(run.data, options.split)
    if split is None:
        raise RunError(f"{options.run} has no {options.split} data; choose another --split, or give --data.")
    evaluation = evaluate(
        run, split, num_samples=options.num_samples, batch_size=options.batch_size, seed=options.seed, progress=True
    )
    figures = {"split": options.split, "weights": run.weights, "seed": options.seed, **evaluation.to_json()}
    write_json(Path(options.run) / "evaluation.json", figures)
    print(evaluation)
    return 0


def _sample(args: list[str]) -> int:
    """Draw from the model: pyrovae sample runs/vae --num 64 --out samples.png"""
    parser = _run_parser("sample", _sample.__doc__ or "")
    parser.add_argument("--num", type=int, default=64, help="how many")
    parser.add_argument("--out", type=str, default="samples.png", help="a picture (.png), or the arrays of all sites (.npz)")
    parser.add_argument("--mean", type=bool, default=True, help="E[x | z] (usual in pictures) in place of a draw of x")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    options = _parse(parser, args)
    if not options.out.endswith((".png", ".npz")):
        raise OptionError(f"out is {options.out!r}; expected a name that ends in .png or .npz.")
    run = _load_run(options, with_data=False)
    torch.manual_seed(options.seed)
    drawn = sample(run.model, options.num, mean=options.mean)
    if options.out.endswith(".npz"):
        content = io.BytesIO()
        np.savez_compressed(content, **{name: value.cpu().numpy() for name, value in drawn.items()})
        write_whole(Path(options.out), content.getvalue())
    else:
        x = drawn["x"] if "x" in drawn else list(drawn.values())[-1]
        plots.save(plots.image_grid(x, vmin=min(0.0, float(x.min())), vmax=max(1.0, float(x.max()))), options.out)
    print(f"{options.num} samples in {options.out}")
    return 0


def _report(args: list[str]) -> int:
    """Write pictures and one self-contained report.html: pyrovae report runs/vae"""
    options = _parse(_run_parser("report", _report.__doc__ or ""), args)
    run = _load_run(options)
    figures = Path(options.run) / "evaluation.json"
    print(write_report(run, evaluation=read_json(figures) if figures.exists() else None))
    return 0


def _export(args: list[str]) -> int:
    """Write an ArviZ InferenceData as netCDF: pyrovae export runs/vae --out vae.nc"""
    parser = _run_parser("export", _export.__doc__ or "")
    parser.add_argument("--out", type=str, default="run.nc", help="netCDF file")
    parser.add_function_arguments(to_arviz, skip={"run", "data"})
    options = _parse(parser, args)
    names = [n for n in inspect.signature(to_arviz).parameters if n not in ("run", "data")]
    write_netcdf(to_arviz(_load_run(options), **{n: options[n] for n in names}), options.out)
    print(options.out)
    return 0


def _check(args: list[str]) -> int:
    """Does a pair keep the contract? pyrovae check my_pair.py:build --data my.npz"""
    if args[:1] in (["-h"], ["--help"]):
        args = ["vae", "--help"]
    builder = _Builder(_pair_of(args, "check"))
    parser = _parser(f"check {builder.spec}", _check.__doc__ or "")
    parser.add_argument("pair", type=str, help="the pair")
    builder.add_options(parser)
    _add_data(parser)
    options = _parse(parser, args)
    data = _load_data(options)
    pair = builder.pair(options, data.spec)
    print(data)
    print(check(pair.model, pair.guide, next(iter(data.train.batches(16)))))
    return 0


def _list(args: list[str]) -> int:
    """Pairs, data sets and objectives: pyrovae list"""
    _parse(_parser("list", _list.__doc__ or ""), args)
    print("pairs")
    for recipe in pairs.CATALOGUE.values():
        print(f"  {recipe.name:18s}{recipe.paper} ({recipe.year})")
    print("data")
    for name, text in data_sets.DATASETS.items():
        print(f"  {name:18s}{text}")
    print("objectives")
    for name, objective in OBJECTIVES.items():
        print(f"  {name:18s}{(objective.__doc__ or '').splitlines()[0]}")
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "resume": _resume,
    "evaluate": _evaluate,
    "sample": _sample,
    "report": _report,
    "export": _export,
    "check": _check,
    "list": _list,
}
