"""What do the autoencoders reconstruct from 30 numbers, and does denoising, or beta, help log p(x)?

Reconstruction of grey MNIST from d = 30: squared error an image and a pixel, cross-entropy in nats an
image, each with its standard error over the test images, and the principal angles of linear-ae to PCA; beside them the
figures of Hinton and Salakhutdinov (Science, 2006, caption of Fig. 2B), whose 13.87 of PCA is what scikit-learn's gives here.
log p(x) of VAEs on binary-mnist, 784-200-200-50, by importance sampling with its standard error over the test images; the
differences from the plain VAE are paired over images. Lines of each pair's model and guide, without
docstrings, comments, imports and blanks. Adam 1e-3, annealed by a cosine, batch 100.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import math
import statistics
import textwrap
from collections.abc import Sequence
from typing import Any

import torch
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from pyrovae.evaluation.reconstruction import ReconstructionError
from pyrovae.evidence.evidence import mean_and_error

__all__ = ["ENTRY", "names"]

GREY = {"likelihood": "bernoulli-grey"}
NOISE = "corrupt:process=masking,rate=0.25"
SPECKLE = "corrupt:process=salt-and-pepper,rate={}"
# name of the cell: recipe, its options beside latent_dim, transform of the data
RECONSTRUCTION: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "linear-ae": ("linear-ae", {}, None),
    "logistic-pca": ("logistic-pca", {}, None),
    "ae": ("ae", {"hidden": [500, 200], **GREY}, None),
    "deep-ae": ("deep-ae", {}, None),
    "sparse-ae, L1": ("sparse-ae", {"strength": 0.1, **GREY}, None),
    "sparse-ae, KL to rate": ("sparse-ae", {"penalty": "kl-to-rate", "rate": 0.2, **GREY}, None),
    "dae, masking": ("dae", {"hidden": [500, 200], **GREY}, NOISE),
    "cae, encoder": ("cae", {}, None),
    "cae, decoder": ("cae", {"of": "decoder", "hidden": [500, 200], "weight": 0.01, "num_probes": 1}, None),
    "vae": ("vae", {"hidden": [500, 200], **GREY}, None),
}
DENSITY: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "vae": ("vae", {}, None),
    "vae, mixture of 5": ("vae", {"posterior": "mixture"}, None),
    "dvae, speckle 0.05": ("dvae", {}, SPECKLE.format(0.05)),
    "dvae, speckle 0.1": ("dvae", {}, SPECKLE.format(0.1)),
    "dvae, masking 0.25": ("dvae", {}, NOISE),
    "beta-vae, beta 0.5": ("beta-vae", {"beta": 0.5}, None),
    "beta-vae, beta 4": ("beta-vae", {"beta": 4.0}, None),
    "beta-vae, capacity 25": ("beta-vae", {"capacity": 25.0, "gamma": 10.0}, None),
    "ae, relaxed to 0.3": ("ae", {"relax": 0.3}, None),
}
PUBLISHED = {"deep-ae": 3.00, "logistic-pca": 8.01, "pca": 13.87}


def train(recipe: str, options: dict[str, Any], data: pv.data.Data, seed: int, epochs: int) -> pv.Run:
    """A trained pair of a recipe."""
    torch.manual_seed(seed)
    pair = pv.pairs.get(recipe).build(data.spec, **options)
    schedule = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": epochs}}
    objective = "meanfield" if recipe == "vae" else None  # the KL analytic, as in its rivals
    return finished(pv.fit(pair, data, objective, epochs=epochs, seed=seed, validate=False, progress=False, **schedule))


def cell(kind: str, name: str, seed: int, given: argparse.Namespace, plain: dict[str, Any] | None) -> dict[str, Any]:
    """Train and measure one pair with one seed; ``plain`` is the VAE's row, with which log p(x) is compared."""
    recipe, options, transform = {"reconstruction": RECONSTRUCTION, "log p": DENSITY}[kind][name]
    source = given.grey if kind == "reconstruction" else given.binary
    grey = {"binarization": "none"} if kind == "reconstruction" else {}
    data = pv.data.load(source, transforms=[transform] if transform else [], **grey)
    test = data.test.subset(slice(0, given.test))
    run = train(recipe, {"latent_dim": 30 if grey else 50, **options}, data, seed, given.epochs)
    seconds = round(sum(row["seconds"] for row in run.records), 1)
    if kind == "reconstruction":
        angles = {"degrees_from_pca": degrees_from_pca(run.guide, data)} if name == "linear-ae" else {}
        return {"seconds": seconds, **pv.reconstruction_error(run, test).to_json(), **angles}
    evidence = pv.log_evidence(run, test, num_samples=given.samples, seed=seed)
    found = {"seconds": seconds, **evidence.to_json(), "elbo": float(evidence.elbo.mean())}
    if name == "vae":
        return found | {"values": [round(value, 2) for value in evidence.value.tolist()]}
    more = (None, None) if plain is None else mean_and_error(evidence.value - torch.tensor(plain["values"]))
    return found | dict(zip(("more_than_vae", "more_than_vae_stderr"), more, strict=True))


def fitted_pca(data: pv.data.Data) -> PCA:
    """scikit-learn's PCA with 30 components."""
    return PCA(30, svd_solver="covariance_eigh").fit(data.train["x"].flatten(1).double().numpy())


def degrees_from_pca(guide: Any, data: pv.data.Data) -> list[float]:
    """Principal angles between the linear encoder's subspace and that of PCA, the largest first."""
    angles = subspace_angles(guide.encoder.weight.detach().double().T.numpy(), fitted_pca(data).components_.T)
    return [round(math.degrees(angle), 3) for angle in angles]


def pca(given: argparse.Namespace) -> dict[str, Any]:
    """PCA, by the same formulas."""
    data = pv.data.load(given.grey, binarization="none")
    fitted, test = fitted_pca(data), data.test.subset(slice(0, given.test))["x"].flatten(1).double()
    again = torch.from_numpy(fitted.inverse_transform(fitted.transform(test.numpy())))
    return ReconstructionError((test - again).square().sum(1), None, test.shape[1]).to_json()


def lines(program: object) -> int:
    """Lines of a program's class that hold code; of a guide around another, those of both."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(type(program))))
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    own = len(ast.unparse(tree).replace("\n\n", "\n").splitlines())
    inner = getattr(program, "guide", None)
    return own + (0 if inner is None else lines(inner))


def lengths() -> str:
    """Markdown: the model and the guide of each pair, and their lines."""
    found = []
    for recipe, options, transform in {str(c): c for c in [*RECONSTRUCTION.values(), *DENSITY.values()]}.values():
        data = pv.data.load("digits", transforms=[transform] if transform else [])
        pair = pv.pairs.get(recipe).build(data.spec, **{k: v for k, v in options.items() if k != "likelihood"})
        names = type(pair.model).__name__, type(pair.guide).__name__
        found.append((recipe, *names, lines(pair.model) + lines(pair.guide)))
    return markdown.table(["pair", "model", "guide", "lines"], list(dict.fromkeys(found)))


def reconstructions(rows: Sequence[Row]) -> str:
    """Markdown: errors of each pair, and the published ones."""
    found = []
    for row in sorted(rows, key=lambda row: row["squared_error"]):
        entropy = "" if "cross_entropy" not in row else f"{row['cross_entropy']:.2f} +- {row['cross_entropy_stderr']:.2f}"
        published = f"{PUBLISHED[row['name']]:.2f}" if row["data"] == "mnist" and row["name"] in PUBLISHED else ""
        error = f"{row['squared_error']:.2f} +- {row['squared_error_stderr']:.2f}"
        found.append([row["name"], row["epochs"] or "", error, f"{row['squared_error_per_value']:.5f}", entropy, published])
    heads = ["pair, d = 30", "epochs", "squared error an image", "a pixel", "cross-entropy (nats)", "published squared error"]
    angles = [row["degrees_from_pca"] for row in rows if "degrees_from_pca" in row]
    told = [
        f"\nPrincipal angles of linear-ae to PCA, degrees: largest {max(a)}, median {statistics.median(a)}." for a in angles
    ]
    return "\n".join([markdown.table(heads, found), *told])


def densities(rows: Sequence[Row]) -> str:
    """Markdown: log p(x) of each pair, and its difference from the VAE's over the same images."""
    found = []
    for row in rows:
        more = row.get("more_than_vae")
        gain = "" if more is None else f"{more:+.2f} +- {row['more_than_vae_stderr']:.2f}"
        error = row["mean_stderr"] if row["mean_stderr"] is not None else math.nan
        log_p, tails = f"{row['mean']:.2f} +- {error:.2f}", f"{row['heavy_tails']} of {row['num_data']}"
        found.append([row["name"], row["epochs"], row["seed"], f"{row['elbo']:.2f}", log_p, gain, tails])
    return markdown.table(["pair", "epochs", "seed", "ELBO", "log p(x)", "more than the VAE", "k-hat > 0.7"], found)


def names(kind: str) -> list[str]:
    """The cells of a table."""
    return ["pca", *RECONSTRUCTION] if kind == "reconstruction" else list(DENSITY)


def run(job: Job) -> None:
    """Each kind, seed and cell."""
    given = job.options
    for kind, seed, name in [(k, seed, name) for k in given.kinds for seed in given.seeds for name in names(k)]:
        if given.names and name not in given.names:
            continue
        data = given.grey if kind == "reconstruction" else given.binary
        if name == "pca":
            key, make = {"seed": 0, "epochs": 0}, functools.partial(pca, given)
        else:
            key = {"seed": seed, "epochs": given.epochs}
            like = {"kind": kind, "name": "vae", "data": data, **key}
            plain = next((row for row in job.records.rows if like.items() <= row.items()), None)
            make = functools.partial(cell, kind, name, seed, given, plain)
        job.records.cell({"kind": kind, "name": name, "data": data, **key}, make)
    job.say(f"\n{lengths()}\n")


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Of each kind."""
    found = {}
    for kind, table in (("reconstruction", reconstructions), ("log p", densities)):
        if chosen := [row for row in rows if row["kind"] == kind]:
            found[f"autoencoders {kind}"] = table(chosen)
    return found


KINDS = ["reconstruction", "log p"]
ENTRY = Entry(
    name="autoencoders",
    shows="What autoencoders reconstruct from 30 numbers, and whether denoising or beta help log p(x).",
    budgets={
        "smoke": Spend("8 seconds", {"epochs": 1, "samples": 5, "test": 50, "grey": "digits", "binary": "digits"}),
        "cpu": Spend("20 cells of 1 to 5 minutes on one core", {}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "epochs": Option("of training", 50),
        "test": Option("how many test images, the first", 10_000),
        "samples": Option("of log p(x) an image", 1000),
        "kinds": Option("of table", KINDS, str, KINDS),
        "names": Option("of cells; all by default", []),
        "grey": Option("data of the reconstructions, without binarization", "mnist"),
        "binary": Option("data of log p(x)", "binary-mnist"),
    },
    silent=("values",),
)
