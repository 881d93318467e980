"""Adversarial autoencoders in all their forms, by figures in which no discriminator has a part.

toy: a linear encoder of Gaussian data to one dimension, whose codes have variance 1 at the equilibrium. codes: 28x28 digits in
8 dimensions, by three guides, and a plain autoencoder: the squared maximum mean discrepancy (MMD) of 500 codes of test images
to draws of the prior. maps: digits in the plane, for priors of ten petals and a swiss roll, without labels and with 10,000 of
50,000. style: what of the class is left in z where the decoder is told it. semi: classes from 100 labels. cluster: classes of
16 and 30 clusters, each named by one validation image. heads: maps whose clusters are pushed apart; tsne: beside two others.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import pyrovae as pv
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from benchmarks.tables.adversarial_aae_page import figures, packed, tables
from benchmarks.tables.tsne import parametric_tsne, tsne
from pyrovae import guides, models
from pyrovae.distributions import PetalsPrior, SwissRoll, SwissRollPrior, classes_of
from pyrovae.distributions.likelihoods import Gaussian
from pyrovae.objectives.discrepancy import mmd, mmd_null

__all__ = ["ENTRY"]

CODES: dict[str, tuple[str, dict[str, Any]]] = {
    "ae": ("ae", {"latent_dim": 8}),
    "deterministic": ("aae", {"latent_dim": 8}),
    "gaussian": ("aae", {"latent_dim": 8, "posterior": "gaussian"}),
    "universal": ("aae", {"latent_dim": 8, "posterior": "universal"}),
}
MAPS: dict[str, dict[str, Any]] = {
    "normal": {},
    "petals": {"prior": "petals"},
    "swiss roll": {"prior": "swiss-roll"},
    "petals, labels": {"prior": "petals", "labels": True},
    "swiss roll, labels": {"prior": "swiss-roll", "labels": True},
}
# few labels, clusters and heads: in short trials on 100 labels accuracy rose so, and fell at 0.001 for all
CAREFUL: dict[str, Any] = {
    "batch_size": 128,
    "lr": 3e-4,
    "optimizers": {"discriminate": {"lr": 1e-3, "betas": (0.1, 0.999)}, "deceive": {"betas": (0.1, 0.999)}},
}
S = ((2.0, 0.8), (0.8, 1.0))  # covariance of the toy's data
SHOWN, PAIRED, SHEET = 2000, 500, 20  # codes shown, codes whose MMD is taken, images along a roll
Options = argparse.Namespace


def digits_of(options: Options, labels: int | None = None, share: float = 0.1) -> pv.data.Data:
    """Grey digits, all with labels or so many of the training data."""
    told = [] if labels is None else [f"few-labels:num_labels={labels},share={share}"]
    return pv.data.load("digits" if options.small else "mnist", binarization="none", transforms=told)


def train(pair: pv.Pair, data: Any, options: Options, seed: int, seconds: float, **more: Any) -> pv.Run:
    """A fit of so many seconds of the process."""
    how = {"batch_size": options.batch, "lr": options.lr, "seed": seed, "progress": False, "compile": not options.eager}
    ends: dict[str, Any] = {"epochs": 10**6, **({"steps": options.steps} if options.steps else {})}
    deadline = Deadline(seconds, time.process_time)
    return finished(pv.fit(pair, data, **ends, **{**how, **more}, validate=False, callbacks=[deadline]))


def built(recipe: str, data: pv.data.Data, options: Options, seed: int, **own: Any) -> pv.Pair:
    """A pair of dense networks of one width."""
    torch.manual_seed(seed)
    width = options.hidden
    adversary = {"discriminator_hidden": width} if recipe != "ae" else {}
    return pv.pairs.get(recipe).build(data.spec, hidden=[width, width], activation="relu", **adversary, **own)


def codes_of(run: pv.Run, rows: Mapping[str, Tensor]) -> Tensor:
    """A draw of each datum's code, (N, d)."""
    return pv.posterior(run, {key: rows[key] for key in ("x", "y")}, num_samples=1)["z"][0]


def nearness(codes: Tensor, prior: Callable[[int], Tensor], seed: int) -> Row:
    """MMD^2 of codes, (n, d), to as many draws of the prior, and its 95% quantile between two samples of draws."""
    torch.manual_seed(seed)
    null = float(mmd_null(prior(2 * len(codes))))
    return {"mmd": float(mmd(codes, prior(len(codes)))), "null": null, "variance": float(codes.var(0).mean())}


def some(values: Tensor) -> list[Any]:
    """Coordinates to three digits."""
    return np.round(values.double().numpy(), 3).tolist()


# ------------------------------------------------------------------------------------------------ toy, codes, maps
class Variance(pv.train.Callback):
    """Keeps the variance of the codes of x, once an epoch."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.path = x, list[float]()

    def on_epoch_end(self, run: pv.Run, metrics: dict) -> None:
        """One more."""
        with torch.no_grad():
            self.path.append(round(float(run.pair.guide.encoder(self.x).var()), 4))


def toy(name: str, seed: int, options: Options) -> Row:
    """The variance of the codes of a linear encoder, on its way and at the end."""
    torch.manual_seed(seed)
    x = torch.randn(5000, 2) @ torch.linalg.cholesky(torch.tensor(S)).T
    network = nn.Sequential(nn.Linear(1, 2), nn.Unflatten(-1, (1, 2)))
    pair = pv.Pair(models.VAE(network, Gaussian((2,), "shared"), 1), guides.Deterministic(nn.Linear(2, 1)))
    steps = options.toy_steps
    falls = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": steps}, "scheduler_interval": "step"}
    objective, slow = {"name": "aae", "hidden": 64}, {"optimizers": {"deceive": {"lr": 3e-4}}} if name == "slow deceit" else {}
    how = {"epochs": 10**6, "steps": steps, "batch_size": 500, "seed": seed, "progress": False, "validate": False}
    seen = Variance(x)
    run = finished(pv.fit(pair, (x, x[:100]), objective, lr=3e-3, compile=False, callbacks=[seen], **how, **falls, **slow))
    last = run.records[-1]
    told = {"discriminate": last["discriminate"], "accuracy": last["accuracy"]}
    return {"steps": run.step, "variance": seen.path[-1], **told, "path": seen.path}


def codes(name: str, seed: int, options: Options) -> Row:
    """How far 500 codes are from N(0, I)."""
    recipe, own = CODES[name]
    data = digits_of(options)
    run = train(built(recipe, data, options, seed, **own), data, options, seed, options.seconds)
    test = data.test[:PAIRED]
    x, z = test["x"], codes_of(run, test)
    error = float((pv.reconstruct(run, x) - x).square().flatten(1).sum(1).mean())
    return {"steps": run.step, "squared_error": error, **nearness(z, lambda n: torch.randn(n, z.shape[-1]), seed)}


def maps(name: str, seed: int, options: Options) -> Row:
    """Codes in the plane, their distance to the prior, and decoded points of the prior's parts."""
    own = MAPS[name]
    data = digits_of(options, options.told if own.get("labels") else None, 0.2)
    run = train(built("aae", data, options, seed, latent_dim=2, **own), data, options, seed, options.seconds)
    prior = {"petals": PetalsPrior(), "swiss-roll": SwissRollPrior()}.get(str(own.get("prior")))
    test = data.test[:SHOWN]
    z = codes_of(run, test)

    def draw(n: int) -> Tensor:
        return torch.randn(n, 2) if prior is None else prior().expand(torch.Size([n])).sample()

    found: Row = {"steps": run.step, **nearness(z[:PAIRED], draw, seed), "z": some(z), "y": test["y"].tolist()}
    if own.get("labels"):
        assert prior is not None
        known = data.train["y"] >= 0
        whole = digits_of(options).train
        for word, rows in (("labelled", known.nonzero()[:5000, 0]), ("others", (~known).nonzero()[:5000, 0])):
            part = whole[rows]
            right = classes_of(prior(), codes_of(run, part), data.spec.classes) == part["y"]
            found[f"in_class of {word}"] = float(right.float().mean())
    model: Any = run.pair.model
    with torch.no_grad():
        found["sheet"] = packed(model.likelihood(model.decoder(places(name))).mean)
    return {**found, "shape": list(data.spec.shape)}


def places(name: str) -> Tensor:
    """200 points to decode: a grid's, 20 along each petal, or those along the roll."""
    if name == "normal":
        axis = torch.linspace(-2, 2, SHEET)
        return torch.cartesian_prod(axis.flip(0)[::2], axis).flip(-1)
    if name.startswith("petals"):
        angle = (2 * torch.pi * torch.arange(10) / 10).unsqueeze(1)
        radius = torch.linspace(0.4, 2.4, SHEET)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], -1).flatten(0, 1)
    return SwissRoll.curve(((torch.arange(200) + 0.5) / 200).sqrt())


# ------------------------------------------------------------------------------------------------ classes
def style(_name: str, seed: int, options: Options) -> Row:
    """The class by ten neighbours among styles, and every class in the style of ten test images."""
    data = digits_of(options)
    pair = built("aae-style", data, options, seed, latent_dim=15)
    run = train(pair, data, options, seed, options.seconds)
    rows, test = data.train[: options.rows], data.test[: options.rows]
    score = pv.classify_features(run, rows, test, "knn")
    shown = torch.cat([test["x"][:10].unsqueeze(1), pv.analogies(run, data.test[:10])], 1)
    z = codes_of(run, data.test[:PAIRED])
    near = nearness(z, lambda n: torch.randn(n, 15), seed)
    return {"steps": run.step, "class_from_z": score.accuracy, **near, "sheet": packed(shown), "shape": list(data.spec.shape)}


def semi(name: str, seed: int, options: Options) -> Row:
    """The error of 100 labels."""
    data = digits_of(options, int(name))
    run = train(built("aae-semi", data, options, seed), data, options, seed, options.long, **CAREFUL)
    return {"steps": run.step, "error": 100 * (1 - pv.classify(run, data.test).accuracy)}


def cluster(name: str, seed: int, options: Options) -> Row:
    """The error of clusters, each named by one validation image; of 16, every cluster in ten styles."""
    data = digits_of(options)
    run = train(
        built("aae-cluster", data, options, seed, num_clusters=int(name)), data, options, seed, options.long, **CAREFUL
    )
    found: Row = {"steps": run.step, "error": 100 * (1 - pv.classify_clusters(run, data.test, data.valid).accuracy)}
    if name == "16":
        found["sheet"] = packed(pv.class_samples(run, 10, site="k").transpose(0, 1))
    return {**found, "shape": list(data.spec.shape)}


HEADED = {
    "20 clusters": ("aae-cluster", {"num_clusters": 20}, None, "k"),
    "100 labels": ("aae-semi", {}, 100, "y"),
    "1000 labels": ("aae-semi", {}, 1000, "y"),
}


def heads(name: str, seed: int, options: Options) -> Row:
    """A map of clusters that are pushed apart: z + W'y."""
    recipe, own, labels, site = HEADED[name]
    data = digits_of(options, labels)
    pair = built(recipe, data, options, seed, latent_dim=2, head_distance=options.head_distance, **own)
    run = train(pair, data, options, seed, options.long, **CAREFUL)
    test = data.test[:SHOWN]
    found = pv.encode(run, {"x": test["x"]})
    model: Any = run.pair.model
    with torch.no_grad():
        z = model.decoder.place(found["z"], found[site])
        apart = torch.pdist(model.decoder.heads)
    told = pv.classify(run, data.test) if labels else pv.classify_clusters(run, data.test, data.valid)
    error = 100 * (1 - told.accuracy)
    return {"steps": run.step, "error": error, "closest_heads": float(apart.min()), "z": some(z), "y": test["y"].tolist()}


def other_map(name: str, seed: int, options: Options) -> Row:
    """The same test images in the plane by t-SNE, or by a network that was trained so on training images."""
    data = digits_of(options)
    test, rows = data.test[:SHOWN], data.train[: options.tsne_rows]["x"].flatten(1)
    x = test["x"].flatten(1)
    z = tsne(x, seed) if name == "t-SNE" else parametric_tsne(rows, x, options.tsne_seconds, seed, options.hidden)
    return {"z": some(z), "y": test["y"].tolist()}


Cell = Callable[[str, int, Options], Row]
CELLS: dict[str, dict[str, Cell]] = {
    "toy": {"equal rates": toy, "slow deceit": toy},
    "codes": dict.fromkeys(CODES, codes),
    "maps": dict.fromkeys(MAPS, maps),
    "style": {"15 dimensions": style},
    "semi": {"100": semi},
    "cluster": {"16": cluster, "30": cluster},
    "heads": dict.fromkeys(HEADED, heads),
    "tsne": dict.fromkeys(("t-SNE", "parametric t-SNE"), other_map),
}
LONG = ("semi", "cluster", "heads")


def run(job: Job) -> None:
    """Each kind, each of its forms, each seed."""
    options = job.options
    for seed in options.seeds:
        for kind in options.kinds:
            for name, cell in CELLS[kind].items():
                if options.names and name not in options.names:
                    continue
                shared = {key: getattr(options, key) for key in ("batch", "lr", "hidden", "small")}
                shared["most_steps"] = options.steps
                if kind in LONG:
                    shared |= {"batch": CAREFUL["batch_size"], "lr": CAREFUL["lr"]}
                seconds = {"toy": options.toy_steps, "tsne": options.tsne_seconds}.get(
                    kind, options.long if kind in LONG else options.seconds
                )
                key = {"kind": kind, "form": name, "seed": seed, "length": seconds, **shared}
                job.records.cell(key, functools.partial(cell, name, seed, options))


SMOKE = {"seconds": 0.0, "long": 0.0, "steps": 2, "toy_steps": 3, "eager": True, "small": True, "rows": 60, "hidden": 16}
SMOKE |= {"tsne_seconds": 0.0, "tsne_rows": 120, "told": 100, "kinds": ["toy", "codes", "cluster"], "names": []}
ENTRY = Entry(
    name="adversarial-aae",
    shows="Adversarial autoencoders: codes beside the prior, maps, style, few labels, clusters, heads apart.",
    budgets={
        "smoke": Spend("10 seconds", {**SMOKE, "names": ["equal rates", "ae", "deterministic", "16"]}),
        "cpu": Spend("12 cells of 10 minutes of one core, 6 of 30, 2 of 1", {}),
    },
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "kinds": Option("of cells", list(CELLS), str, tuple(CELLS)),
        "names": Option("of forms; all by default", []),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 540.0),
        "long": Option("the same of few labels, clusters and heads", 1680.0),
        "steps": Option("at most", None, int),
        "toy_steps": Option("of the toy, whose rates fall from 0.003 along a cosine", 1500),
        "batch": Option("rows a step; of few labels, clusters and heads 128", 256),
        "lr": Option("learning rate of Adam; of few labels, clusters and heads 0.0003, but for discriminators", 1e-3),
        "hidden": Option("width of the dense networks", 512),
        "told": Option("labels of the maps with labels", 10000),
        "head_distance": Option("that heads are pushed apart to", 10.0),
        "rows": Option("of training and test data for neighbours", 5000),
        "tsne_seconds": Option("of training of the parametric t-SNE", 300.0),
        "tsne_rows": Option("training images of the parametric t-SNE", 10000),
        "small": Option("the embedded digits in place of MNIST", False),
        "eager": Option("compile nothing", False),
    },
    silent=("z", "y", "sheet", "path"),
)
