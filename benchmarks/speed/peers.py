"""Contenders with interpreters of their own: which are given, and a line for each that is missing."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lab.entry import Job, Option

__all__ = ["interpreters", "options"]


def options(names: Sequence[str]) -> dict[str, Option]:
    """An option for the interpreter of each."""
    return {name: Option(f"interpreter that has {name}, if this one has not", None, Path) for name in names}


def interpreters(job: Job, names: Sequence[str]) -> dict[str, str]:
    """The interpreter of each that can run; the others are said to be missing."""
    found = {}
    for name in names:
        python = getattr(job.options, name)
        if python is not None:
            found[name] = str(python)
        elif importlib.util.find_spec(name) is not None:
            found[name] = sys.executable
        else:
            print(f"{name} is missing: it is not installed here, and --{name} names no interpreter that has it.")
    return found
