"""Constraints that hold every package at setup.py's lower bound: ``python .ci/lowest.py [--but torch] > lowest.txt``."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--but", nargs="*", default=[], help="packages to leave free")
left = parser.parse_args().but
setup = ast.parse(Path(__file__).parent.parent.joinpath("setup.py").read_text(encoding="utf-8"))
call = next(node for node in ast.walk(setup) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup")
for requirement in next(ast.literal_eval(k.value) for k in call.keywords if k.arg == "install_requires"):
    name, lowest = re.match(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)", requirement).groups()
    if name not in left:
        print(f"{name}=={lowest}")
