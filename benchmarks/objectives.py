"""Which objective trains the IWAE's network best, at equal epochs and at equal time?

    python benchmarks/objectives.py --epochs 10 --seeds 0 1 --out results.jsonl
    python benchmarks/objectives.py --seconds 300 --seeds 0 1 --out results.jsonl

784-200-200-50 tanh on binary-mnist, batch 100, Adam 1e-3. ELBO and STL with one particle, the others with K = 64 (MIWAE and
PIWAE 8 x 8, CIWAE beta 0.5). Each cell is a line of JSON in --out; cells that stand there are not run again, so that an
interrupted table continues. Prints a Markdown table: test log p(x) by importance sampling, mean and standard error over seeds.
"""

from __future__ import annotations

import argparse
import functools
import statistics

import torch
from records import Records, finished

import pyrovae as pv

CELLS = {
    "elbo": {},
    "stl": {},
    "iwae": {"num_particles": 64},
    "dreg": {"num_particles": 64},
    "miwae": {"num_particles": 64, "num_groups": 8},
    "ciwae": {"num_particles": 64, "beta": 0.5},
    "piwae": {"num_particles": 64, "num_groups": 8},
}


def cell(name: str, seed: int, options: argparse.Namespace, data: pv.data.Data) -> dict[str, object]:
    """Train and evaluate one objective with one seed."""

    def run(epochs: int) -> tuple[pv.Pair, pv.Run]:
        torch.manual_seed(seed)
        pair = pv.pairs.vae(data.spec)
        shared = {"seed": seed, "validate": False, "progress": False, "compile": True}
        return pair, finished(pv.fit(pair, data, {"name": name, **CELLS[name]}, epochs=epochs, **shared))

    epochs = options.epochs
    if options.seconds:
        _, first = run(1)
        epochs = max(1, round(options.seconds / first.records[0]["seconds"]))
    pair, trained = run(epochs)
    rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[: options.test]
    evidence = pv.log_evidence(pair.model, pair.guide, data.test.subset(rows), num_samples=options.samples, seed=seed)
    seconds = [row["seconds"] for row in trained.records]
    return {
        "epochs": epochs,
        "seconds_an_epoch": round(statistics.median(seconds), 2),
        "seconds": round(sum(seconds), 1),
        "log_p": evidence.mean,
        "log_p_stderr": evidence.mean_stderr,
        "test": len(rows),
        "samples": options.samples,
        "elbo": float(evidence.elbo.mean()),
    }


def table(rows: list[dict]) -> str:
    """Markdown, a row for each objective and budget."""
    lines = ["| budget | objective | log p(x) | seeds | epochs | s an epoch |", "|---|---|---|---|---|---|"]
    for budget, name in dict.fromkeys((row["budget"], row["objective"]) for row in rows):
        cells = [row for row in rows if (row["budget"], row["objective"]) == (budget, name)]
        values = [row["log_p"] for row in cells]
        error = f" +- {statistics.stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
        pace = statistics.median(row["seconds_an_epoch"] for row in cells)
        epochs = statistics.median(row["epochs"] for row in cells)
        lines.append(f"| {budget} | {name} | {statistics.mean(values):.2f}{error} | {len(values)} | {epochs:g} | {pace:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.0, help="of training, in place of epochs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--objectives", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--data", default="binary-mnist")
    parser.add_argument("--test", type=int, default=10_000, help="how many test images, a seeded random subset")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="objectives.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, records = pv.data.load(options.data), Records(options.out)
    budget = f"{options.seconds:g} s" if options.seconds else f"{options.epochs} epochs"
    for seed in options.seeds:
        for name in options.objectives:
            key = {"budget": budget, "objective": name, "seed": seed}
            records.cell(key, functools.partial(cell, name, seed, options, data))
    print(table(records.rows))


if __name__ == "__main__":
    main()
