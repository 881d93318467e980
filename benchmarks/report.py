"""A table's results as JSON, as Markdown, as a block of the README, and as figures. Every printed figure is in the JSON."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from scipy.stats import ttest_ind

from benchmarks.cells import Budget, Cell, Table
from benchmarks.runner import results_of
from pyrovae.errors import OptionError

__all__ = ["block", "curves", "document", "points", "render", "write_block"]

DRAWN = {"dynamic": "binarized anew each time an image is used", "fixed": "binarized once", "threshold": "thresholded"}
COLORS = ("#1f5a96", "#d1731c", "#5a8f3c", "#8a4fa3", "#b8485c", "#4b9aa5", "#8c6d31", "#777777", "#d69ab8", "#1a1a1a")


# ------------------------------------------------------------------------------------------------ JSON
def document(
    table: Table, budget: Budget, cells: Sequence[Cell], out: Path, recorded: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What is known of a table: a row for each cell, with the results of its finished seeds and their summary.

    Args:
        recorded: an earlier document, say of another machine, whose results of the same settings are kept where ``out`` has
            none of their seed, as are its rows of pairs of the user's own that ``cells`` lacks.
    """
    old = [row for row in (recorded or {"rows": []})["rows"] if row["results"]]
    before = {row["fingerprint"]: row["results"] for row in old}
    rows = []
    for cell in cells:
        found = {result["seed"]: result for result in [*before.get(cell.fingerprint, []), *results_of(cell, out)]}
        results = [found[seed] for seed in sorted(found)]
        rows.append(
            {
                "label": cell.label,
                "fingerprint": cell.fingerprint,
                "published": None if cell.published is None else asdict(cell.published),
                "summary": summarize(results) if results else None,
                "results": results,
            }
        )
    firsts: dict[str, list[dict[str, Any]]] = {}
    for cell, row in zip(cells, rows, strict=True):
        first = firsts.setdefault(str(cell.data), row["results"])
        row["difference"] = None if first is row["results"] else difference(row["results"], first)
    known = {(cell.label, cell.data["name"]) for cell in cells}
    own = [row for row in old if "pair_sha256" in row["results"][0]["settings"]]
    rows += [row for row in own if (row["label"], row["results"][0]["settings"]["data"]["name"]) not in known]
    return {"table": table.name, "title": table.title, "about": table.about, "budget": budget.label, "rows": rows}


def summarize(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, of log p(x) with its standard error (None for one seed); minutes are with those of a cell's start."""
    log_p = [result["log_p"] for result in results]
    error = statistics.stdev(log_p) / math.sqrt(len(log_p)) if len(log_p) > 1 else None
    bounds = [result["bound"] for result in results]
    sites = results[0]["active_units"]
    before = [result.get("before") or {"epochs": 0, "wall": 0.0} for result in results]
    return {
        "log_p": statistics.mean(log_p),
        "log_p_seed_stderr": error,
        "log_p_stderr": statistics.mean(result["log_p_stderr"] for result in results),
        "log_p_mc_stderr": statistics.mean(result["log_p_mc_stderr"] for result in results),
        "elbo": statistics.mean(result["elbo"] for result in results),
        "bound": None if None in bounds else statistics.mean(bounds),
        "active_units": {site: statistics.mean(result["active_units"][site] for result in results) for site in sites},
        "epochs": statistics.mean(result["epochs"] for result in results),
        "epochs_before": statistics.mean(each["epochs"] for each in before),
        "minutes": statistics.mean(r["seconds"]["wall"] + each["wall"] for r, each in zip(results, before, strict=True)) / 60,
        "peak_mib": max((result["peak_mib"] for result in results if result["peak_mib"] is not None), default=None),
        "seeds": [result["seed"] for result in results],
    }


def difference(results: Sequence[dict[str, Any]], first: Sequence[dict[str, Any]]) -> dict[str, float] | None:
    """How much higher log p(x) is than in the first row of the data set: difference of the means over seeds, its standard
    error, and p of Welch's t-test; None where either has one seed."""
    if min(len(results), len(first)) < 2:
        return None
    ours, theirs = ([result["log_p"] for result in some] for some in (results, first))
    variances = [statistics.variance(some) / len(some) for some in (ours, theirs)]
    return {
        "mean": statistics.mean(ours) - statistics.mean(theirs),
        "stderr": math.sqrt(sum(variances)),
        "p": float(ttest_ind(ours, theirs, equal_var=False).pvalue),
    }


# ------------------------------------------------------------------------------------------------ Markdown
def render(content: dict[str, Any]) -> str:
    """The tables of a :func:`document` as Markdown: one for each data set and binarization, which are never mixed."""
    rows = [row for row in content["rows"] if row["summary"]]
    if not rows:
        return f"No cell of {content['table']} ({content['budget']}) is finished."
    sources = list(dict.fromkeys(row["published"]["source"] for row in rows if row["published"]))
    parts = [f"**{content['title']}** (budget {content['budget']}). {content['about']}"]
    parts += [_group(group, sources) for group in _by_data(rows).values()]
    missing = len(content["rows"]) - len(rows)
    notes = [f"[{number}] {source}." for number, source in enumerate(sources, 1)]
    if missing:
        notes.append(f"Cells that are not finished: {missing} of {len(content['rows'])}.")
    killed = [
        f"{row['label']} ({row['results'][0]['data']['name']})" for row in rows if max(r["starts"] for r in row["results"]) > 1
    ]
    if killed:
        notes.append(f"Stopped in the middle and continued from the last checkpoint: {'; '.join(killed)}.")
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in [*notes, *_provenance(rows)])])


def _by_data(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows that have results, by data set and binarization."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        data = row["results"][0]["data"]
        groups.setdefault((data["name"], data["binarization"]), []).append(row)
    return groups


def _group(rows: Sequence[dict[str, Any]], sources: Sequence[str]) -> str:
    first = rows[0]["results"][0]
    data, sizes = first["data"], sorted({row["results"][0]["num_samples"] for row in rows})
    errors = [row["summary"]["log_p_stderr"] for row in rows]
    spread = " to ".join(dict.fromkeys(f"{error:.2f}" for error in (min(errors), max(errors))))
    noise = max(row["summary"]["log_p_mc_stderr"] for row in rows)
    samples = " or ".join(f"{size:,}" for size in sizes)
    about = (
        f"`{data['name']}`, {DRAWN.get(data['binarization'], 'not binarized')}: {data['train']:,} images to train on, "
        f"{data['test']:,} test images. Nats per datum; log p(x) by {samples} samples, mean and standard error over seeds. "
        f"The test images alone make {spread} of standard error, common to all rows, and the samples at most {noise:.3f}."
    )
    bound = next((each["results"][0]["settings"]["bound_samples"] for each in rows if each["summary"]["bound"] is not None), 0)
    compared = any(row.get("difference") for row in rows)
    heads = ["", "log p(x)", *(["- first row"] if compared else []), "published", "ours - published"]
    heads += [*([f"L_{bound}"] if bound else []), "ELBO", "active units", "seeds", "epochs", "minutes", "MiB"]
    lines = [_line(row, sources, compared, bool(bound)) for row in rows]
    return "\n".join([about, "", *(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines])])


def _line(row: dict[str, Any], sources: Sequence[str], compared: bool, bound: bool) -> list[str]:
    summary, published, gap = row["summary"], row["published"], row.get("difference")
    error = "" if summary["log_p_seed_stderr"] is None else f" +- {summary['log_p_seed_stderr']:.2f}"
    told = difference = "-"
    if published:
        told = f"{published['log_p']:.2f}"
        told += "" if published["error"] is None else f" +- {published['error']:.2f}"
        told += f" ({published['active']})" if published["active"] else ""
        told += f" [{sources.index(published['source']) + 1}]"
        difference = f"{summary['log_p'] - published['log_p']:+.2f}"
    return [
        row["label"],
        f"{summary['log_p']:.2f}{error}",
        *([f"{gap['mean']:+.2f} +- {gap['stderr']:.2f} (p = {gap['p']:.2g})" if gap else "-"] if compared else []),
        told,
        difference,
        *(["-" if summary["bound"] is None else f"{summary['bound']:.2f}"] if bound else []),
        f"{summary['elbo']:.2f}",
        "+".join(f"{number:.3g}" for _, number in sorted(summary["active_units"].items())),
        str(len(summary["seeds"])),
        (f"{summary['epochs_before']:.0f} + " if summary["epochs_before"] else "") + f"{summary['epochs']:.0f}",
        f"{summary['minutes']:.1f}",
        "-" if summary["peak_mib"] is None else str(summary["peak_mib"]),
    ]


def _provenance(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Dates, machine and versions, and the commands under them."""
    notes: dict[str, dict[str, list[str]]] = {}
    for result in (result for row in rows for result in row["results"]):
        on = result["machine"]
        versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items() if name != "threads")
        gpu = f", {on['gpu']}" if "gpu" in on else ""
        threads = f"threads: {result['versions']['threads']}"
        several = f", {result['processes']} processes" if result["processes"] > 1 else ""
        where = f"{on['processor']}, {on['cores']} cores, {on['memory_gib']} GiB{gpu}; {threads}{several}; {versions}"
        note = notes.setdefault(where, {"dates": [], "commands": []})
        note["dates"].append(result["date"])
        note["commands"].append(f"\n  - `{result['command']}`")
    found = []
    for where, note in notes.items():
        dates = " to ".join(sorted({min(note["dates"]), max(note["dates"])}))
        found.append(f"{dates} on {where}:{''.join(dict.fromkeys(note['commands']))}")
    return found


# ------------------------------------------------------------------------------------------------ README
def block(content: dict[str, Any], figures: Sequence[str] = ()) -> str:
    """A table between its markers."""
    name = f"{content['table']} {content['budget']}"
    return "\n\n".join([f"<!-- table: {name} -->", render(content), *(f"![]({path})" for path in figures), "<!-- end -->"])


def write_block(path: Path, content: dict[str, Any], figures: Sequence[str] = ()) -> None:
    """Put a table where its markers are in a file, or at its end."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    marker = f"<!-- table: {content['table']} {content['budget']} -->"
    new = block(content, figures)
    if marker in text:
        text, count = re.subn(f"{re.escape(marker)}.*?<!-- end -->", lambda _: new, text, flags=re.DOTALL)
        if count != 1:
            raise OptionError(f"{path}: expected the marker {marker} once, with <!-- end --> after it; found {count}.")
    else:
        text = f"{text.rstrip()}\n\n{new}\n".lstrip()
    path.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------------ figures
def points(content: dict[str, Any]) -> Figure:
    """log p(x) of each cell with two standard errors over seeds, beside the published figure."""
    rows = [row for row in content["rows"] if row["summary"]]
    figure = Figure(figsize=(7.0, 1.2 + 0.28 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        summary, published = row["summary"], row["published"]
        error = 2 * (summary["log_p_seed_stderr"] or 0.0)
        label = {"label": "ours, two standard errors over seeds"} if place == 0 else {}
        axes.errorbar(summary["log_p"], place, xerr=error, fmt="o", color=COLORS[0], ms=4, capsize=2, **label)
        if published:
            axes.plot(published["log_p"], place, "|", color=COLORS[1], ms=11, mew=2)
    axes.plot([], [], "|", color=COLORS[1], ms=11, mew=2, label="published")
    axes.set(xlabel="log p(x) (nats per datum)", yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5))
    names = {row["results"][0]["data"]["name"] for row in rows}
    axes.set_yticklabels([_named(row, len(names) > 1) for row in rows], fontsize=8)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _named(row: dict[str, Any], with_data: bool) -> str:
    return row["label"] + (f" ({row['results'][0]['data']['name']})" if with_data else "")


def curves(content: dict[str, Any]) -> Figure:
    """The training bound of each epoch, and the validation bound dashed, of each row's first seed.

    There is a panel for each data set and binarization; a row that goes on from another begins at that one's last epoch.
    """
    groups = _by_data([row for row in content["rows"] if row["results"] and row["results"][0].get("curve")])
    figure = Figure(figsize=(7.0, 1.0 + 3.6 * max(1, len(groups))), layout="constrained")
    panels = figure.subplots(max(1, len(groups)), squeeze=False)[:, 0]
    for axes, (data, rows) in zip(panels, groups.items(), strict=False):
        best, epochs, dashed = [], [], False
        for color, row in zip(cycle(COLORS), rows, strict=False):
            curve, before = row["results"][0]["curve"], (row["results"][0].get("before") or {"epochs": 0})["epochs"]
            for part, line in (("train", "-"), ("valid", "--")):
                drawn = [
                    (before + epoch, value)
                    for epoch, value in zip(curve["epoch"], curve[part], strict=True)
                    if value is not None
                ]
                if drawn:
                    name = {"label": row["label"]} if part == "train" else {}
                    axes.plot(*zip(*drawn, strict=True), line, color=color, lw=1.2, **name)
                    best += [value for _, value in drawn[len(drawn) // 2 :]]
                    epochs += [epoch for epoch, _ in drawn]
                    dashed = dashed or part == "valid"
        axes.set_ylim(min(best) - 1, max(best) + 1)
        axes.set_title(", ".join(data), fontsize=9)
        axes.legend(frameon=False, fontsize=6)
        axes.set(xlabel="epoch", ylabel=f"bound (nats per datum{'; validation dashed' if dashed else ''})")
        axes.set_xscale("log" if max(epochs) >= 10 * min(epochs) else "linear")
    return figure
