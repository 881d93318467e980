"""Adversarial variational Bayes, VAE/GAN and discriminative regularization, by figures in which no discriminator has a part.

points: four one-hot data, codes of two dimensions, the toy of Mescheder et al. 2017: what training reports beside log p(x) by
quadrature on a grid. log p: binary images, log p(x) by annealed importance sampling from the prior (AIS), for guides with and
without a density. pictures: grey images, whose pixels get a Gaussian scale after training (the root mean square error of
training images), and log p(x) of that by AIS from the prior; squared error an image; sharpness, mean squared difference
of neighbouring pixels over that of the data; the energy score of samples; the class of test images by five neighbours among
codes of training images. routes: the norm of the gradient that each group of VAE/GAN's parameters gets from each loss.
"""

from __future__ import annotations

import argparse
import base64
import functools
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.lab.routes import draw_routes, measured_routes, routes_table
from benchmarks.studies.defaults import Deadline
from pyrovae import models
from pyrovae.distributions.likelihoods import Gaussian
from pyrovae.objectives.wake_sleep_gan import energy_score
from pyrovae.plots import image_grid

__all__ = ["ENTRY"]

ADVERSARY = {"discriminator": {"lr": 3e-3}}
POINTS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "vae": ("vae", {}, "meanfield"),
    "avb, prior": ("avb", {"contrast": "prior", "noise_dim": 4, "discriminator_hidden": 64}, None),
    "avb, adaptive": ("avb", {"contrast": "adaptive", "noise_dim": 4, "discriminator_hidden": 64}, None),
}
LOG_P: dict[str, tuple[str, dict[str, Any], Any]] = {
    "vae": ("vae", {}, "meanfield"),
    "avb, prior": ("avb", {"contrast": "prior"}, None),
    "avb, adaptive": ("avb", {"contrast": "adaptive"}, None),
}
SIZES = {"latent_dim": 32, "channels": [32, 64], "hidden": 256}
PICTURES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "conv-vae": ("conv-vae", {"likelihood": "gaussian"}, "meanfield"),
    "vae-gan": ("vae-gan", {"margin": 0.4}, None),
    "vae-gan, discriminator first": ("vae-gan", {"discriminator": "first"}, None),
    "discriminative-vae": ("discriminative-vae", {"likelihood": "gaussian"}, None),
}
KINDS: dict[str, dict[str, tuple[str, dict[str, Any], Any]]] = {"points": POINTS, "log p": LOG_P, "pictures": PICTURES}
SHOWN, GRID = 8, 241


def train(
    chosen: tuple[str, dict[str, Any], Any], data: pv.data.Data, seed: int, given: argparse.Namespace, **how: Any
) -> pv.Run:
    """A trained pair, its stages too, which share the seconds with it."""
    recipe, options, objective = chosen
    torch.manual_seed(seed)
    pair = pv.pairs.get(recipe).build(data.spec, **options)
    share = given.seconds / (1 + len(pair.stages))
    ends = {"epochs": how.pop("epochs", 1 if given.tiny else 10**5)}
    fit = {
        "seed": seed,
        "progress": False,
        "validate": False,
        "compile": False if given.tiny else None,
        "batch_size": 100,
        **how,
    }
    for stage in pair.stages:
        pv.core.pair.set_trainable(stage, True)
        finished(pv.fit(stage, data, **ends, **fit, callbacks=[Deadline(share)]))
        pv.core.pair.set_trainable(stage, False)
    return finished(pv.fit(pair, data, objective, **ends, **fit, callbacks=[Deadline(share)]))


def points(name: str, seed: int, given: argparse.Namespace) -> Row:
    """Four points: what is reported, and log p(x) on a grid."""
    eye = torch.eye(4)
    data = pv.data.as_data((eye.repeat(500, 1), eye))
    recipe, options, objective = POINTS[name]
    small = {"latent_dim": 2, "hidden": [64, 64], "activation": "elu", "likelihood": "bernoulli", **options}
    adversary = {"optimizers": ADVERSARY} if recipe == "avb" else {}
    sizes = {"contrast": options.get("contrast"), "hidden": 64, "num_particles": 4}
    reported = pv.objectives.get(objective or {"name": "avb", **sizes})  # the one that is trained, with its network
    falls = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": given.rounds}, "epochs": given.rounds}
    momentum = {"optimizer_options": {"betas": (0.5, 0.999)}}
    run = train((recipe, small, reported), data, seed, given, **momentum, **adversary, **falls)
    model = run.pair.model
    with torch.no_grad():
        value = torch.stack(
            [reported.evaluate(model, run.pair.guide, {"x": eye}).mean() for _ in range(10 if given.tiny else 500)]
        )
        axis = torch.linspace(-7, 7, GRID, dtype=torch.float64).float()
        grid = torch.cartesian_prod(axis, axis).unsqueeze(1)
        joint = model.likelihood(model.decoder(grid)).log_prob(eye) + torch.distributions.Normal(0, 1).log_prob(grid).sum(-1)
        log_p = joint.logsumexp(0) + 2 * math.log(float(axis[1] - axis[0]))
    found = {"epochs": len(run.records), "reported": float(value.mean()), "log_p": float(log_p.mean())}
    return found | {"reported_error": float(value.std() / math.sqrt(len(value))), "bound": reported.bound}


def log_p_of(name: str, seed: int, given: argparse.Namespace) -> Row:
    """log p(x) of binary images by AIS from the prior."""
    data = pv.data.load(given.data)
    recipe, options, objective = LOG_P[name]
    small = {"latent_dim": 8, **({"hidden": [8]} if given.tiny else {"hidden": [300, 300], "activation": "elu"}), **options}
    run = train((recipe, small, objective), data, seed, given)
    annealed = ais((run.pair.model, run.pair.guide), data.test.subset(torch.arange(given.test)), given)
    last = run.records[-1]
    distances = {key: last[key] for key in ("code_distance", "code_distance_null") if key in last}
    return {"epochs": len(run.records), "reported": last["train"], "bound": run.config["bound"], **annealed, **distances}


def ais(pair: Any, data: Any, given: argparse.Namespace) -> Row:
    """log p(x) by annealing from the prior, with its errors."""
    options = {"start": "prior", "num_chains": given.chains, "num_distributions": given.distributions}
    found = pv.log_evidence(pair, data, "ais", seed=0, **options)
    return {"ais": found.mean, "ais_error": found.mean_stderr}


def pictures(name: str, data_name: str, seed: int, given: argparse.Namespace) -> Row:
    """Grey images: pixels, looks and codes."""
    data = pv.data.load(data_name, binarization="none")
    recipe, options, objective = PICTURES[name]
    sizes = {**SIZES, **({"channels": [4], "hidden": 8, "latent_dim": 3} if given.tiny else {}), **options}
    if recipe == "vae-gan":
        sizes["layer"] = len(sizes["channels"])
    run = train((recipe, sizes, objective), data, seed, given)
    model, guide, test = run.pair.model, run.pair.guide, data.test.subset(torch.arange(given.test))
    seen = data.train[torch.arange(min(1000, len(data.train)))]["x"]
    with torch.no_grad():
        left = (seen - pv.reconstruct(run, seen)).square().mean().sqrt()
        again = pv.reconstruct(run, test[:]["x"])
        drawn = model.likelihood(model.decoder(torch.randn(500, model.latent_dim))).mean
    x = test[:]["x"]
    pixels = models.VAE(model.decoder, Gaussian(tuple(x.shape[1:]), float(left)), model.latent_dim)
    found = {
        "epochs": len(run.records),
        "scale": float(left),
        "squared_error": float((x - again).square().flatten(1).sum(1).mean()),
    }
    found |= {"sharpness": sharpness(again) / sharpness(x), "sharpness_of_samples": sharpness(drawn) / sharpness(x)}
    found["energy_score"] = float(energy_score(x.flatten(1), drawn.flatten(1)).mean())
    found |= ais((pixels, guide), {"x": x[: given.annealed]}, given)
    if "y" in data.spec.keys:
        found["class_from_code"] = class_from_code(run, data, given)
    found["sheet"] = as_text(torch.cat([x[:SHOWN], again[:SHOWN], drawn[:SHOWN]]))
    return found | {"shape": list(x.shape[1:])}


def sharpness(images: Tensor) -> float:
    """The mean squared difference of neighbouring pixels, (n, H, W)."""
    across, down = images.diff(dim=-1), images.diff(dim=-2)
    return float(across.square().mean() + down.square().mean())


def class_from_code(run: pv.Run, data: pv.data.Data, given: argparse.Namespace) -> float:
    """The share of test images whose class five neighbours among codes tell."""
    codes, classes = [], []
    for split in (data.train, data.test):
        batch = split[torch.arange(min(given.neighbours, len(split)))]
        codes.append(pv.encode(run, {"x": batch["x"]})["z"].numpy())
        classes.append(batch["y"].numpy())
    return float((KNeighborsClassifier(5).fit(codes[0], classes[0]).predict(codes[1]) == classes[1]).mean())


def as_text(images: Tensor) -> str:
    """Images in [0, 1] as text."""
    values = (images.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def as_images(row: Row) -> Tensor:
    """:func:`as_text` undone, (n, H, W)."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(row["sheet"])), np.uint8).copy()
    return torch.from_numpy(values).reshape(-1, *row["shape"]) / 255


def run(job: Job) -> None:
    """Each kind, system and seed."""
    given = job.options
    for seed in given.seeds:
        for kind in (k for k in given.kinds if k != "routes"):
            for name in (n for n in KINDS[kind] if not given.names or n in given.names):
                makes: list[tuple[Any, Any]] = []
                if kind == "points":
                    makes = [("points", functools.partial(points, name, seed, given))]
                elif kind == "log p":
                    makes = [(given.data, functools.partial(log_p_of, name, seed, given))]
                else:
                    named = [given.grey, *([] if name == "discriminative-vae" else [given.faces])]
                    makes = [(data, functools.partial(pictures, name, data, seed, given)) for data in dict.fromkeys(named)]
                for data, make in makes:
                    rounds = {"rounds": given.rounds} if kind == "points" else {}
                    key = {"kind": kind, "name": name, "data": data, "seed": seed, "seconds": given.seconds, **rounds}
                    job.records.cell(key, make)
    if "routes" in given.kinds:
        job.records.cell({"kind": "routes", "data": given.grey}, functools.partial(measured_routes, given.grey, given.tiny))


def pictures_table(rows: Sequence[Row]) -> str:
    """Markdown: a trained pair of grey images a line."""
    lines = []
    for row in rows:
        told = f"{100 * row['class_from_code']:.1f}" if "class_from_code" in row else ""
        annealed = f"{row['ais']:.1f} +- {row['ais_error']:.1f}"
        looks = [f"{row[key]:.2f}" for key in ("sharpness", "sharpness_of_samples", "energy_score")]
        lines.append([row["name"], row["data"], row["epochs"], f"{row['squared_error']:.2f}", annealed, *looks, told])
    heads = ["system", "data", "epochs", "squared error", "log p(x) of pixels (AIS)", "sharpness", "of samples"]
    return markdown.table([*heads, "energy score", "class from code, %"], lines)


def points_table(rows: Sequence[Row]) -> str:
    """Markdown: what is reported of four points, and what is true."""
    lines = []
    for row in rows:
        reported, difference = (
            f"{row['reported']:.3f} +- {row['reported_error']:.3f}",
            f"{row['reported'] - row['log_p']:+.3f}",
        )
        lines.append([row["name"], row["epochs"], reported, row["bound"], f"{row['log_p']:.3f}", difference])
    heads = ["guide", "epochs", "reported", "side", "log p(x) by quadrature", "difference"]
    return markdown.table(heads, lines)


def log_p_table(rows: Sequence[Row]) -> str:
    """Markdown: log p(x) of binary images."""
    lines = []
    for row in rows:
        near = f"{row['code_distance']:.3f} ({row['code_distance_null']:.3f})" if "code_distance" in row else ""
        annealed = f"{row['ais']:.2f} +- {row['ais_error']:.2f}"
        lines.append([row["name"], row["data"], row["epochs"], f"{row['reported']:.2f}", row["bound"], annealed, near])
    heads = ["guide", "data", "epochs", "reported in training", "side", "log p(x) by AIS", "distance of codes (null)"]
    return markdown.table(heads, lines)


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """One a kind."""
    makes = {"points": points_table, "log p": log_p_table, "pictures": pictures_table, "routes": routes_table}
    chosen = {kind: [row for row in rows if row["kind"] == kind] for kind in makes}
    return {f"adversarial-avb {kind}": makes[kind](found) for kind, found in chosen.items() if found}


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Data, reconstructions and samples of each system; the measured routes (picture 9)."""
    found = {}
    shown = [row for row in rows if row["kind"] == "pictures"]
    if shown:
        first = [row for row in shown if row["shape"] == shown[0]["shape"] and row["data"] == shown[0]["data"]]
        sheet = [as_images(row)[SHOWN if number else 0 :] for number, row in enumerate(first)]
        found["adversarial-avb-pictures"] = image_grid(torch.cat(sheet), SHOWN)
    for row in rows:
        if row["kind"] == "routes":
            found["adversarial-avb-routes"] = draw_routes(row)
    return found


SMOKE = {"data": "digits", "grey": "digits", "faces": "digits", "seconds": 0.0, "tiny": True, "test": 20, "annealed": 5}
SMOKE |= {"rounds": 2, "chains": 2, "distributions": 5, "neighbours": 100}
ENTRY = Entry(
    name="adversarial-avb",
    shows="Guides without a density, VAE/GAN and a classifier's features, by figures without a discriminator.",
    budgets={"smoke": Spend("15 seconds", SMOKE), "cpu": Spend("13 cells of 10 minutes of one core", {})},
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "kinds": Option("of cells", [*KINDS, "routes"], str, [*KINDS, "routes"]),
        "names": Option("of systems; all by default", []),
        "data": Option("binary images of log p(x)", "mnist"),
        "grey": Option("grey images of the pictures", "mnist"),
        "faces": Option("further grey images, without classes", "frey-faces"),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 420.0),
        "rounds": Option("of training on the four points, 20 steps each, at a rate that falls to 0", 2000),
        "test": Option("how many test images, the first", 100),
        "annealed": Option("of the pictures' test images for AIS", 50),
        "chains": Option("of AIS an image", 8),
        "distributions": Option("of AIS", 500),
        "neighbours": Option("training and test images among which neighbours are looked for", 5000),
        "tiny": Option("small networks, one epoch", False),
    },
    silent=("sheet",),
)
