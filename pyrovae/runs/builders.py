"""The user's own builder of a pair: a function in a file, or in a module that can be imported, that the user names."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pyrovae.errors import ContractError, OptionError, nearest

__all__ = ["load_builder", "source_file", "takes_spec", "where_it_fails"]


def split_spec(spec: str) -> tuple[str, str]:
    """File or module, and function; the function is ``build`` where none is named."""
    source, _, name = spec.rpartition(":") if ":" in spec else (spec, "", "build")
    return source, name


def load_builder(spec: str) -> Callable[..., Any]:
    """The function of ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``; errors are one sentence with file and line."""
    source, name = split_spec(spec)
    module = _load_file(Path(source), spec) if source.endswith(".py") else _load_module(source, spec)
    functions = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
    if name not in functions:
        raise nearest(f"function of {source}", name, functions)
    return getattr(module, name)


def _load_file(path: Path, spec: str) -> ModuleType:
    if not path.is_file():
        raise OptionError(f"no file {str(path)!r} (from {spec!r}); expected FILE.py:FUNCTION.")
    module_spec = importlib.util.spec_from_file_location(f"_pyrovae_user_{path.stem}", path.resolve())
    module = importlib.util.module_from_spec(module_spec)  # type: ignore[arg-type]
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.resolve().parent))  # the file may import its neighbours
    try:
        module_spec.loader.exec_module(module)  # type: ignore[union-attr]
    except (Exception, SystemExit) as error:
        raise ContractError(f"{path} does not load: {where_it_fails(error, path)}") from error
    finally:
        sys.path.pop(0)
    return module


def _load_module(name: str, spec: str) -> ModuleType:
    found = None
    importlib.invalidate_caches()
    sys.path.append(os.getcwd())  # after what is installed, which the folder may not hide
    try:
        found = importlib.util.find_spec(name)
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ContractError(f"{name} does not load: {error}") from error
        raise OptionError(
            f"no module {name!r} (from {spec!r}) can be imported from here; expected package.module:FUNCTION, or "
            "FILE.py:FUNCTION."
        ) from error
    except (Exception, SystemExit) as error:
        origin = Path(found.origin) if found is not None and found.origin else Path()
        raise ContractError(f"{name} does not load: {where_it_fails(error, origin)}") from error
    finally:
        sys.path.pop()


def where_it_fails(error: BaseException, path: Path) -> str:
    """``line N: NameError: ...`` for an error that comes from a file."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == path.resolve()]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    return f"{f'line {line}: ' if line else ''}{type(error).__name__}: {error}"


def source_file(build: Callable[..., Any]) -> Path:
    """The file that a builder was read from."""
    return Path(inspect.getsourcefile(build) or "").resolve()


def takes_spec(build: Callable[..., Any]) -> bool:
    """Whether a builder's first argument is the data's description: it has no default."""
    first = next(iter(inspect.signature(build).parameters.values()), None)
    return first is not None and first.default is first.empty
