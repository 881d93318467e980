"""How far off are estimates of the total correlation and the mutual information that are made in a batch?

q(z | x_n) = N(mu_n, 0.1 I) in 10 dimensions, N = 20,000, and q(z) = N(0, R) with R = I, or with five pairs of correlation 0.8:
TC = -5/2 log(1 - 0.64), I(x; z) = 1/2 log det R - 5 log 0.1, but for what a finite N leaves out. Mean over batches, and its
standard error, of the weightings of :func:`pyrovae.core.aggregate.mixture_weights`; ``uniform`` is the plain mixture of the
batch, which differs from ``minibatch`` by the constant log N. What is to be expected: they are biased by several nats, the
stratified ones least, and none of them is a figure to report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from pyrovae.core.aggregate import WEIGHTINGS, aggregate_scores, mixture_weights
from pyrovae.core.trace import trace_pair

__all__ = ["ENTRY"]

D, VARIANCE = 10, 0.1
CORRELATIONS = {"independent": 0.0, "five pairs": 0.8}


def model(x: Tensor) -> None:
    """z ~ N(0, I), x | z ~ N(z, 1)."""
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(D), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


def guide(x: Tensor) -> None:
    """q(z | x) = N(x, 0.1 I)."""
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.Normal(x, VARIANCE**0.5).to_event(1))


def covariance(correlation: float) -> Tensor:
    """R, (d, d): pairs of dimensions with one correlation."""
    return torch.block_diag(*[torch.tensor([[1.0, correlation], [correlation, 1.0]])] * (D // 2))


def exact(correlation: float) -> dict[str, float]:
    """TC and I of the Gaussian q(z)."""
    log_det = D / 2 * math.log(1 - correlation**2)
    return {"tc": -log_det / 2, "mi": log_det / 2 - D / 2 * math.log(VARIANCE)}


def estimates(means: Tensor, batch_size: int, weighting: str, num_batches: int) -> dict[str, list[float]]:
    """TC and I of each of several batches drawn without replacement."""
    found: dict[str, list[float]] = {"tc": [], "mi": []}
    for _ in range(num_batches):
        x = means[torch.randperm(len(means))[:batch_size]]
        traced = trace_pair(model, guide, {"x": x})
        split = aggregate_scores(traced, mixture_weights(batch_size, len(means), weighting, x))
        found["tc"].append(float((split.joint - split.dimensions.sum(-1)).mean()))
        found["mi"].append(float((traced.log_q["z"] - split.joint).mean()))
    return found


def run(job: Job) -> None:
    """Each correlation, batch size and weighting; the same batches for all weightings."""
    options = job.options
    for seed in options.seeds:
        for name, correlation in CORRELATIONS.items():
            torch.manual_seed(seed)
            root = torch.linalg.cholesky(covariance(correlation) - VARIANCE * torch.eye(D))
            means = torch.randn(options.num_data, D) @ root.T
            for batch_size in options.batch_sizes:
                for weighting in WEIGHTINGS:
                    torch.manual_seed(seed + 1)
                    with torch.no_grad():
                        found = estimates(means, batch_size, weighting, max(3, options.rows // batch_size))
                    key = {"aggregate": name, "batch_size": batch_size, "weighting": weighting}
                    job.records.add({**key, "num_data": options.num_data, "rows": options.rows, "seed": seed}, found)


def shown(values: Sequence[float], shift: float = 0.0) -> str:
    """Mean and standard error."""
    found = torch.tensor(values) + shift
    return f"{found.mean():.2f} ± {found.std() / len(values) ** 0.5:.2f}"


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """TC and I by each weighting, beside the exact value."""
    lines = []
    for name, correlation in CORRELATIONS.items():
        for figure, label, constants in (("tc", "TC", 1 - D), ("mi", "I(x; z)", -1)):
            for batch_size in sorted({row["batch_size"] for row in rows}):
                of = {r["weighting"]: r for r in rows if (r["aggregate"], r["batch_size"]) == (name, batch_size)}
                minibatch, log_n = of["minibatch"], math.log(of["minibatch"]["num_data"])
                cells = [
                    shown(minibatch[figure]),
                    shown(minibatch[figure], constants * log_n),
                    shown(of["stratified"][figure]),
                ]
                lines.append([f"{label}, {name}", str(batch_size), f"{exact(correlation)[figure]:.3f}", *cells])
    return {"aggregate": markdown.table(["estimate", "B", "exact", "minibatch", "uniform", "stratified"], lines)}


ENTRY = Entry(
    name="aggregate",
    shows="Estimates of total correlation and mutual information in a batch, beside their exact values.",
    budgets={
        "smoke": Spend("a second", {"num_data": 200, "batch_sizes": [16], "rows": 64}),
        "cpu": Spend("a minute of one core", {}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "num_data": Option("N", 20_000),
        "batch_sizes": Option("B", [64, 1024]),
        "rows": Option("of all batches of one estimate together, at least three batches", 20_000),
    },
)
