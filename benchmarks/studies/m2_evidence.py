"""log p(x) of an M2 on digits with two latent dimensions against quadrature over z and the sum over y."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.lab.entry import Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.tables import classes

__all__ = ["ENTRY"]


@torch.no_grad()
def quadrature(pair: pv.Pair, x: Tensor) -> Tensor:
    """log p(x), (N,): Gauss-Hermite with 60 points in each of two dimensions, summed over the ten classes."""
    points, weights = (torch.tensor(v) for v in np.polynomial.hermite_e.hermegauss(60))
    z = torch.cartesian_prod(points, points)
    log_weights = torch.cartesian_prod(*[(weights / math.sqrt(2 * math.pi)).log()] * 2).sum(1)
    joint = []
    for c in range(10):
        logits = pair.model.decoder(z.float(), torch.eye(10)[c].expand(len(z), 10)).squeeze(-3).double()
        scores = dist.Bernoulli(logits=logits).to_event(2).log_prob(x.double().unsqueeze(1))
        joint.append((scores + log_weights).logsumexp(1) - math.log(10))
    return torch.stack(joint).logsumexp(0)


def cell(epochs: int, samples: int) -> dict[str, Any]:
    """Both on 50 test images."""
    data = pv.data.load("digits", transforms=["few-labels:num_labels=100"])
    torch.manual_seed(0)
    pair = pv.pairs.m2(data.spec, latent_dim=2, hidden=[50])
    pv.fit(pair, data, epochs=epochs, lr=3e-3, validate=False, progress=False)
    x = data.test["x"][:50]
    truth = quadrature(pair, x)
    found = pv.log_evidence(pair, x, num_samples=samples)
    largest = float(((found.value - truth) / found.stderr).abs().max())
    figures = {"exact": float(truth.mean()), "estimate": found.mean, "mc_stderr": found.mean_mc_stderr}
    return {**figures, "largest_gap_in_errors": largest}


def run(job: Job) -> None:
    """The one cell."""
    options = job.options
    key = {"method": "m2 against quadrature", "samples": options.samples}
    job.records.cell(key, functools.partial(cell, options.epochs, options.samples))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Both."""
    return {"m2-evidence": classes.over_seeds(rows, ["exact", "estimate", "mc_stderr", "largest_gap_in_errors"])}


ENTRY = Entry(
    name="m2-evidence",
    shows="log p(x) of an M2 by importance sampling against quadrature over z and the sum over y.",
    budgets={"smoke": Spend("3 seconds", {"epochs": 2, "samples": 50}), "cpu": Spend("10 seconds")},
    run=run,
    tables=tables,
    options={"epochs": Option("of training", 30), "samples": Option("of log p(x)", 1000)},
)
