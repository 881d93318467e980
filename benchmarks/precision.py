"""Does training or evaluating in bf16 change the test bound?

    python benchmarks/precision.py --out precision.jsonl

784-200-200-50 tanh on binary-mnist, batch 100, Adam 1e-3, compiled: trained in float32 and with bf16 networks (densities in
float32) from the same seeds, each evaluated in float32 and in bf16 on the same images by the same draws. Each cell is a line
of JSON in --out; cells that stand there are not run again. Prints a Markdown table: log p(x) of float32 training and what
bf16 changes, paired over seeds.
"""

from __future__ import annotations

import argparse
import functools
import statistics

import torch
from records import Records, finished

import pyrovae as pv

CELLS = {"elbo": 30, "iwae:num_particles=50": 5}  # epochs


def cell(
    objective: str, precision: str, seed: int, epochs: int, options: argparse.Namespace, data: pv.data.Data
) -> dict[str, object]:
    """Train in one precision, evaluate in both."""
    torch.manual_seed(seed)
    pair = pv.pairs.vae(data.spec)
    shared = {"validate": False, "progress": False, "compile": True}
    run = finished(pv.fit(pair, data, objective, epochs=epochs, seed=seed, precision=precision, **shared))
    rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[: options.test]
    found = {
        f"log_p_{how}": pv.log_evidence(
            pair.model, pair.guide, data.test.subset(rows), num_samples=options.samples, precision=how
        ).mean
        for how in ("float32", "bf16")
    }
    pace = statistics.median(row["seconds"] for row in run.records)
    return {**found, "seconds_an_epoch": round(pace, 2), "test": len(rows)}


def table(rows: list[dict]) -> str:
    """Markdown; what bf16 adds to log p(x), mean and standard error over seeds."""
    lines = [
        "| objective | log p(x), float32 | trained in bf16 | evaluated in bf16 | s an epoch, float32 and bf16 |",
        "|" + "---|" * 5,
    ]
    for name in dict.fromkeys(row["objective"] for row in rows):
        both = {}
        for precision in ("float32", "bf16"):
            cells = [row for row in rows if (row["objective"], row["precision"]) == (name, precision)]
            both[precision] = sorted(cells, key=lambda row: row["seed"])
        base = [row["log_p_float32"] for row in both["float32"]]
        trained = [b["log_p_float32"] - a["log_p_float32"] for a, b in zip(both["float32"], both["bf16"], strict=True)]
        evaluated = [row["log_p_bf16"] - row["log_p_float32"] for row in rows if row["objective"] == name]
        pace = " and ".join(f"{statistics.median(r['seconds_an_epoch'] for r in both[p]):.2f}" for p in both)
        shown = [f"{statistics.mean(v):+.3f} +- {statistics.stdev(v) / len(v) ** 0.5:.3f}" for v in (trained, evaluated)]
        lines.append(f"| `{name}` | {statistics.mean(base):.2f} | {shown[0]} | {shown[1]} | {pace} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=0, help="in place of each objective's own")
    parser.add_argument("--data", default="binary-mnist")
    parser.add_argument("--test", type=int, default=2500, help="how many test images, a seeded random subset")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="precision.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, records = pv.data.load(options.data), Records(options.out)
    for objective in CELLS:
        for seed in options.seeds:
            for precision in ("float32", "bf16"):
                epochs = options.epochs or CELLS[objective]
                key = {"objective": objective, "precision": precision, "seed": seed, "epochs": epochs}
                records.cell(key, functools.partial(cell, objective, precision, seed, epochs, options, data))
    print(table(records.rows))


if __name__ == "__main__":
    main()
