"""Options of the command line: parsers from signatures and docstrings, errors in one sentence."""

from __future__ import annotations

import difflib
import inspect
import re
from argparse import ArgumentError
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any, get_type_hints

import docstring_parser
import yaml
from jsonargparse import ArgumentParser, Namespace

from pyrovae import data as data_sets
from pyrovae import pairs
from pyrovae.cli.saying import Shown, say, show_as
from pyrovae.core.pair import Pair
from pyrovae.data.paths import FORMATS
from pyrovae.data.spec import COLUMN_KINDS, KINDS
from pyrovae.errors import OptionError
from pyrovae.evidence import METHODS
from pyrovae.files import read_regular
from pyrovae.runs.builders import load_builder, takes_spec
from pyrovae.runs.user_file import build_pair

__all__ = ["Builder", "add_data", "argument_help", "load_data", "make_parser", "method_options", "pair_of", "parse"]


def parse(parser: ArgumentParser, args: list[str]) -> Namespace:
    """Parse; an unknown option's error names the nearest one."""
    _refuse_configurations(args)
    try:
        with redirect_stdout(StringIO()) as shown:  # help and --print_config
            options = parser.parse_args(args)
    except SystemExit as done:
        if done.code:
            raise OptionError(f"{parser.prog} cannot read its options (exit code {done.code}).") from done
        say(shown.getvalue(), end="")
        raise Shown from done
    except ArgumentError as error:
        message = _one_sentence(str(error))
        known = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
        unknown = [arg.split("=")[0] for arg in args if arg.startswith("--") and arg.split("=")[0] not in known]
        if unknown:
            match = difflib.get_close_matches(unknown[0], known, n=1, cutoff=0.5)
            hint = f"; did you mean {match[0]}?" if match else "."
            message = f"{parser.prog} has no option {unknown[0]}{hint} (--help lists them)"
        raise OptionError(message) from error
    if options.quiet and options.json:
        raise OptionError("--quiet and --json are both given; --json says its one object: leave --quiet out.")
    show_as("quiet" if options.quiet else "json" if options.json else "text")
    return options


def _refuse_configurations(args: list[str]) -> None:
    """Refuse a --config that is no file, or that refers to its own parts, as a few lines of YAML can billions of times."""
    for i, arg in enumerate(args):
        if arg != "--config" and not arg.startswith("--config="):
            continue
        path = Path(args[i + 1] if arg == "--config" and i + 1 < len(args) else arg.removeprefix("--config="))
        if not path.exists():
            continue  # a string of YAML, or what the parser refuses
        try:
            text = read_regular(path).decode()
            if any(isinstance(token, (yaml.AliasToken, yaml.AnchorToken)) for token in yaml.scan(text)):
                raise OptionError(f"--config {path} has anchors or aliases (& and *); expected plain YAML: write values out.")
            if not isinstance(yaml.safe_load(text) or {}, dict):
                raise OptionError(f"--config {path} is no mapping; expected options, a line each, as in epochs: 3.")
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise OptionError(f"--config {path} cannot be read: {_one_line(error)}.") from error


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).rstrip(".")


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


def make_parser(command: str, doc: str) -> ArgumentParser:
    """A command's parser, with ``--config FILE``; its errors are exceptions."""
    parser = ArgumentParser(prog=f"pyrovae {command}", description=doc, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file of options")
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    parser.add_argument("--json", action="store_true", help="say what was found as one JSON object, and nothing else")
    return parser


def argument_help(function: Callable[..., Any]) -> dict[str, str]:
    """What a function's docstring says of each argument."""
    parsed = docstring_parser.parse(function.__doc__ or "")
    return {p.arg_name: (p.description or "").replace("\n", " ").replace("%", "%%") for p in parsed.params}


def method_options() -> dict[str, tuple[Any, list[str], str]]:
    """Options of the estimators of log p(x): type, the methods that have it, what the first of them says of it."""
    found: dict[str, tuple[Any, list[str], str]] = {}
    for name, method in METHODS.items():
        texts, types = argument_help(method), get_type_hints(method)
        for option in (f for f in fields(method) if f.name != "num_samples"):
            text = f"{texts.get(option.name, '')} (by default {option.default})"
            kind, methods, text = found.get(option.name, (types[option.name] | None, [], text))
            found[option.name] = kind, [*methods, name], text
    return found


def add_data(parser: ArgumentParser) -> None:
    """The options that choose the data."""
    group = parser.add_argument_group("data")
    names, files, kinds = ", ".join(data_sets.names()), ", ".join(FORMATS), dict.fromkeys([*KINDS, *COLUMN_KINDS])
    group.add_argument("--data", type=str, default="digits", help=f"{names}, or a file ({files}) or a folder of images")
    group.add_argument(
        "--columns", type=str, nargs="*", default=[], help="keys of a table's columns, as in x=height,weight y=species"
    )
    group.add_argument(
        "--kinds", type=str, nargs="*", default=[], help=f"kinds of keys or columns, as in x=count: {', '.join(kinds)}"
    )
    group.add_argument("--missing", type=str | None, default=None, help="mask, where x has values that are missing (NaN)")
    group.add_argument(
        "--binarization",
        type=str | None,
        default=None,
        help="dynamic, fixed, threshold or none; by default the data set's own",
    )
    group.add_argument(
        "--transforms",
        type=str,
        nargs="*",
        default=[],
        help=f"in order: {', '.join(data_sets.TRANSFORMS)}, with options as in few-labels:num_labels=100,seed=1",
    )
    group.add_argument("--root", type=str | None, default=None, help="folder of the data sets (else PYROVAE_DATA, the cache)")


def load_data(options: Namespace) -> data_sets.Data:
    """The data that the options of :func:`add_data` choose."""
    columns = {key: names.split(",") for key, names in _pairs("columns", options.columns).items()}
    return data_sets.load(
        options.data,
        columns={key: names if key == "x" or len(names) > 1 else names[0] for key, names in columns.items()} or None,
        kinds=_pairs("kinds", options.kinds),
        missing=options.missing,
        root=options.root,
        binarization=options.binarization,
        transforms=options.transforms,
    )


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    """``KEY=VALUE`` words as a dict."""
    made = dict(word.split("=", 1) for word in given if "=" in word)
    for word in given:
        if "=" not in word or word.startswith("=") or word.endswith("="):
            raise OptionError(f"--{option} has {word!r}; expected KEY=VALUE, as in x=height,weight.")
    return made


class Builder:
    """What follows ``train`` or ``check``: a recipe's name, or the user's own FILE.py:FUNCTION or package.module:FUNCTION."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.own = spec.endswith(".py") or ":" in spec
        self.build = load_builder(spec) if self.own else pairs.get(spec).build
        self.options = list(inspect.signature(self.build).parameters)

    def add_options(self, parser: ArgumentParser) -> None:
        """Give the parser the recipe's options."""
        skip = {name for name in self.options[:1] if takes_spec(self.build)}
        parser.add_function_arguments(self.build, skip=skip, fail_untyped=False)

    def pair(self, options: Namespace, spec: data_sets.DataSpec) -> Pair:
        """The pair of these options for such data."""
        names = self.options[1:] if takes_spec(self.build) else self.options
        chosen = {name: options[name] for name in names if name in options}
        if self.own:
            return build_pair(self.spec, self.build, spec, chosen)
        return self.build(spec, **chosen)


def pair_of(args: list[str], command: str) -> str:
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
        f"pyrovae {command} PAIR: say first which pair, one of {', '.join(pairs.CATALOGUE)}, or FILE.py:FUNCTION or "
        "package.module:FUNCTION that returns (model, guide)."
    )
