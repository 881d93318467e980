"""The one command line: ``python -m benchmarks list | run NAME | table NAME``, from the repository's root."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job
from benchmarks.lab.records import Records
from benchmarks.lab.runner import Interrupted
from pyrovae import plots
from pyrovae.cli.saying import say
from pyrovae.errors import OptionError, PyrovaeError

__all__ = ["RESULTS", "main", "publish", "tables"]

RESULTS = Path(__file__).parent.parent / "results"
ABOUT = """Benchmarks of pyrovae, from the repository's root.

    python -m benchmarks list
    python -m benchmarks run iwae --budget smoke
    python -m benchmarks run iwae --budget cpu --seeds 0 1 2 --threads 2 --record
    python -m benchmarks table iwae

`run` keeps its records in --out (those of smoke in a folder of their own): cells that stand there are not computed again,
interrupted ones go on. `table` computes nothing."""


def parser(entries: Mapping[str, Entry]) -> argparse.ArgumentParser:
    """The command line, each entry's part made of its declaration."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="what each shows, what it costs, when it last ran")
    table = verbs.add_parser("table", help="print what is recorded")
    table.add_argument("name", choices=entries, metavar="NAME")
    table.add_argument("--out", type=Path, default=RESULTS, help="folder of the records; by default those of the repository")
    names = verbs.add_parser("run", help="compute what is missing").add_subparsers(dest="name", required=True, metavar="NAME")
    for entry in entries.values():
        one = names.add_parser(entry.name, help=entry.shows, description=entry.shows)
        one.add_argument("--budget", choices=list(entry.budgets), default="smoke", help=costs(entry))
        one.add_argument("--threads", type=int, help="of each process; by default torch's choice")
        one.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="folder of the records")
        one.add_argument("--record", action="store_true", help=f"put them into {RESULTS.parent.name}/{RESULTS.name} too")
        one.add_argument("--quiet", action="store_true", help="no bars, no lines")
        for name, option in entry.options.items():
            option.add_to(one, name)
    return made


def costs(entry: Entry) -> str:
    """What each budget costs."""
    return "; ".join(f"{name}: {spend.cost}" for name, spend in entry.budgets.items())


def listing(entries: Mapping[str, Entry]) -> str:
    """What each entry shows, what it costs, when it last ran."""
    wide = max(map(len, entries)) + 2
    lines = []
    for name, entry in entries.items():
        last = Records(RESULTS / f"{name}.json").last
        lines += [f"{name:{wide}}{entry.shows}", f"{'':{wide}}{costs(entry)}. Last ran: {last}.", ""]
    return "\n".join(lines).rstrip()


def tables(entry: Entry, records: Records) -> str:
    """All tables of what is recorded."""
    rows = records.rows
    return "\n\n".join(entry.tables(rows).values()) if rows else f"{entry.name}: nothing is recorded in {records.path}."


def publish(entry: Entry, records: Records) -> None:
    """Write the figures and the page's tables beside the records."""
    folder, rows = records.path.parent, records.rows
    if not rows:
        return
    figures = entry.figures(rows)
    if figures:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        plots.save(figure, folder / "figures" / f"{name}.png")
    for name, text in entry.tables(rows).items():
        stem = name.replace(" ", "-")
        shown = [figure for figure in figures if figure in (stem, f"{stem}-curves")]
        markdown.write_block(folder / f"{entry.name}.md", name, markdown.block(name, text, shown))


def command(entry: Entry, given: argparse.Namespace) -> str:
    """The command that gives these results, without what does not decide them; of paths the last part."""
    words = ["python", "-m", "benchmarks", "run", entry.name, "--budget", given.budget]
    for name in (*entry.options, "threads"):
        value = getattr(given, name)
        if value is None:
            continue
        values = [] if value is True else value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')}", *(each.name if isinstance(each, Path) else str(each) for each in values)]
    return shlex.join(words)


@contextlib.contextmanager
def threads(number: int | None) -> Iterator[None]:
    """So many threads, if it is said how many, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(entry: Entry, given: argparse.Namespace) -> None:
    """Compute, print, write, record."""
    if given.record and given.budget == "smoke":
        raise OptionError("--record keeps results, and smoke has none worth keeping: choose another --budget.")
    out = given.out / "smoke" if given.budget == "smoke" else given.out
    records = Records(out / f"{entry.name}.json", entry.silent, given.quiet)
    job = Job(entry.settle(given), records, command(entry, given), out)
    with threads(job.options.threads):
        entry.run(job)
    if not job.leads:
        return
    publish(entry, records)
    print(tables(entry, records))
    if given.record:
        kept = Records(RESULTS / f"{entry.name}.json")
        for item in records.items:
            kept.put(item)
        kept.items = entry.arrange(kept.items)
        kept.write()
        publish(entry, kept)


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked; the exit code."""
    from benchmarks.entries import ENTRIES

    given = parser(ENTRIES).parse_args(arguments)
    try:
        if given.verb == "list":
            say(listing(ENTRIES))
        elif given.verb == "table":
            say(tables(ENTRIES[given.name], Records(given.out / f"{given.name}.json")))
        else:
            run(ENTRIES[given.name], given)
    except Interrupted as stopped:
        print(f"{stopped}; the same command continues it.", file=sys.stderr)
        return 130
    except BrokenProcessPool:
        print("error: a process of --jobs was killed; the same command continues.", file=sys.stderr)
        return 1
    except PyrovaeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
