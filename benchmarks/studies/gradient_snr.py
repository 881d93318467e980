"""Does the guide's gradient drown as K grows? Signal-to-noise ratio of gradient estimators, after Rainforth et al. (2018).

Their model (Section 4.1 and Figure 1): z ~ N(mu, I), x | z ~ N(z, I) in 20 dimensions, q(z | x) = N(A x + b, 2/3 I), with
parameters a small random step away from the optimum. The squared signal-to-noise ratio of a parameter is the squared mean
over the variance of its gradient over many draws with one minibatch, less 1/draws, which noise alone would give; the root
of its mean over parameters is recorded and drawn against K, for the guide (b) and the model (mu).
Expected slopes in log K: IWAE guide -1/2, IWAE model +1/2, DReG guide +1/2.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from pyrovae import objectives

__all__ = ["ENTRY"]

D = 20


class Model(nn.Module):
    """z ~ N(mu, I), x | z ~ N(z, I)."""

    def __init__(self, mu: Tensor) -> None:
        super().__init__()
        self.mu = nn.Parameter(mu)

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(self.mu, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


class Guide(nn.Module):
    """q(z | x) = N(x / 2 + b, 2/3 I), the optimum at b = mu / 2."""

    def __init__(self, b: Tensor) -> None:
        super().__init__()
        self.b = nn.Parameter(b)

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(x / 2 + self.b, (2 / 3) ** 0.5).to_event(1))


def snr(objective: objectives.Objective, pair: tuple[Model, Guide], x: Tensor, draws: int) -> dict[str, float]:
    """sqrt of the mean over parameters of (E g)^2 / var g, for the guide and the model."""
    rows = []
    for _ in range(draws):
        loss = objective.differentiable_loss(*pair, x=x)
        rows.append(torch.autograd.grad(loss, [pair[1].b, pair[0].mu]))
    found = {}
    for i, part in enumerate(("guide", "model")):
        grads = torch.stack([row[i] for row in rows])
        squared = grads.mean(0).square() / grads.var(0) - 1 / draws
        found[part] = float(squared.mean().clamp_min(0).sqrt())
    return found


def slope(particles: Sequence[int], ratios: Sequence[float]) -> float:
    """Of log ratio in log K, by least squares; a ratio of zero is lost in the noise of so many draws."""
    seen = [i for i, ratio in enumerate(ratios) if ratio > 0]
    log_k, y = torch.tensor(particles)[seen].log(), torch.tensor(ratios)[seen].log()
    centred = log_k - log_k.mean()
    return float((centred * (y - y.mean())).sum() / centred.square().sum())


def run(job: Job) -> None:
    """Measure, for each seed, all estimators on one minibatch."""
    options = job.options
    for seed in options.seeds:
        torch.manual_seed(seed)
        mu = torch.randn(D)
        x = mu + 2**0.5 * torch.randn(256, D)
        pair = Model(mu + 0.01 * torch.randn(D)), Guide(mu / 2 + 0.01 * torch.randn(D))
        for name in ("iwae", "dreg"):
            ratios: dict[str, list[float]] = {"guide": [], "model": []}
            for k in options.particles:
                for part, ratio in snr(objectives.get(name, num_particles=k), pair, x, options.draws).items():
                    ratios[part].append(ratio)
            for part, found in ratios.items():
                key = {"objective": name, "part": part, "particles": options.particles, "draws": options.draws, "seed": seed}
                job.records.add(key, {"snr": found, "slope": slope(options.particles, found)})


EXPECTED = {("iwae", "guide"): "-1/2", ("iwae", "model"): "+1/2", ("dreg", "guide"): "+1/2", ("dreg", "model"): "+1/2"}


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """The ratio for each K, and the slopes; of the numbers of particles that were measured first."""
    particles = rows[0]["particles"]
    lines = [
        [
            f"`{row['objective']}`, {row['part']}",
            *(f"{ratio:.3f}" for ratio in row["snr"]),
            f"{row['slope']:+.2f}",
            EXPECTED[row["objective"], row["part"]],
        ]
        for row in rows
        if row["particles"] == particles
    ]
    heads = ["signal-to-noise ratio", f"K = {particles[0]}", *map(str, particles[1:]), "slope in log K", "expected"]
    return {"gradient-snr": markdown.table(heads, lines)}


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """The ratios against K."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        name = f"{row['objective']}, {row['part']} (slope {row['slope']:+.2f})"
        axes.loglog(row["particles"], row["snr"], marker="o", label=name)
    axes.set(xlabel="K", ylabel="signal-to-noise ratio of the gradient")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return {"gradient-snr": figure}


ENTRY = Entry(
    name="gradient-snr",
    shows="Signal-to-noise ratio of the gradients of IWAE and DReG as K grows (Rainforth et al. 2018, Figure 1).",
    budgets={
        "smoke": Spend("a second", {"draws": 20, "particles": [1, 8]}),
        "cpu": Spend("3 minutes of one core", {}),
    },
    run=run,
    tables=tables,
    figures=draw,
    options={
        "seeds": SEEDS,
        "draws": Option("of the gradient", 3000),
        "particles": Option("numbers of them", [1, 4, 16, 64]),
    },
)
