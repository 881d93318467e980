"""The user's own pair, made by a function in a file or module, which a run trained from it remembers.

A run's configuration holds the file's path and sha256, and the user's cache, outside any run, that this user trained with
just this file. Only such a file is executed again by what reads the run: nothing that a run's folder says suffices.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyrovae.core.pair import Pair, as_pair
from pyrovae.data import DataSpec
from pyrovae.errors import ContractError, PyrovaeError, RunError
from pyrovae.runs.builders import load_builder, source_file, split_spec, takes_spec, where_it_fails

__all__ = ["build_pair", "rebuild", "remember_file", "warn_of_change"]

log = logging.getLogger("pyrovae")


def build_pair(spec: str, build: Callable[..., Any], data: DataSpec, options: Mapping[str, Any]) -> Pair:
    """The pair of a user's builder, with the recipe that rebuilds it: path, function, sha256 of the file, options."""
    path = source_file(build)
    try:
        built = build(*([data] if takes_spec(build) else []), **options)
    except (Exception, SystemExit) as error:
        if isinstance(error, PyrovaeError):
            raise
        raise ContractError(f"{spec} fails: {where_it_fails(error, path)}") from error
    if not isinstance(built, Pair | tuple):
        raise ContractError(f"{spec} returns {built!r}; expected (model, guide), or a Pair.")
    source, name = split_spec(spec)
    module = {} if source.endswith(".py") else {"module": f"{source}:{name}"}
    recipe = {"name": None, "file": f"{path}:{name}", **module, "sha256": _sha256(path), "options": dict(options)}
    return replace(as_pair(built), recipe=recipe)


def rebuild(recipe: Mapping[str, Any], data: DataSpec, folder: Path) -> Pair:
    """The pair of a run that was trained from a user's file, where that file is still what this user trained with.

    Raises:
        RunError: the file is gone, or has changed, or this user has not trained with it on this machine.
    """
    file, name = split_spec(recipe["file"])
    path, spec = Path(file), recipe.get("module", recipe["file"])
    own = recipe.get("module", f"{path.name}:{name}")
    mend = f"open it with pyrovae.load(folder, pair=...), or on the command line with --pair {own}"
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


def remember_file(build: Callable[..., Any]) -> None:
    """Note in the user's cache that the user trained with this builder's file as it is."""
    note = _note(source_file(build))
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
    except OSError as error:
        log.warning("cannot note in %s that you trained with %s (%s): later commands will need --pair.", note, build, error)


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
