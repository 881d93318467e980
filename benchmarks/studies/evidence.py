"""How far from log p(x) is each estimator, and at what cost, on a trained VAE?

Parts: `cost`, error against passes of the decoder for importance sampling, AIS from prior and guide, and SMC, with a figure;
`table1`, the finding of Wu et al. 2017, Table 1; `bdmc`, the gap at 100, 1,000 and 10,000 distributions; `gaps`, Cremer et
al. 2018's, on train and test data. A cell that was interrupted continues at its last batch. A pass counts once with its
gradient or without; seconds are given beside. The VAE is that of --run, or 784-200-200-50 on binary-mnist, trained first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from pyrovae import plots
from pyrovae.evidence import bdmc, gaps
from pyrovae.evidence.evidence import mean_and_error

__all__ = ["ENTRY", "trained"]

PARTS = ["cost", "table1", "bdmc", "gaps"]
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
    "pair": {"latent_dim": 3, "hidden": [20]},
    "epochs": 2,
    "cost": {"data": 5, "reference": 20, "samples": [10, 100], "steps": [5]},
    "table1": {"data": 5, "samples": [100], "prior": [10], "guide": [5]},
    "bdmc": {"data": 5, "prior": [10], "guide": [5]},
    "gaps": {"data": 5, "steps": 10, "chains": 4, "samples": 50},
}
CHAINS = 16
Cell = tuple[Row, Callable[[Path], Row]]


def chains(start: str, steps: int, method: str = "ais") -> Row:
    """Options of annealing."""
    return {"method": method, "start": start, "num_chains": CHAINS, "num_distributions": steps, "num_leapfrog": 3}


def subset(split: pv.data.Split, num: int) -> pv.data.Split:
    """A seeded random part."""
    return split.subset(torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:num])


# ------------------------------------------------------------------------------------------------ cells
class Parts:
    """The cells of each part: keys, and what makes a row at a path for its checkpoint."""

    def __init__(self, run: pv.Run, data: pv.data.Data, progress: bool) -> None:
        self.run, self.data, self.progress = run, data, progress

    def estimate(self, num: int, checkpoint: Path, **options: Any) -> Row:
        """log p(x) of a seeded random subset of the test images."""
        split, shared = subset(self.data.test, num), {"checkpoint": checkpoint, "progress": self.progress}
        evidence = pv.log_evidence(self.run, split, **shared, **options)
        keep = ("mean", "mean_stderr", "mean_mc_stderr", "median_ess", "max_khat", "heavy_tails", "mean_acceptance")
        told = evidence.to_json()
        return {**{name: told[name] for name in keep}, "passes": told["passes_per_datum"], "values": evidence.value.tolist()}

    def cost(self, size: Row, found: Callable[[], Sequence[Row]]) -> Iterator[Cell]:
        """Each estimator's values beside those of one long AIS run, the reference, which comes first."""
        long, num = chains("guide", size["reference"]), size["data"]
        key = {"part": "cost", "name": "reference", "cost": size["reference"]}
        yield key, lambda path: self.estimate(num, path, **long)
        truth = torch.tensor(next(row["values"] for row in found() if key.items() <= row.items()))
        options = {("importance", k): {"num_samples": k} for k in size["samples"]}
        for name, *how in (("AIS from prior", "prior"), ("AIS from guide", "guide"), ("SMC", "guide", "smc")):
            options |= {(name, t): chains(how[0], t, *how[1:]) for t in size["steps"]}

        def make(path: Path, chosen: Row) -> Row:
            row = self.estimate(num, path, seed=1, **chosen)
            gap = torch.tensor(row.pop("values")) - truth
            return {**row, "below": float(-gap.mean()), "rmse": float(gap.square().mean().sqrt())}

        for (name, cost), chosen in options.items():
            yield {"part": "cost", "name": name, "cost": cost}, lambda path, chosen=chosen: make(path, chosen)

    def table1(self, size: Row) -> Iterator[Cell]:
        """Wu et al. 2017: the IWAE bound is about a nat below AIS, which needs fewer distributions from the encoder."""
        options = {f"IWAE bound, {k} samples": {"num_samples": k} for k in size["samples"]}
        options |= {f"AIS, {t} distributions": chains("prior", t) for t in size["prior"]}
        options |= {f"AIS from guide, {t} distributions": chains("guide", t) for t in size["guide"]}
        for name, chosen in options.items():
            yield {"part": "table1", "name": name}, lambda path, o=chosen: self.estimate(size["data"], path, **o)

    def bdmc(self, size: Row) -> Iterator[Cell]:
        """The gap on data that the model made."""

        def make(path: Path, start: str, steps: int) -> Row:
            options = {"num_chains": CHAINS, "num_distributions": steps, "num_leapfrog": 3, "start": start}
            shared = {"checkpoint": path, "progress": self.progress}
            told = bdmc(self.run, size["data"], **shared, **options).to_json()
            keep = ("mean", "upper", "gap", "gap_stderr", "mean_acceptance", "reverse_acceptance")
            return {**{name: told[name] for name in keep}, "passes": told["passes_per_datum"]}

        for start in ("prior", "guide"):
            for t in size[start]:
                yield {"part": "bdmc", "start": start, "steps": t}, lambda path, s=start, t=t: make(path, s, t)

    def gaps(self, size: Row) -> Iterator[Cell]:
        """Approximation and amortization gap on train and test images."""
        ais = {"num_chains": size["chains"], "num_distributions": size["steps"], "num_leapfrog": 3}
        options = {"num_samples": size["samples"], "ais": ais, "progress": self.progress}

        def make(split: str) -> Row:
            found = gaps(self.run, subset(getattr(self.data, split), size["data"]), **options)
            return {"best": found.best.method, **{name: list(both) for name, both in found.rows().items()}}

        for split in ("train", "test"):
            yield {"part": "gaps", "split": split}, lambda _path, s=split: make(s)


def trained(folder: Path, sizes: Row, data: pv.data.Data, options: argparse.Namespace) -> pv.Run:
    """The run of a folder, trained there first if there is none."""
    if folder.exists():
        return pv.load(folder, data=data)
    torch.manual_seed(0)
    objective = "elbo" if options.particles == 1 else {"name": "iwae", "num_particles": options.particles}
    pair, quiet = pv.pairs.vae(data.spec, **sizes["pair"]), {"progress": not options.quiet, "tensorboard": False}
    return finished(pv.fit(pair, data, objective, epochs=options.epochs or sizes["epochs"], seed=0, out=folder, **quiet))


def run(job: Job) -> None:
    """Each part's cells."""
    options, sizes = job.options, SMOKE if job.smoke else FULL
    data = pv.data.load(sizes["data"])
    parts = Parts(trained(options.run or job.out / "evidence-run", sizes, data, options), data, not options.quiet)
    for part in options.parts:
        size = {**sizes[part], **({"data": options.num_data} if options.num_data else {})}
        for key, make in getattr(parts, part)(size, *([lambda: job.records.rows] if part == "cost" else [])):
            name = "-".join(str(value).replace(" ", "_") for value in key.values())
            checkpoint = job.out / f"evidence-{name}.safetensors"

            def timed(make: Callable[[Path], Row] = make, checkpoint: Path = checkpoint) -> Row:
                start = time.perf_counter()
                return {**make(checkpoint), "seconds": round(time.perf_counter() - start, 2)}

            job.records.cell(key, timed)
            checkpoint.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------ tables
def _of(part: str, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["part"] == part]


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    def text(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    return markdown.table(columns, [[text(row.get(name, "")) for name in columns] for row in rows])


def _costs(rows: Sequence[Row]) -> list[Row]:
    return [row for row in _of("cost", rows) if row["name"] != "reference"]


def _beside_best(rows: Sequence[Row]) -> list[Row]:
    """How far each is below the longest AIS from the prior; paired, so that the spread over images cancels."""
    priors = [row for row in rows if row["name"].startswith("AIS, ")]
    if not priors:
        return list(rows)
    best = torch.tensor(max(priors, key=lambda row: row["passes"])["values"])
    shown = []
    for row in rows:
        below, error = mean_and_error(best - torch.tensor(row["values"]))
        shown.append({**row, "below AIS": f"{below:.3f} +- {error:.3f}"})
    return shown


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """One for each part."""
    found = {}
    if costs := _costs(rows):
        columns = ["name", "cost", "passes", "seconds", "mean", "below", "rmse", "median_ess", "mean_acceptance"]
        found["evidence cost"] = _table(costs, columns)
    if firsts := _of("table1", rows):
        columns = ["name", "mean", "mean_stderr", "below AIS", "passes", "seconds"]
        found["evidence table1"] = _table(_beside_best(firsts), columns)
    if both := _of("bdmc", rows):
        found["evidence bdmc"] = _table(both, ["start", "steps", "mean", "upper", "gap", "gap_stderr", "passes", "seconds"])
    if splits := _of("gaps", rows):
        names = [name for name in splits[0] if isinstance(splits[0][name], list)]
        shown = [{"split": row["split"], **{n: f"{row[n][0]:.2f} +- {row[n][1]:.2f}" for n in names}} for row in splits]
        found["evidence gaps"] = _table(shown, ["split", *names])
    return found


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """Error against passes; bars of the gaps."""
    found = {}
    if costs := _costs(rows):
        found["evidence-cost"] = Figure(figsize=(5.6, 3.8), layout="constrained")
        axes = found["evidence-cost"].subplots()
        for family in dict.fromkeys(row["name"] for row in costs):
            cells = [row for row in costs if row["name"] == family]
            axes.plot([row["passes"] for row in cells], [row["rmse"] for row in cells], "o-", ms=4, label=family)
        axes.set(xscale="log", yscale="log", xlabel="passes of the decoder for each image")
        axes.set_ylabel("error of log p(x) (nats, RMS)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    if splits := _of("gaps", rows):
        names = ("approximation gap", "amortization gap")
        found["evidence-gaps"] = plots.gap_bars({row["split"]: {n: tuple(row[n]) for n in names} for row in splits})
    return found


ENTRY = Entry(
    name="evidence",
    shows="How far from log p(x) importance sampling, AIS, SMC and BDMC are, at what cost; the gaps of inference.",
    budgets={"smoke": Spend("5 seconds"), "cpu": Spend("2 hours", {"threads": 2})},
    run=run,
    tables=tables,
    figures=draw,
    options={
        "run": Option("folder of a trained run; by default one is trained beside the records", None, Path),
        "epochs": Option("of the training, in place of the size's own", 0),
        "particles": Option("of the training: above 1 the IWAE's objective", 1),
        "parts": Option("which", PARTS, str, PARTS),
        "num_data": Option("images in each part, in place of the part's own", 0),
    },
    silent=("values",),
)
