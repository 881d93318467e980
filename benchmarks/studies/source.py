"""The source's own measures: lengths of functions and files, repeated lines, what docstrings say, a word that was given up.

- Length of a function: from ``def`` to its last line, without its docstring.
- Repeated lines: the share of lines of code that stand in a run of six identical lines elsewhere; imports, ``__all__``,
  docstrings, comments, blank lines and lone brackets are taken out first. "By shape" takes names, numbers and text as alike.
  Of recipes, the facts that stand in the decorator (authors, title, year, sites) are taken out too: they are a table.
- Docstrings: of the functions in ``__all__`` of ``pyrovae`` and of its sub-packages, read without importing
  anything. A formula has a relation or a density in it; a shape is a tuple of the usual letters, as (K, B); a unit is one of
  those named in ``UNIT``. Not every docstring has use for each.
"""

from __future__ import annotations

import ast
import functools
import io
import keyword
import re
import statistics
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from pyrovae.errors import OptionError

__all__ = ["ENTRY", "code_lines", "docstrings", "repeated"]

RUN = 6
ROOMS = {
    "source": ("pyrovae", "models", "guides"),
    "tests": ("tests",),
    "benchmarks": ("benchmarks",),
    "pairs": ("pyrovae/pairs",),
}
FORMULA = re.compile(r"\S (=|<=|>=|~|->) \S|\blog [pqwr]\b|\b[pqL]\(|E_[a-z]|\bKL\(|sum_|\|\|")
SHAPE = re.compile(r"\((?:[A-Z*][\w.]*|\*\w+|\.\.\.|[dk])(?:, ?(?:[A-Za-z*][\w.]*|\d+|\.\.\.|2d))*,?\)")
UNIT = re.compile(r"\b(nats?|bits?|seconds?|milliseconds?|MiB|bytes|percent|degrees)\b")
LAW = re.compile(r"\blaws?\b", re.IGNORECASE)


def files(root: Path, rooms: Sequence[str]) -> list[Path]:
    """Python files of some folders."""
    return sorted(path for room in rooms for path in (root / room).rglob("*.py") if "__pycache__" not in path.parts)


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names and lengths of all functions."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            told = _documented(node)
            yield node.name, node.end_lineno - node.lineno + 1 - len(told)


def _documented(node: ast.AST) -> range:
    """The lines of a docstring."""
    documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    if not documented or ast.get_docstring(node) is None:
        return range(0)
    return range(node.body[0].lineno, node.body[0].end_lineno + 1)


# ------------------------------------------------------------------------------------------------ repeated lines
def code_lines(text: str, by_shape: bool = False) -> list[str]:
    """Lines of code, white space folded, without what is no code of its own: see the top."""
    lines = (" ".join(_shape(token) if by_shape else token.string for token in tokens) for tokens in _tokens(text))
    return [line for line in lines if re.search(r"\w", line)]


@functools.cache
def _tokens(text: str) -> list[list[tokenize.TokenInfo]]:
    """The tokens of each line of code."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        skipped.update(_documented(node))
        if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_fact(node):
            skipped.update(range(node.lineno, node.end_lineno + 1))
    lines: dict[int, list[tokenize.TokenInfo]] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP) and token.start[0] not in skipped:
            lines.setdefault(token.start[0], []).append(token)
    return [lines[number] for number in sorted(lines)]


def _is_fact(node: ast.AST) -> bool:
    """Whether a statement is ``__all__ = ...``, or the decorator of a recipe."""
    if isinstance(node, ast.Assign):
        return [getattr(target, "id", "") for target in node.targets] == ["__all__"]
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "recipe"


def _shape(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.OP or keyword.iskeyword(token.string):
        return token.string
    return "n" if token.type == tokenize.NAME else "0"


def repeated(texts: Sequence[str], by_shape: bool = False) -> tuple[int, int]:
    """How many lines of code stand in a run that stands elsewhere too, and how many there are."""
    sources = [code_lines(text, by_shape) for text in texts]
    runs = Counter(tuple(lines[i : i + RUN]) for lines in sources for i in range(len(lines) - RUN + 1))
    found = 0
    for lines in sources:
        marked: set[int] = set()
        for i in range(len(lines) - RUN + 1):
            if runs[tuple(lines[i : i + RUN])] > 1:
                marked.update(range(i, i + RUN))
        found += len(marked)
    return found, sum(map(len, sources))


# ------------------------------------------------------------------------------------------------ docstrings
class Modules:
    """The modules of a checkout by their dotted name, parsed."""

    def __init__(self, root: Path) -> None:
        self.trees: dict[str, ast.Module] = {}
        for folder, name in (("pyrovae", "pyrovae"), ("models", "pyrovae.models"), ("guides", "pyrovae.guides")):
            for path in files(root, [folder]):
                parts = [name, *path.relative_to(root / folder).with_suffix("").parts]
                self.trees[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text("utf-8"))

    def public(self, module: str) -> list[str]:
        """``__all__``."""
        for node in self.trees[module].body:
            if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
                return [item.value for item in getattr(node.value, "elts", []) if isinstance(item, ast.Constant)]
        return []

    def find(self, module: str, name: str) -> tuple[str, ast.AST] | None:
        """Where a name is defined, through imports; None where it is no function or class."""
        for node in self.trees[module].body if module in self.trees else []:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
                return module, node
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    if (alias.asname or alias.name) == name and (node.module, alias.name) != (module, name):
                        return self.find(node.module, alias.name)
        return None


def docstrings(root: Path) -> dict[tuple[str, str], str]:
    """Docstrings of public functions, by module and name."""
    modules, found = Modules(root), {}
    packages = {name for name in modules.trees if any(other.startswith(f"{name}.") for other in modules.trees)}
    for package in sorted(packages):
        for name in modules.public(package):
            place = modules.find(package, name)
            if place is not None and isinstance(place[1], ast.FunctionDef):
                module, node = place
                found[module, node.name] = ast.get_docstring(node) or ""
    return found


# ------------------------------------------------------------------------------------------------ the entry
def measured(root: Path) -> Row:
    """All measures of a checkout."""
    texts = {path: path.read_text("utf-8") for path in files(root, ROOMS["source"])}
    lengths = {(path, name): size for path, text in texts.items() for name, size in functions(ast.parse(text))}
    (at, name), longest = max(lengths.items(), key=lambda item: item[1])
    sizes = {path: len(text.splitlines()) for path, text in texts.items()}
    big = max(sizes, key=sizes.__getitem__)
    found: Row = {
        "files": len(texts),
        "lines": sum(sizes.values()),
        "function_median": statistics.median(lengths.values()),
        "function_90th": statistics.quantiles(lengths.values(), n=10)[-1],
        "function_longest": f"{longest}: {name} in {at.relative_to(root)}",
        "functions_above_50": sum(size > 50 for size in lengths.values()),
        "file_longest": f"{sizes[big]}: {big.relative_to(root)}",
        "files_above_300": sum(size > 300 for size in sizes.values()),
    }
    for room, folders in ROOMS.items():
        some = [path.read_text("utf-8") for path in files(root, folders)]
        for suffix, by_shape in (("", False), ("_by_shape", True)):
            lines, total = repeated(some, by_shape)
            found[f"repeated_{room}{suffix}"] = f"{100 * lines / max(1, total):.1f}% ({lines} of {total})"
    told = docstrings(root).values()
    for name, pattern in (("formula", FORMULA), ("shape", SHAPE), ("unit", UNIT)):
        number = sum(bool(pattern.search(text)) for text in told)
        found[f"docstrings_{name}"] = f"{100 * number / max(1, len(told)):.0f}% ({number} of {len(told)})"
    readable = [*root.glob("*.md"), *(path for room in ("benchmarks", "docs") for path in (root / room).rglob("*.md"))]
    everywhere = [*files(root, [room for rooms in ROOMS.values() for room in rooms if "/" not in room]), *readable]
    found["law"] = sum(len(LAW.findall(path.read_text("utf-8"))) for path in everywhere if path.name != "source.py")
    return found


def run(job: Job) -> None:
    """Measure the checkouts."""
    for root in job.options.path:
        if not (root / "pyrovae").is_dir():
            raise OptionError(f"--path {root}: expected a checkout, which has a folder pyrovae; there is none.")
        job.records.add({"path": root.resolve().name}, measured(root))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A column for each checkout."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "path"]
    lines = [[name.replace("_", " "), *(row.get(name, "") for row in rows)] for name in names]
    return {"source": markdown.table(["", *(row["path"] for row in rows)], lines)}


ENTRY = Entry(
    name="source",
    shows="Lengths of functions and files, repeated lines, what docstrings say: of this checkout, or of others (--path).",
    budgets={"smoke": Spend("5 seconds"), "cpu": Spend("5 seconds")},
    run=run,
    tables=tables,
    options={"path": Option("folders of checkouts", [Path(__file__).parents[2]], Path)},
)
