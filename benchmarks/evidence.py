"""How far from log p(x) is each estimator, and at what cost, on a trained VAE?

    python benchmarks/evidence.py --out evidence.jsonl                      # trains 784-200-200-50 on binary-mnist first
    python benchmarks/evidence.py --run runs/vae --parts bdmc gaps --out evidence.jsonl
    python benchmarks/evidence.py --smoke --out smoke.jsonl                 # digits, a minute

Parts: `cost`, error against passes of the decoder for importance sampling, AIS from prior and guide, and SMC, with a figure;
`table1`, the finding of Wu et al. 2017, Table 1; `bdmc`, the gap at 100, 1,000 and 10,000 distributions; `gaps`, Cremer et
al. 2018's, on train and test data. Each cell is a line of JSON in --out; cells that stand there are not run again, and one
that was interrupted continues at its last batch. Prints Markdown tables. A pass counts once with its gradient or without;
seconds are given beside.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure

import pyrovae as pv
from pyrovae import plots
from pyrovae.evidence import bdmc, gaps
from pyrovae.evidence.evidence import mean_and_error

Row = dict[str, object]

FULL = {
    "data": "binary-mnist",
    "pair": {},
    "epochs": 100,
    "cost": {
        "data": 100,
        "reference": 5000,
        "samples": [10, 100, 1000, 10_000, 100_000],
        "steps": [30, 100, 300, 1000],
    },
    "table1": {"data": 100, "samples": [10_000, 100_000], "prior": [1000, 10_000], "guide": [100, 1000]},
    "bdmc": {"data": 100, "prior": [100, 1000, 10_000], "guide": [100, 1000]},
    "gaps": {"data": 1000, "steps": 500, "chains": 16, "samples": 5000},
}
SMOKE = {
    "data": "digits",
    "pair": {"latent_dim": 10, "hidden": [50]},
    "epochs": 20,
    "cost": {"data": 10, "reference": 300, "samples": [10, 100, 1000], "steps": [10, 30, 100]},
    "table1": {"data": 10, "samples": [1000], "prior": [100], "guide": [30]},
    "bdmc": {"data": 20, "prior": [10, 30, 100], "guide": [10, 30]},
    "gaps": {"data": 20, "steps": 30, "chains": 8, "samples": 500},
}
CHAINS = 16


class Table:
    """Cells by key in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def cell(self, key: Row, make: Callable[[Path], Row]) -> Row:
        """The row of the key, made and written unless it stands; ``make`` gets a path for a checkpoint."""
        for row in self.rows:
            if all(row.get(name) == value for name, value in key.items()):
                return row
        name = "-".join(str(value).replace(" ", "_") for value in key.values())
        checkpoint = self.path.with_name(f"{self.path.name}.{name}.safetensors")
        start = time.perf_counter()
        row = {**key, **make(checkpoint)}
        row["seconds"] = round(time.perf_counter() - start, 2)
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        checkpoint.unlink(missing_ok=True)
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        return row


def markdown(rows: list[Row], columns: list[str]) -> str:
    def text(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(text(row.get(name, "")) for name in columns) + " |" for row in rows])


def estimate(run: pv.Run, data: pv.data.Data, num: int, **options: object) -> Callable[[Path], tuple[Row, pv.Evidence]]:
    """log p(x) of a seeded random subset of the test images."""

    def make(checkpoint: Path) -> tuple[Row, pv.Evidence]:
        rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[:num]
        split = data.test.subset(rows)
        evidence = pv.log_evidence(run.model, run.guide, split, checkpoint=checkpoint, progress=True, **options)
        keep = ("mean", "mean_stderr", "mean_mc_stderr", "median_ess", "max_khat", "heavy_tails", "mean_acceptance")
        return {**{k: evidence.to_json()[k] for k in keep}, "passes": evidence.to_json()["passes_per_datum"]}, evidence

    return make


def annealed(start: str, steps: int, leapfrog: int, method: str = "ais") -> Row:
    chains = {"num_chains": CHAINS, "num_distributions": steps, "num_leapfrog": leapfrog}
    return {"method": method, "start": start, **chains}


def cost(table: Table, run: pv.Run, data: pv.data.Data, size: Row, figure: Path) -> str:
    """Error against passes: each estimator's values beside those of one long AIS run."""
    num = size["data"]
    long = annealed("guide", size["reference"], 3)

    def reference(checkpoint: Path) -> Row:
        row, evidence = estimate(run, data, num, **long)(checkpoint)
        return {**row, "values": evidence.value.tolist()}

    truth = torch.tensor(table.cell({"part": "cost", "name": "reference", "cost": size["reference"]}, reference)["values"])
    options = {f"importance {k}": {"num_samples": k} for k in size["samples"]}
    for name, start, method in (
        ("AIS from prior", "prior", "ais"),
        ("AIS from guide", "guide", "ais"),
        ("SMC", "guide", "smc"),
    ):
        options |= {f"{name} {t}": annealed(start, t, 3, method) for t in size["steps"]}
    rows = []
    for name, chosen in options.items():

        def make(checkpoint: Path, chosen: Row = chosen) -> Row:
            row, evidence = estimate(run, data, num, seed=1, **chosen)(checkpoint)
            difference = evidence.value - truth
            return {**row, "below": float(-difference.mean()), "rmse": float(difference.square().mean().sqrt())}

        family, _, at = name.rpartition(" ")
        rows.append(table.cell({"part": "cost", "name": family, "cost": int(at)}, make))
    picture = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = picture.subplots()
    for family in dict.fromkeys(row["name"] for row in rows):
        cells = [row for row in rows if row["name"] == family]
        axes.plot([row["passes"] for row in cells], [row["rmse"] for row in cells], "o-", ms=4, label=family)
    axes.set(xscale="log", yscale="log", xlabel="passes of the decoder for each image", ylabel="error of log p(x) (nats, RMS)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    plots.save(picture, figure)
    return markdown(rows, ["name", "cost", "passes", "seconds", "mean", "below", "rmse", "median_ess", "mean_acceptance"])


def table1(table: Table, run: pv.Run, data: pv.data.Data, size: Row) -> str:
    """Wu et al. 2017: the IWAE bound is about a nat below AIS; from the encoder, AIS needs a tenth of the distributions."""
    options = {f"IWAE bound, {k} samples": {"num_samples": k} for k in size["samples"]}
    options |= {f"AIS, {t} distributions": annealed("prior", t, 3) for t in size["prior"]}
    options |= {f"AIS from guide, {t} distributions": annealed("guide", t, 3) for t in size["guide"]}

    def make(checkpoint: Path, chosen: Row) -> Row:
        row, evidence = estimate(run, data, size["data"], **chosen)(checkpoint)
        return {**row, "values": evidence.value.tolist()}

    rows = [table.cell({"part": "table1", "name": n}, lambda path, o=o: make(path, o)) for n, o in options.items()]
    best = torch.tensor(next(row for row in rows if row["name"] == f"AIS, {max(size['prior'])} distributions")["values"])
    shown = []
    for row in rows:
        below, error = mean_and_error(best - torch.tensor(row["values"]))  # paired: the spread over images cancels
        shown.append({**row, "below AIS": f"{below:.3f} +- {error:.3f}"})
    return markdown(shown, ["name", "mean", "mean_stderr", "below AIS", "passes", "seconds"])


def sandwich(table: Table, run: pv.Run, size: Row) -> str:
    """The gap of BDMC on data that the model made."""

    def make(checkpoint: Path, start: str, steps: int) -> Row:
        options = {"num_chains": CHAINS, "num_distributions": steps, "num_leapfrog": 3, "start": start}
        both = bdmc(run.model, run.guide, size["data"], checkpoint=checkpoint, progress=True, **options)
        keep = ("mean", "upper", "gap", "gap_stderr", "mean_acceptance", "reverse_acceptance")
        return {**{k: both.to_json()[k] for k in keep}, "passes": both.to_json()["passes_per_datum"]}

    rows = [
        table.cell({"part": "bdmc", "start": start, "steps": t}, lambda path, start=start, t=t: make(path, start, t))
        for start in ("prior", "guide")
        for t in size[start]
    ]
    return markdown(rows, ["start", "steps", "mean", "upper", "gap", "gap_stderr", "passes", "seconds"])


def inference_gaps(table: Table, run: pv.Run, data: pv.data.Data, size: Row, figure: Path) -> str:
    """Approximation and amortization gap on train and test images."""
    ais = {"num_chains": size["chains"], "num_distributions": size["steps"], "num_leapfrog": 3}

    def make(_checkpoint: Path, split: str) -> Row:
        part = getattr(data, split)
        rows = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))[: size["data"]]
        options = {"num_samples": size["samples"], "ais": ais, "progress": True}
        found = gaps(run.model, run.guide, part.subset(rows), **options)
        return {"best": found.best.method, **{name: list(both) for name, both in found.rows().items()}}

    rows = [table.cell({"part": "gaps", "split": s}, lambda path, s=s: make(path, s)) for s in ("train", "test")]
    bars = {row["split"]: {name: tuple(row[name]) for name in ("approximation gap", "amortization gap")} for row in rows}
    plots.save(plots.gap_bars(bars), figure)
    names = [name for name in rows[0] if isinstance(rows[0][name], list)]
    shown = [{"split": row["split"], **{n: f"{row[n][0]:.2f} +- {row[n][1]:.2f}" for n in names}} for row in rows]
    return markdown(shown, ["split", *names])


def trained(options: argparse.Namespace, sizes: Row, data: pv.data.Data) -> pv.Run:
    """The run of --run, or a VAE trained here and kept beside --out."""
    folder = Path(options.run or f"{options.out}.run")
    if folder.exists():
        return pv.load(folder, data=data)
    torch.manual_seed(options.seed)
    objective = "elbo" if options.particles == 1 else {"name": "iwae", "num_particles": options.particles}
    pair = pv.pairs.vae(data.spec, **sizes["pair"])
    epochs = options.epochs or sizes["epochs"]
    return pv.fit(pair, data, objective, epochs=epochs, seed=options.seed, out=folder)


def main() -> None:
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="folder of a trained run; by default one is trained beside --out")
    parser.add_argument("--epochs", type=int, default=0, help="of the training, in place of the size's own")
    parser.add_argument("--particles", type=int, default=1, help="of the training: above 1 the IWAE's objective")
    parser.add_argument("--parts", nargs="+", default=["cost", "table1", "bdmc", "gaps"])
    parser.add_argument("--num-data", type=int, default=0, help="images in each part, in place of the part's own")
    parser.add_argument("--smoke", action="store_true", help="small data and few steps, to see that all of it works")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="evidence.jsonl")
    parser.add_argument("--figures", default=".", help="folder of evidence-cost.png and evidence-gaps.png")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sizes = SMOKE if options.smoke else FULL
    data = pv.data.load(sizes["data"])
    run, table, figures = trained(options, sizes, data), Table(Path(options.out)), Path(options.figures)
    parts = {
        "cost": lambda size: cost(table, run, data, size, figures / "evidence-cost.png"),
        "table1": lambda size: table1(table, run, data, size),
        "bdmc": lambda size: sandwich(table, run, size),
        "gaps": lambda size: inference_gaps(table, run, data, size, figures / "evidence-gaps.png"),
    }
    for part in options.parts:
        size = {**sizes[part], **({"data": options.num_data} if options.num_data else {})}
        print(f"\n{part}\n{parts[part](size)}", flush=True)


if __name__ == "__main__":
    main()
