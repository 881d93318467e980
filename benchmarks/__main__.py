"""Compute a published table beside this package's figures: ``python -m benchmarks NAME``, from the repository's root.

    python -m benchmarks iwae --budget smoke
    python -m benchmarks iwae --budget cpu --seeds 0 1 2 --threads 2
    python -m benchmarks iwae --budget cpu --minutes 120 --cells "1 layer, IWAE, k = 5 binary-mnist" --threads 2
    python -m benchmarks iwae --pair my_pair.py:build --cells "my_pair*"
    python -m benchmarks iwae --budget cpu --table --write        # all seeds that are finished

Each cell and seed has a folder in --out. Finished ones are used again, interrupted ones (killed, too) go on where they stood:
give the same command again. Then the table is printed, and written to --out with its JSON and figures.
"""

from __future__ import annotations

import argparse
import fnmatch
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import joblib

from benchmarks import report
from benchmarks.cells import BUDGETS, Budget, Cell, joined, waves
from benchmarks.runner import How, Interrupted, run_cell
from benchmarks.tables import TABLES
from pyrovae import plots
from pyrovae.cli.user_file import load_builder
from pyrovae.errors import OptionError, PyrovaeError
from pyrovae.files import read_json, write_json
from pyrovae.train.fitting import resolve_device

README = Path(__file__).with_name("README.md")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("name", choices=TABLES, help="the table")
    made.add_argument("--budget", choices=BUDGETS, default="smoke", help="seconds a cell, 30 minutes, or the paper's protocol")
    made.add_argument("--minutes", type=float, default=30.0, help="of a cell of --budget cpu")
    made.add_argument("--seeds", type=int, nargs="+", default=[0])
    made.add_argument("--cells", default="*", metavar="PATTERN", help="only those whose label, a space and data set match")
    made.add_argument("--pair", action="append", default=[], metavar="FILE.py:FUNCTION", help="a pair of your own to join in")
    made.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    made.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    made.add_argument("--devices", type=int, default=1, help="processes that share each cell's batches (extra: distributed)")
    made.add_argument("--jobs", type=int, default=1, help="processes that each compute cells of their own")
    made.add_argument("--threads", type=int, help="of each process; by default torch's choice")
    made.add_argument("--quiet", action="store_true", help="no bars")
    made.add_argument("--table", action="store_true", help="compute nothing, print what is there")
    made.add_argument(
        "--write", type=Path, nargs="?", const=README, help="put it into the README, its JSON and figures beside"
    )
    return made


def command(options: argparse.Namespace) -> str:
    """The command that gives these results, without what does not decide them."""
    words = ["python", "-m", "benchmarks", options.name, "--budget", options.budget]
    words += ["--minutes", f"{options.minutes:g}"] if options.budget == "cpu" and options.minutes != 30 else []
    words += ["--seeds", *map(str, options.seeds)]
    words += ["--cells", options.cells] if options.cells != "*" else []
    words += [word for pair in options.pair for word in ("--pair", Path(pair).name)]
    for name, usual in (("device", "cpu"), ("devices", 1), ("jobs", 1), ("threads", None)):
        words += [f"--{name}", str(value)] if (value := getattr(options, name)) != usual else []
    return shlex.join(words)


def launch(devices: int, device: str) -> Any:
    """A launched Lightning Fabric of so many processes, which run this command each; None for one."""
    if devices == 1:
        return None
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise OptionError("--devices needs Lightning Fabric: pip install -e '.[distributed]'.") from error
    patient = DDPStrategy(timeout=timedelta(hours=6))  # while process 0 evaluates
    fabric = Fabric(accelerator=device.partition(":")[0], devices=devices, strategy=patient)
    fabric.launch()
    return fabric


def compute(cells: list[Cell], options: argparse.Namespace, how: How) -> None:
    """Run what is not finished."""
    if options.jobs == 1:
        for seed in options.seeds:
            for cell in cells:
                run_cell(cell, seed, how)
        return
    for wave in waves(cells):
        tasks = (joblib.delayed(run_cell)(cell, seed, how) for seed in options.seeds for cell in wave)
        joblib.Parallel(n_jobs=options.jobs)(tasks)


def publish(cells: list[Cell], budget: Budget, options: argparse.Namespace) -> str:
    """Write the table of what is finished, with --write also of what the JSON beside the README has; its Markdown."""
    stem, folders, recorded = f"{options.name}-{budget.label}", [(options.out, options.out)], None
    if options.write:
        folders.append((options.write.parent / "results", options.write.parent / "figures"))
        kept = folders[-1][0] / f"{stem}.json"
        recorded = read_json(kept) if kept.exists() else None
    content = report.document(TABLES[options.name], budget, cells, options.out, recorded)
    finished = any(row["results"] for row in content["rows"])
    for results, figures in folders:
        for folder in (results, figures):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(results / f"{stem}.json", content)
        if finished:
            plots.save(report.points(content), figures / f"{stem}.png")
            plots.save(report.curves(content), figures / f"{stem}-curves.png")
    if options.write:
        shown = [f"figures/{stem}.png", f"figures/{stem}-curves.png"] if finished else []
        report.write_block(options.write, content, shown)
    text = report.render(content)
    (options.out / f"{stem}.md").write_text(text + "\n", encoding="utf-8")
    return text


def main(arguments: list[str] | None = None) -> int:
    """Compute, print, write; the exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.devices > 1 and options.jobs > 1:
            raise OptionError("--devices shares a cell among processes and --jobs gives each its own: choose one of them.")
        for pair in options.pair:
            load_builder(pair)
        budget = Budget(options.budget, options.minutes)
        cells = joined(TABLES[options.name].cells(budget), options.pair)
        chosen = [cell for cell in cells if fnmatch.fnmatch(f"{cell.label} {cell.data['name']}", options.cells)]
        if not chosen:
            raise OptionError(f"no cell of {options.name} matches {options.cells!r}.")
        device = resolve_device(options.device)
        fabric = None
        if not options.table:
            fabric = launch(options.devices, device)
            how = How(options.out, command(options), device, options.threads, not options.quiet, fabric)
            compute(chosen, options, how)
        if fabric is None or fabric.global_rank == 0:
            print(publish(cells if options.write else chosen, budget, options))
    except Interrupted as stopped:
        print(f"{stopped}; the same command continues it.", file=sys.stderr)
        return 130
    except PyrovaeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
