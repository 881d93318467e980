"""The floors of the house: imports point down only, without cycles; the zoo's halves do not know each other."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"errors", "options"},
    {"codes", "distributions", "likelihoods", "mixture", "nets", "data"},
    {"pair", "modes", "labels", "missing", "trace", "check"},
    {"objectives", "optimizers", "compile"},
    {"train", "evidence", "generate", "diagnostics", "plots", "export", "evaluation"}
    | {"classification", "completion", "features", "reconstruction", "styles"},
    {"models", "guides"},
    {"pairs"},
    {"report", "runs", "stages", "cli", "__init__"},
]
ENGINE = set().union(*FLOORS[:5])
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names}
FOLDERS = {"models": ROOT / "models", "guides": ROOT / "guides"}


def part_of(path):
    """The floor's part that a file belongs to: its package or module under pyrovae."""
    for name, folder in FOLDERS.items():
        if path.is_relative_to(folder):
            return name
    return path.relative_to(ROOT / "pyrovae").parts[0].removesuffix(".py")


def module_of(path):
    for name, folder in FOLDERS.items():
        if path.is_relative_to(folder):
            path = ROOT / "pyrovae" / name / path.relative_to(folder)
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = [p for folder in ("pyrovae", "models", "guides") for p in sorted((ROOT / folder).rglob("*.py"))]
MODULES = {module_of(path): path for path in FILES}


def imports(path):
    """Modules of ours that a file imports: ``from pyrovae import x`` counts as pyrovae.x where that is a module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found


def test_every_part_has_a_floor():
    assert {part_of(path) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    part = part_of(path)
    for name in imports(path):
        assert name.split(".")[0] not in ("models", "guides"), f"{path} imports {name}: say pyrovae.{name}"
        if name in MODULES and name != "pyrovae":
            other = name.split(".")[1]
            assert FLOOR[other] <= FLOOR[part], f"{path} ({part}) imports {name}, which lies above it"
            if part in ("models", "guides") and other != part:
                assert FLOOR[other] <= 1, f"{path} imports {name}: models and guides stand on the ground floor only"
            if part in ENGINE:
                assert other not in ("models", "guides", "pairs")


def test_no_cycles():
    graph = {name: imports(path) & MODULES.keys() - {name} for name, path in MODULES.items()}
    for name in graph:  # a package's __init__ gathers its own modules
        graph[name] -= {other for other in graph[name] if name.startswith(f"{other}.")}
    list(TopologicalSorter(graph).static_order())


def test_tests_and_benchmarks_use_the_installed_names():
    for folder in ("tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            roots = {name.split(".")[0] for name in imports(path)}
            assert not roots & {"models", "guides"}, f"{path} imports models or guides from the repository's root"
