"""The records of the entry ``speed`` as Markdown: milliseconds, and the ratios with their targets."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from benchmarks.speed.rows import EPOCHS, ROWS

__all__ = ["RATIOS", "render"]

COLUMNS = ("hand", "hand-compile", "fit-eager", "compiled", "pyro", "pyro-unvalidated", "pyro-meanfield")
PEERS = ("numpyro", "numpyro-scan", "pythae")
HOLDS: dict[str, Callable[[float, float], bool]] = {"<": operator.lt, "<=": operator.le, ">=": operator.ge}
Target = tuple[str, float] | None


def _by_hand(name: str) -> Target:
    return "<=", 0.65 if name == "vae-256" or ROWS[name].particles > 1 else 1.0


def _by_pyro(name: str) -> Target:
    at_least = {"vae-20": 2.5, "vae-256": 2.0, "enum-100": 2.0, "sequence-100": 3.0}
    found = at_least.get(name, 2.0 if ROWS[name].particles > 1 else None)
    return None if found is None else (">=", found)


RATIOS: dict[tuple[str, str], Callable[[str], Target]] = {
    ("compiled", "numpyro"): lambda name: ("<", 1.0),
    ("compiled", "numpyro-scan"): lambda name: ("<=", 1.2),
    ("compiled", "hand"): _by_hand,
    ("compiled", "hand-compile"): lambda name: ("<=", 1.05),
    ("pyro", "compiled"): _by_pyro,
    ("fit-eager", "hand"): lambda name: ("<=", 1.3) if ROWS[name].batch == 100 else None,
}
COMPILE_S: Target = ("<=", 30.0)
EPOCH: Target = ("<=", 1.1)


def render(records: list[dict[str, Any]]) -> str:
    """Four tables; of each row the last record."""
    latest = {record["row"]: record for record in records}
    rows = {name: latest[name] for name in ROWS if name in latest}
    epochs = {name: latest[f"epoch {name}"] for name in EPOCHS if f"epoch {name}" in latest}
    names = [*COLUMNS, *PEERS]
    parts = [
        "Milliseconds a step, median (quartiles)",
        _table(["row", *names], [[r, *map(_time(rec), names)] for r, rec in rows.items()]),
    ]
    heads = [f"{above} / {below}" for above, below in RATIOS]
    lines = [[name, *(_ratio(record, *pair, of(name)) for pair, of in RATIOS.items())] for name, record in rows.items()]
    parts += ["Ratios, each with its target", _table(["row", *heads], lines)]
    names = [name for name in names if name not in ("hand", "fit-eager", "pythae") and not name.startswith("pyro")]
    lines = [[row, *(_made(record, name) for name in [*names, "hand", "pyro"])] for row, record in rows.items()]
    parts += [
        "Seconds to trace and compile; MiB of memory (NumPyro: of its whole process)",
        _table(["row", *names, "hand", "pyro"], lines),
    ]
    if epochs:
        lines = [[r, _time(e)("fit"), _time(e)("compiled"), _ratio(e, "fit", "compiled", EPOCH)] for r, e in epochs.items()]
        parts += ["Whole epochs through fit, milliseconds a step", _table(["row", "fit", "bare steps", "fit / bare"], lines)]
    return "\n\n".join(parts)


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def _median(record: dict[str, Any], name: str) -> float | None:
    return record["contenders"].get(name, {}).get("ms", {}).get("median")


def _time(record: dict[str, Any]) -> Callable[[str], str]:
    def cell(name: str) -> str:
        if _median(record, name) is None:
            return "-"
        ms = record["contenders"][name]["ms"]
        return "{:.2f} ({:.2f}-{:.2f})".format(ms["median"], *ms["quartiles"])

    return cell


def _ratio(record: dict[str, Any], above: str, below: str, target: Target) -> str:
    top, bottom = _median(record, above), _median(record, below)
    return "-" if top is None or bottom is None else judged(top / bottom, target)


def judged(value: float, target: Target) -> str:
    """The value, and whether it meets its target."""
    if target is None:
        return f"{value:.2f}"
    sign, limit = target
    return f"{value:.2f} {'pass' if HOLDS[sign](value, limit) else '**miss**'} ({sign} {limit:g})"


def _made(record: dict[str, Any], name: str) -> str:
    facts = record["contenders"].get(name, {})
    seconds, memory = facts.get("compile_s"), facts.get("peak_mb")
    time = None if seconds is None else judged(seconds, COMPILE_S) if name == "compiled" else f"{seconds:.2f}"
    return "; ".join(filter(None, [time, memory is not None and f"{memory} MiB"])) or "-"
