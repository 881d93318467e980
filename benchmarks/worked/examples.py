"""The worked examples as entries: scripts in jupytext's percent format, run with the settings of a budget."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.lab.entry import Entry, Job, Spend
from benchmarks.lab.records import Row
from benchmarks.worked import example

__all__ = ["ENTRIES", "SCRIPTS", "run"]

FOLDER = Path(__file__).parent
# script: what it shows, processor time in seconds
SCRIPTS = {
    "ring": ("A worked example: how an encoder makes p(x) computable, on a ring.", 49),
    "linear_gaussian": ("A worked example: every term of the ELBO in closed form, and sigma -> 0.", 34),
    "bump": ("A worked example: a bump moved by one hidden number, autoencoder against VAE.", 79),
    "bounds": ("A worked example: ELBO, L_k, log p(x), and reconstructions by resampling.", 131),
    "pca_family": ("A worked example: PCA, logistic PCA, deep autoencoder, VAE and t-SNE side by side.", 200),
    "pca_directions": ("A worked example: VAEs pursue PCA directions (by accident).", 121),
    "frey_faces": ("A worked example: Frey faces on a manifold of two dimensions.", 122),
    "impossibility": ("A worked example: codes that p(x) cannot tell apart, and why a VAE's guide can.", 121),
    "iw_gan": ("A worked example: GAN and VAE as sleep and wake, by enumeration and on a ring of eight.", 190),
    "rate_distortion": ("A worked example: the weight of the KL, and the rate-distortion curve.", 144),
}


def run(script: str, job: Job) -> None:
    """Run a script from its top; its numbers are recorded, its figures lie in figures/worked."""
    with example.settings(job.smoke, job.out / "figures" / "worked", job.options.quiet):
        found = runpy.run_path(str(FOLDER / f"{script}.py"))["example"].found
    job.records.add({"budget": job.options.budget}, found)


def tables(script: str, rows: Sequence[Row]) -> dict[str, str]:
    """The numbers by name."""
    lines = [f"- {name}: {value}" for row in rows for name, value in row.items() if name != "budget"]
    return {script.replace("_", "-"): "\n".join(lines)}


ENTRIES = [
    Entry(
        name=script.replace("_", "-"),
        shows=shows,
        budgets={"smoke": Spend("2 to 5 seconds"), "cpu": Spend(f"{seconds} seconds of one core")},
        run=partial(run, script),
        tables=partial(tables, script),
    )
    for script, (shows, seconds) in SCRIPTS.items()
]
