"""How wrong and how noisy is each gradient of discrete latents? Three bits, beside the gradient by enumeration.

A categorical VAE of 3 bits and 6 pixels with random parameters, a batch of 8. Each estimator gives the gradient of the guide's
parameters many times, one draw each; what it learns beside the pair (baselines, control variates) is trained first, the pair
standing still. Bias is the length of (mean - exact) over that of the exact gradient, z the largest deviation of a mean in its
standard errors, and the deviation that of all parameters together, over that of the plain score function.

Beside them a sigmoid belief network of two layers of 3 bits: the score function with a baseline for each layer and without.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from pyrovae.objectives.objective import Given, Objective, as_updates, commit

__all__ = ["ENTRY"]

ESTIMATORS = {
    "score": "nvil:baseline=none",
    "score, baselines": "nvil",
    "rebar": "rebar",
    "relax": "relax",
    "arm": "arm",
    "straight-through": "elbo:estimator=straight-through",
    "gumbel-straight-through, T = 0.5": "elbo:estimator=gumbel-straight-through",
    "gumbel-kl, T = 0.5": "gumbel-kl",
    "concrete, T = 0.5": "elbo:estimator=concrete",
    "enumerate": "elbo:estimator=enumerate",
}
TWO_LAYERS = {
    "two layers: score": "nvil:baseline=none",
    "two layers: score, averages": "nvil:baseline=average,normalize=false",
    "two layers: score, baselines": "nvil:normalize=false",
    "two layers: score, baselines, normalized": "nvil",
    "two layers: straight-through": "elbo:estimator=straight-through",
}


def made(seed: int, layers: int = 1) -> tuple[pv.Pair, Tensor]:
    """The pair, and a batch."""
    torch.manual_seed(seed)
    spec = pv.data.DataSpec("toy", (6,), "binary")
    if layers > 1:
        pair = pv.pairs.sbn(spec, latent_dim=3, num_layers=layers)
    else:
        pair = pv.pairs.categorical_vae(spec, num_variables=3, num_classes=2, hidden=[8])
    with torch.no_grad():
        for parameter in [*pair.model.parameters(), *pair.guide.parameters()]:
            parameter.copy_(0.7 * torch.randn_like(parameter))
    return pair, torch.bernoulli(torch.full((8, 6), 0.5))


def flat(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The gradient as one vector."""
    return torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, list(parameters), retain_graph=True)])


def prepare(objective: Objective, given: Given, steps: int) -> None:
    """Make and train what the objective learns beside the pair."""
    if objective.lacks_networks:
        with torch.no_grad():
            objective.build(objective.trace(given))
    networks = objective.networks
    own = [] if networks is None else list(networks.parameters())
    if networks is None:
        return
    adam = torch.optim.Adam(own, lr=0.01) if own else None
    for _ in range(steps):
        updates = objective.updates(given)
        loss = as_updates(next(updates))[-1].loss  # the pair's own, or the control variate's
        if adam is not None:
            adam.zero_grad()
            for parameter, grad in zip(own, torch.autograd.grad(loss, own, allow_unused=True), strict=True):
                parameter.grad = grad
            adam.step()
        try:
            next(updates)
        except StopIteration as end:
            commit(end.value or {})


def cell(name: str, seed: int, draws: int, steps: int) -> Row:
    """Bias and deviation of one estimator."""
    pair, x = made(seed, 2 if name in TWO_LAYERS else 1)
    guide = list(pair.guide.parameters())
    given = Given(pair.model, pair.guide, [{"x": x}], params={"pair": [*pair.model.parameters(), *guide]})
    exact = pv.objectives.get("elbo:estimator=enumerate")
    truth = flat(as_updates(next(exact.updates(given)))[0].loss, guide)
    objective = pv.objectives.get({**ESTIMATORS, **TWO_LAYERS}[name])
    prepare(objective, given, steps)
    torch.manual_seed(seed + 1)
    found = torch.stack([flat(as_updates(next(objective.updates(given)))[0].loss, guide) for _ in range(draws)])
    deviation = found.std(0)
    error = found.mean(0) - truth
    z = (error / (deviation / draws**0.5).clamp_min(1e-7)).abs().max()
    total = float(deviation.square().sum().sqrt())
    return {"bias": float(error.norm() / truth.norm()), "z": float(z), "deviation": total, "exact": float(truth.norm())}


def run(job: Job) -> None:
    """Each estimator and seed."""
    options = job.options
    for seed in options.seeds:
        for name in options.estimators:
            key = {"estimator": name, "draws": options.draws, "steps": options.steps, "seed": seed}
            job.records.cell(key, functools.partial(cell, name, seed, options.draws, options.steps))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """An estimator a line; of several seeds each."""
    scores = {(row["estimator"], row["seed"]): row["deviation"] for row in rows}
    lines = []
    for row in rows:
        of = ("two layers: score" if row["estimator"] in TWO_LAYERS else "score"), row["seed"]
        ratio = row["deviation"] / scores[of] if of in scores else float("nan")
        noise = row["deviation"] / row["exact"] / row["draws"] ** 0.5
        figures = [f"{100 * row['bias']:.1f}%", f"{100 * noise:.1f}%", f"{row['z']:.1f}", f"{ratio:.3f}"]
        lines.append([row["estimator"], row["seed"], *figures])
    heads = ["estimator", "seed", "bias", "of it noise", "largest z", "deviation, of the score's"]
    return {"gradients": markdown.table(heads, lines)}


ENTRY = Entry(
    name="gradients",
    shows="Bias and noise of every gradient estimator of discrete latents, on three bits by enumeration.",
    budgets={
        "smoke": Spend("3 seconds", {"draws": 3, "steps": 1, "estimators": ["score", "relax", "arm", "enumerate"]}),
        "cpu": Spend("4 minutes of one core", {}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "draws": Option("of each gradient", 3000),
        "steps": Option("for what is learned beside the pair", 500),
        "estimators": Option("which", [*ESTIMATORS, *TWO_LAYERS], str, (*ESTIMATORS, *TWO_LAYERS)),
    },
)
