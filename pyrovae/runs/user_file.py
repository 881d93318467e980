"""The user's own pair: a function in a file that the user names, which a run trained from it remembers.

A run's configuration holds the file's path and sha256, and the user's cache, outside any run, that this user trained with
just this file. Only such a file is executed again by what reads the run: nothing that a run's folder says suffices.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyrovae.core.pair import Pair, as_pair
from pyrovae.data import DataSpec
from pyrovae.errors import ContractError, OptionError, PyrovaeError, RunError, nearest

__all__ = ["build_pair", "load_builder", "rebuild", "remember_file", "takes_spec", "warn_of_change"]

log = logging.getLogger("pyrovae")


def split_spec(spec: str) -> tuple[Path, str]:
    """File and function of ``FILE.py:FUNCTION``; the function is ``build`` where none is named."""
    file, _, name = spec.rpartition(":") if ":" in spec else (spec, "", "build")
    return Path(file), name


def load_builder(spec: str) -> Callable[..., Any]:
    """The function of ``FILE.py:FUNCTION``; its errors are told as one sentence with file and line."""
    path, name = split_spec(spec)
    if not path.is_file():
        raise OptionError(f"no file {str(path)!r} (from {spec!r}); expected FILE.py:FUNCTION.")
    module_spec = importlib.util.spec_from_file_location(f"_pyrovae_user_{path.stem}", path.resolve())
    module = importlib.util.module_from_spec(module_spec)  # type: ignore[arg-type]
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.resolve().parent))  # the file may import its neighbours
    try:
        module_spec.loader.exec_module(module)  # type: ignore[union-attr]
    except Exception as error:
        raise ContractError(f"{path} does not load: {where_it_fails(error, path)}") from error
    finally:
        sys.path.pop(0)
    functions = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
    if name not in functions:
        raise nearest(f"function of {path}", name, functions)
    return getattr(module, name)


def where_it_fails(error: Exception, path: Path) -> str:
    """``line N: NameError: ...`` for an error that comes from a file."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == path.resolve()]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    return f"{f'line {line}: ' if line else ''}{type(error).__name__}: {error}"


def takes_spec(build: Callable[..., Any]) -> bool:
    """Whether a builder's first argument is the data's description: it has no default."""
    first = next(iter(inspect.signature(build).parameters.values()), None)
    return first is not None and first.default is first.empty


def build_pair(spec: str, build: Callable[..., Any], data: DataSpec, options: Mapping[str, Any]) -> Pair:
    """The pair of a user's builder, with the recipe that rebuilds it: path, function, sha256 of the file, options."""
    path, name = split_spec(spec)
    try:
        built = build(*([data] if takes_spec(build) else []), **options)
    except Exception as error:
        if isinstance(error, PyrovaeError):
            raise
        raise ContractError(f"{spec} fails: {where_it_fails(error, path)}") from error
    recipe = {"name": None, "file": f"{path.resolve()}:{name}", "sha256": _sha256(path), "options": dict(options)}
    return replace(as_pair(built), recipe=recipe)


def rebuild(recipe: Mapping[str, Any], data: DataSpec, folder: Path) -> Pair:
    """The pair of a run that was trained from a user's file, where that file is still what this user trained with.

    Raises:
        RunError: the file is gone, or has changed, or this user has not trained with it on this machine.
    """
    spec = recipe["file"]
    path, _ = split_spec(spec)
    mend = f"to run it as it is now, give pair=... (on the command line --pair {path.name}:{spec.rpartition(':')[2]})"
    if not path.is_file():
        raise RunError(f"{folder} was trained on the pair of {path}, which is gone; put it back, or {mend}.")
    if _sha256(path) != recipe["sha256"]:
        raise RunError(f"{path} has changed since {folder} was trained on its pair; {mend}.")
    if not _note(path).exists():
        raise RunError(
            f"{folder} says that it was trained on the pair of {path}, with which you have not trained here, and reading a "
            f"run never executes what is not yours; {mend}."
        )
    return build_pair(spec, load_builder(spec), data, recipe["options"])


def remember_file(spec: str) -> None:
    """Note in the user's cache that the user trained with this file as it is."""
    path, _ = split_spec(spec)
    note = _note(path)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
    except OSError as error:
        log.warning("cannot note in %s that you trained with %s (%s): later commands will need --pair.", note, path, error)


def warn_of_change(pair: Pair, recipe: Mapping[str, Any], folder: Path) -> None:
    """Say that a file has changed since a run was trained on its pair."""
    own = pair.recipe or {}
    if "sha256" in own and "sha256" in recipe and own["sha256"] != recipe["sha256"]:
        log.warning("%s is not what it was when %s was trained on its pair.", own["file"].rpartition(":")[0], folder)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _note(path: Path) -> Path:
    """Where it is noted that the user trained with this file, at this place, with this content."""
    import pooch  # here, for a quick start of programs that need no cache

    name = hashlib.sha256(f"{path.resolve()} {_sha256(path)}".encode()).hexdigest()
    return Path(pooch.os_cache("pyrovae")) / "pairs" / name
