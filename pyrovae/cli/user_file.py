"""The user's own pair: a function in a file that the user names."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyrovae.errors import ContractError, OptionError, nearest

__all__ = ["load_builder"]


def load_builder(spec: str) -> Callable[..., Any]:
    """The function of ``FILE.py:FUNCTION``; its errors are told as one sentence with file and line."""
    file, _, name = spec.rpartition(":") if ":" in spec else (spec, "", "build")
    path = Path(file)
    if not path.is_file():
        raise OptionError(f"no file {file!r} (from {spec!r}); expected FILE.py:FUNCTION.")
    module_spec = importlib.util.spec_from_file_location(f"_pyrovae_user_{path.stem}", path.resolve())
    module = importlib.util.module_from_spec(module_spec)  # type: ignore[arg-type]
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.resolve().parent))  # the file may import its neighbours
    try:
        module_spec.loader.exec_module(module)  # type: ignore[union-attr]
    except Exception as error:
        raise ContractError(f"{file} does not load: {where_it_fails(error, path)}") from error
    finally:
        sys.path.pop(0)
    functions = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
    if name not in functions:
        raise nearest(f"function of {file}", name, functions)
    return getattr(module, name)


def where_it_fails(error: Exception, path: Path) -> str:
    """``line N: NameError: ...`` for an error that comes from a file."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == path.resolve()]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    return f"{f'line {line}: ' if line else ''}{type(error).__name__}: {error}"
