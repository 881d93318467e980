"""The rooms of the house: imports point down one list, without circles; the zoo's halves do not know each other."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
# a room imports only rooms that stand before it
GROUND = ["errors", "calls", "registry", "files", "plots", "distributions", "nets", "data"]
ENGINE = ["core", "effects", "objectives", "compile", "train", "generate", "evidence", "evaluation"]
ABOVE = ["models", "guides", "parts", "pairs", "runs", "report", "cli", "pyrovae", "__main__"]
ROOMS = [*GROUND, *ENGINE, *ABOVE]
FOLDERS = {"pyrovae.models": ROOT / "models", "pyrovae.guides": ROOT / "guides", "pyrovae": ROOT / "pyrovae"}


def modules():
    """Every module of the package by its dotted name."""
    found = {}
    for name, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([name, *(part for part in parts if part != "__init__")])] = path
    return found


MODULES = modules()


def room(module):
    """The folder under pyrovae (or loose module) that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def imports(path):
    """Dotted names that a file imports: ``from pyrovae import x`` counts as pyrovae.x where that is a module."""
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


def graph_of_rooms():
    """Room -> rooms that it imports, and one import that shows it."""
    edges = {}
    for module, path in MODULES.items():
        for other in imports(path) & MODULES.keys():
            if room(other) != room(module):
                edges.setdefault((room(module), room(other)), f"{path.relative_to(ROOT)} imports {other}")
    return edges


def test_every_room_is_in_the_list():
    assert {room(module) for module in MODULES} == set(ROOMS)


def test_imports_point_down():
    edges = graph_of_rooms()
    up = [why for (here, other), why in edges.items() if ROOMS.index(other) >= ROOMS.index(here)]
    assert not up, "\n".join(up)
    crossing = [why for (here, other), why in edges.items() if here in ("models", "guides") and other not in GROUND]
    assert not crossing, "models and guides stand on the ground alone:\n" + "\n".join(crossing)


def test_the_list_would_catch_a_circle(monkeypatch):
    monkeypatch.setitem(MODULES, "pyrovae.core.upward", ROOT / "pyrovae" / "train" / "fitting.py")
    assert any(ROOMS.index(other) >= ROOMS.index(here) for here, other in graph_of_rooms())


def test_no_circles_between_modules():
    graph = {name: imports(path) & MODULES.keys() - {name} for name, path in MODULES.items()}
    for name in graph:  # a package's __init__ gathers its own modules
        graph[name] -= {other for other in graph[name] if name.startswith(f"{other}.")}
    list(TopologicalSorter(graph).static_order())


def test_models_and_guides_are_imported_by_their_installed_names():
    files = [*MODULES.values(), *(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))]
    for path in files:
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & {"models", "guides"}, f"{path} imports models or guides from the repository's root"
