"""What do the autoencoders reconstruct from 30 numbers, and does denoising, or beta, help log p(x)?

    python benchmarks/autoencoders.py --out results.jsonl            # MNIST
    python benchmarks/autoencoders.py --smoke --out smoke.jsonl      # digits, an epoch each: does everything run?

Three Markdown tables. Reconstruction of grey MNIST from d = 30: squared error an image and a pixel, cross-entropy in nats an
image, each with its standard error over the test images, and the principal angles of linear-ae to PCA; beside them the
figures of Hinton and Salakhutdinov (Science, 2006, caption of Fig. 2B), whose 13.87 of PCA is what scikit-learn's gives here.
log p(x) of VAEs on binary-mnist, 784-200-200-50, by importance sampling with its standard error over the test images; the
differences from the plain VAE are paired over images. Lines of each pair's model and guide, without
docstrings, comments, imports and blanks.

Every cell is a line of JSON in --out; cells that stand there are not run again. Adam 1e-3, annealed by a cosine, batch 100.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import math
import statistics
import textwrap
from typing import Any

import torch
from records import Records, finished
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

import pyrovae as pv
from pyrovae.evaluation.reconstruction import ReconstructionError
from pyrovae.evidence.evidence import mean_and_error

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


def train(recipe: str, options: dict[str, Any], data: pv.data.Data, seed: int, given: argparse.Namespace) -> pv.Run:
    """A trained pair of a recipe."""
    torch.manual_seed(seed)
    pair = pv.pairs.get(recipe).build(data.spec, **options)
    schedule = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": given.epochs}}
    objective = "meanfield" if recipe == "vae" else None  # the KL analytic, as in its rivals
    return finished(pv.fit(pair, data, objective, epochs=given.epochs, seed=seed, validate=False, progress=False, **schedule))


def cell(kind: str, name: str, seed: int, given: argparse.Namespace, plain: dict[str, Any] | None) -> dict[str, Any]:
    """Train and measure one pair with one seed; ``plain`` is the VAE's row, with which log p(x) is compared."""
    recipe, options, transform = {"reconstruction": RECONSTRUCTION, "log p": DENSITY}[kind][name]
    source = given.grey if kind == "reconstruction" else given.binary
    grey = {"binarization": "none"} if kind == "reconstruction" else {}
    data = pv.data.load(source, transforms=[transform] if transform else [], **grey)
    test = data.test.subset(slice(0, given.test))
    run = train(recipe, {"latent_dim": 30 if grey else 50, **options}, data, seed, given)
    seconds = round(sum(row["seconds"] for row in run.records), 1)
    if kind == "reconstruction":
        angles = {"degrees_from_pca": degrees_from_pca(run.guide, data)} if name == "linear-ae" else {}
        return {"seconds": seconds, **pv.reconstruction_error(run.model, run.guide, test).to_json(), **angles}
    evidence = pv.log_evidence(run.model, run.guide, test, num_samples=given.samples, seed=seed)
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
    rows = ["| pair | model | guide | lines |", "|---|---|---|---|"]
    for recipe, options, transform in {str(c): c for c in [*RECONSTRUCTION.values(), *DENSITY.values()]}.values():
        data = pv.data.load("digits", transforms=[transform] if transform else [])
        pair = pv.pairs.get(recipe).build(data.spec, **{k: v for k, v in options.items() if k != "likelihood"})
        names = type(pair.model).__name__, type(pair.guide).__name__
        row = f"| {recipe} | {names[0]} | {names[1]} | {lines(pair.model) + lines(pair.guide)} |"
        rows += [row] if row not in rows else []
    return "\n".join(rows)


def reconstructions(rows: list[dict[str, Any]]) -> str:
    """Markdown: errors of each pair, and the published ones."""
    table = [
        "| pair, d = 30 | epochs | squared error an image | a pixel | cross-entropy (nats) | published squared error |",
        "|" + "---|" * 6,
    ]
    for row in sorted(rows, key=lambda row: row["squared_error"]):
        entropy = "" if "cross_entropy" not in row else f"{row['cross_entropy']:.2f} +- {row['cross_entropy_stderr']:.2f}"
        published = f"{PUBLISHED[row['name']]:.2f}" if row["data"] == "mnist" and row["name"] in PUBLISHED else ""
        table.append(
            f"| {row['name']} | {row['epochs'] or ''} | {row['squared_error']:.2f} +- {row['squared_error_stderr']:.2f} | "
            f"{row['squared_error_per_value']:.5f} | {entropy} | {published} |"
        )
    angles = [row["degrees_from_pca"] for row in rows if "degrees_from_pca" in row]
    table += [
        f"\nPrincipal angles of linear-ae to PCA, degrees: largest {max(a)}, median {statistics.median(a)}." for a in angles
    ]
    return "\n".join(table)


def densities(rows: list[dict[str, Any]]) -> str:
    """Markdown: log p(x) of each pair, and its difference from the VAE's over the same images."""
    table = ["| pair | epochs | seed | ELBO | log p(x) | more than the VAE | k-hat > 0.7 |", "|" + "---|" * 7]
    for row in rows:
        more = row.get("more_than_vae")
        gain = "" if more is None else f"{more:+.2f} +- {row['more_than_vae_stderr']:.2f}"
        error = row["mean_stderr"] if row["mean_stderr"] is not None else math.nan
        table.append(
            f"| {row['name']} | {row['epochs']} | {row['seed']} | {row['elbo']:.2f} | {row['mean']:.2f} +- {error:.2f} | "
            f"{gain} | {row['heavy_tails']} of {row['num_data']} |"
        )
    return "\n".join(table)


def main(args: list[str] | None = None) -> None:
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--test", type=int, default=10_000, help="how many test images, the first")
    parser.add_argument("--samples", type=int, default=1000, help="of log p(x) an image")
    parser.add_argument("--kinds", nargs="+", default=["reconstruction", "log p"], choices=["reconstruction", "log p"])
    parser.add_argument("--names", nargs="+", help="of cells; all by default")
    parser.add_argument("--grey", default="mnist", help="data of the reconstructions, without binarization")
    parser.add_argument("--binary", default="binary-mnist", help="data of log p(x)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="autoencoders.jsonl")
    parser.add_argument("--smoke", action="store_true", help="digits, one epoch, few samples")
    given = parser.parse_args(args)
    if given.smoke:
        given.epochs, given.samples, given.test, given.grey, given.binary = 1, 5, 50, "digits", "digits"
    torch.set_num_threads(given.threads)
    records = Records(given.out, silent=("values",))
    for kind, seed, name in [(k, seed, name) for k in given.kinds for seed in given.seeds for name in names(k)]:
        if given.names and name not in given.names:
            continue
        data = given.grey if kind == "reconstruction" else given.binary
        if name == "pca":
            key, make = {"seed": 0, "epochs": 0}, functools.partial(pca, given)
        else:
            key = {"seed": seed, "epochs": given.epochs}
            like = {"kind": kind, "name": "vae", "data": data, **key}
            plain = next((row for row in records.rows if like.items() <= row.items()), None)
            make = functools.partial(cell, kind, name, seed, given, plain)
        records.cell({"kind": kind, "name": name, "data": data, **key}, make)
    for kind, table in (("reconstruction", reconstructions), ("log p", densities)):
        if chosen := [row for row in records.rows if row["kind"] == kind]:
            print(f"\n{table(chosen)}")
    print(f"\n{lengths()}")


def names(kind: str) -> list[str]:
    """The cells of a table."""
    return ["pca", *RECONSTRUCTION] if kind == "reconstruction" else list(DENSITY)


if __name__ == "__main__":
    main()
