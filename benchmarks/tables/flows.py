"""Normalizing flows as posteriors of the MNIST VAE."""

from __future__ import annotations

from typing import Any

from benchmarks.cells import Budget, Cell, Published, Table, cosine
from benchmarks.tables import iwae

__all__ = ["FLOWS"]

TRANSFORMS: dict[str, dict[str, Any]] = {
    "planar": {"num_flows": 16},
    "radial": {"num_flows": 16},
    "iaf": {"num_flows": 4},
    "sylvester": {"num_flows": 4},
    "spline": {"num_flows": 2},
}
TINY: dict[str, dict[str, Any]] = {
    "iaf": {"flow_hidden": [8], "context_dim": 4},
    "sylvester": {"num_reflections": 2},
    "spline": {"flow_hidden": [8], "context_dim": 4, "bins": 4},
}
# Seconds an epoch of 500 steps of 100 images, two threads: the diagonal one measured, the others guesses.
EPOCH_S = {"diagonal": 0.75, "planar": 2.5, "radial": 2.5, "iaf": 4.0, "sylvester": 4.0, "spline": 8.0}


def cells(budget: Budget) -> list[Cell]:
    """The diagonal Gaussian, then each flow, all by one schedule: the epochs that the slowest has time for."""
    fit = iwae.schedule(budget, 1, 1, "fixed")
    if budget.name == "cpu":
        epochs = budget.epochs(max(EPOCH_S.values()))
        fit = {**fit, **cosine(epochs), "patience": epochs}
    elif budget.name == "paper":
        fit = {**fit, "patience": fit["epochs"]}
    data, samples = budget.data(iwae.DATA["fixed"], "fixed"), budget.samples()
    shared = {"protocol": "ELBO", "data": data, "objective": "elbo:num_particles=1", "fit": fit, "samples": samples}
    tiny = budget.choose(smoke=iwae.TINY[1], paper={})
    published = budget.published(Published(-88.71, iwae.SOURCE["fixed"], active="19"))
    rows = [Cell(label="diagonal Gaussian", pair="vae", options=tiny, published=published, **shared)]
    for flow, options in TRANSFORMS.items():
        options = {"flow": flow, **options, **tiny, **budget.choose(smoke={**TINY.get(flow, {}), "num_flows": 2}, paper={})}
        rows.append(Cell(label=f"{flow}, {options['num_flows']} transforms", pair="flow-vae", options=options, **shared))
    return rows


FLOWS = Table(
    "flows",
    "Normalizing flows as posteriors",
    "The IWAE's network of one layer, 784-200-200-[50], whose q(z | x) is bent by flows that the encoder sets for each image; "
    "the ELBO, one schedule for all. The diagonal Gaussian's published figure is the IWAE paper's. For planar flows the "
    "literature has the bound -85.1 with 80 transforms and another network (Rezende and Mohamed 2015, as restated in the "
    "tables of Rolfe 2017 and Chen et al. 2017).",
    cells,
)
