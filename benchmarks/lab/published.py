"""A published table: its records as rows, with the summary over seeds, and the rows as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from scipy.stats import ttest_ind

from benchmarks.lab import markdown
from benchmarks.lab.cells import Table

__all__ = ["by_data", "render", "rows_of"]

DRAWN = {"dynamic": "binarized anew each time an image is used", "fixed": "binarized once", "threshold": "thresholded"}


# ------------------------------------------------------------------------------------------------ rows
def rows_of(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each cell, with the results of its seeds, their summary, and their difference from the first of their data."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in found:
        groups.setdefault(result["fingerprint"], []).append(result)
    rows, firsts = [], {}
    for fingerprint, group in groups.items():
        results = sorted(group, key=lambda result: result["seed"])
        first = firsts.setdefault(str(results[0]["settings"]["data"]), results)
        rows.append(
            {
                "label": results[0]["label"],
                "fingerprint": fingerprint,
                "published": results[0]["published"],
                "summary": summarize(results),
                "results": results,
                "difference": None if first is results else difference(results, first),
            }
        )
    return rows


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
def render(table: Table, budget: str, rows: Sequence[dict[str, Any]], missing: int = 0) -> str:
    """The rows of one budget as Markdown: a table for each data set and binarization, which are never mixed.

    Args:
        missing: how many cells of the table are not finished.
    """
    sources = list(dict.fromkeys(row["published"]["source"] for row in rows if row["published"]))
    parts = [f"**{table.title}** (budget {budget}). {table.about}"]
    parts += [_group(group, sources) for group in by_data(rows).values()]
    notes = [f"[{number}] {source}." for number, source in enumerate(sources, 1)]
    if missing:
        notes.append(f"Cells that are not finished: {missing} of {len(rows) + missing}.")
    killed = [
        f"{row['label']} ({row['results'][0]['data']['name']})" for row in rows if max(r["starts"] for r in row["results"]) > 1
    ]
    if killed:
        notes.append(f"Stopped in the middle and continued from the last checkpoint: {'; '.join(killed)}.")
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in [*notes, *_provenance(rows)])])


def by_data(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows by data set and binarization."""
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
    return f"{about}\n\n{markdown.table(heads, lines, spaced=True)}"


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
        command = result["command"].replace("python -m benchmarks run ", "python -m benchmarks ")  # as before there was a door
        note["commands"].append(f"\n  - `{command.replace('python -m benchmarks ', 'python -m benchmarks run ')}`")
    found = []
    for where, note in notes.items():
        dates = " to ".join(sorted({min(note["dates"]), max(note["dates"])}))
        found.append(f"{dates} on {where}:{''.join(dict.fromkeys(note['commands']))}")
    return found
