"""What is seen from where, and what leads a pair astray: perspectives, flows of pixels, one varied factor, mappings, attacks.

Cells of ten minutes of one core: `vitae` on MNIST turned by up to 20 degrees, `flow-field-vae` on drawn faces, whose flow is
known, and on Frey's frames, `dc-ign` in both forms on rooms of one floor and wall, `nam` from digits to inverted ones and from
MNIST to digits, and curves of attacks on five autoencoders of one network.
"""

from __future__ import annotations

import argparse
import base64
import functools
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pyrovae as pv
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from benchmarks.tables.adversarial_warp_page import figures, tables
from pyrovae import evaluation
from pyrovae.data.faces import Faces
from pyrovae.data.named import read_frey_faces
from pyrovae.data.rooms import Rooms
from pyrovae.nets import affine_flow, affine_matrix, folds, warp

__all__ = ["ENTRY"]

# frames of Frey's video, picked by looking at them
NEUTRAL = (70, 84, 98, 154, 168, 182, 210, 238, 252, 280, 294, 308, 336, 364, 378, 392)
SMILE = (658, 672, 728, 742, 756, 798, 966, 1008, 1022, 1036, 1050, 1064, 1120, 1134, 1148, 1162)
FREY_GAP = 1000  # frames between an image and its source, at most: from one expression to another
NAMED = ["azimuth", "scale"]
ATTACKED = {
    "ae": ("ae", {}),
    "vae": ("vae", {}),
    "beta-vae": ("beta-vae", {"beta": 4.0}),
    "beta-tcvae": ("beta-tcvae", {"beta": 4.0}),
    "aae": ("aae", {}),
}
AFFINE = "affine:rotation=20,scale=0.1,shift=2"
Options = argparse.Namespace


def train(pair: pv.Pair, data: Any, options: Options, seed: int, share: float = 1.0, **more: Any) -> pv.Run:
    """A fit of so many seconds of the process."""
    ends: dict[str, Any] = {"epochs": 10**6, **({"steps": options.steps} if options.steps else {})}
    how = {"batch_size": options.batch, "lr": options.lr, "seed": seed, "progress": False, "compile": not options.eager}
    deadline = Deadline(share * options.seconds, time.process_time)
    return finished(pv.fit_stages(pair, data, **ends, **{**how, **more}, validate=False, callbacks=[deadline]))


def packed(images: Tensor) -> str:
    """Images in [0, 1] as bytes in a text."""
    values = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8)
    return base64.b64encode(zlib.compress(values.numpy().tobytes(), 9)).decode()


def r_squared(codes: Tensor, values: Tensor, test_codes: Tensor, test_values: Tensor) -> float:
    """R^2 on test data of the mean of 20 nearest training codes."""
    from sklearn.neighbors import KNeighborsRegressor

    scale = codes.std(0) + 1e-8
    model = KNeighborsRegressor(20, weights="distance").fit((codes / scale).numpy(), values.numpy())
    return float(model.score((test_codes / scale).numpy(), test_values.numpy()))


# ------------------------------------------------------------------------------------------------ vitae
def vitae(name: str, seed: int, options: Options) -> Row:
    """Class and angle from appearance and perspective."""
    source = "digits" if options.small else "mnist"
    data = pv.data.load(source, binarization="none", transforms=[AFFINE])
    sizes = {"hidden": [options.hidden], "activation": "relu"}
    torch.manual_seed(seed)
    pair = pv.pairs.vitae(data.spec, appearance_dim=10, perspective_dim=3, conditional=name == "C-VITAE", **sizes)
    run = train(pair, data, options, seed, kl_warmup=2)
    train_rows, test_rows = data.train[: options.rows], data.test[: options.rows]
    found: Row = {"steps": run.step}
    for site in ("z_A", "z_P"):
        score = pv.classify_features(run, train_rows, test_rows, "knn", site)
        codes = [evaluation.posterior_moments(run, rows)[site].mean for rows in (train_rows, test_rows)]
        found[f"accuracy {site}"] = score.accuracy
        found[f"angle {site}"] = r_squared(codes[0], train_rows["angle"], codes[1], test_rows["angle"])
    evidence = pv.log_evidence(run, {"x": test_rows["x"][:200]}, num_samples=100)
    canvas, seen = views(run.pair, test_rows["x"][:10])
    return {
        **found,
        "log_p": evidence.mean,
        "stderr": evidence.mean_stderr,
        "pictures": packed(torch.stack([test_rows["x"][:10], canvas, seen])),
        "shape": list(data.spec.shape),
    }


def views(pair: pv.Pair, x: Tensor) -> tuple[Tensor, Tensor]:
    """The canvas of each image, and the canvas from its perspective."""
    codes = pv.encode(pair, x)
    model: Any = pair.model
    with torch.no_grad():
        canvas = model.decoder(codes["z_A"]).squeeze(1)
        flow = affine_flow(affine_matrix(model.velocity(codes["z_P"])), *canvas.shape[-2:])
        return canvas, warp(canvas, flow)


# ------------------------------------------------------------------------------------------------ flows
def gradient_energy(images: Tensor) -> float:
    """sum of squared differences between neighbours."""
    return float(images.diff(dim=-1).square().sum() + images.diff(dim=-2).square().sum())


def flow_field(name: str, seed: int, options: Options) -> Row:
    """The flow that is found, and how sharp the images are beside a VAE's of as many codes."""
    data = pv.data.load("faces") if name == "faces" else frey_pairs(seed)
    torch.manual_seed(seed)
    latent_dim, hidden = 6, [options.hidden, options.hidden]
    pair = pv.pairs.flow_field_vae(data.spec, latent_dim=latent_dim, hidden=hidden, activation="relu")
    run = train(pair, data, options, seed, 0.5)
    torch.manual_seed(seed)
    pixels = train(pv.pairs.vae(data.spec, latent_dim=latent_dim, hidden=hidden, activation="relu"), data, options, seed, 0.5)
    rows = data.test[: options.rows]
    z, model = pv.encode(run, rows)["z"], run.model
    with torch.no_grad():
        flow = model.flow(z, rows["source"])
        ours = model.moved(rows["source"], flow)
    theirs = pv.decode(pixels, pv.encode(pixels, {"x": rows["x"]})["z"])
    energy, found = gradient_energy(rows["x"]), {"steps": run.step, "folds": float(folds(flow).mean())}
    found |= {"sharpness": gradient_energy(ours) / energy, "sharpness of pixels": gradient_energy(theirs) / energy}
    for label, images in (("error", ours), ("error of pixels", theirs), ("error of the source", rows["source"])):
        found[label] = float((images - rows["x"]).square().flatten(1).sum(1).mean())
    if name == "faces":
        found |= endpoint_error(rows, flow)
    return {**found, **smiles(name, run, data, seed)}


def endpoint_error(rows: dict[str, Tensor], flow: Tensor) -> Row:
    """|f - f*| weighted by the squared slope of the source, in pixels, beside that of no flow at all."""
    factors = np.stack([rows[name].numpy() for name in Faces.names], 1)
    truth = torch.from_numpy(Faces().flow(factors)).float()
    down = torch.gradient(rows["source"], dim=1)[0].square()  # the exact flow is along the rows, where nothing else is seen
    weight = down * (truth[:, 0].abs() > 0.1)
    mean = [float((weight * (each - truth[:, 0]).abs()).sum() / weight.sum()) for each in (flow[:, 0], 0 * flow[:, 0])]
    return {"flow_error": mean[0], "flow_error_of_none": mean[1]}


def frey_pairs(seed: int) -> pv.data.Data:
    """Frey's frames, each with another of the first 1,572 as source, at most so many frames away."""
    frames = read_frey_faces(None)[""]["x"]
    rng, parts = np.random.default_rng(seed), []
    for first, last in ((0, 1572), (1572, 1768), (1768, 1965)):
        t = np.arange(first, last).repeat(4 if first == 0 else 1)
        source = np.clip(t + rng.integers(-FREY_GAP, FREY_GAP + 1, len(t)), first, last - 1)
        parts.append({"x": frames[t], "source": frames[source]})
    return pv.data.load(tuple(parts), kinds={"x": "levels:256", "source": "levels:256"})


def smiles(name: str, run: pv.Run, data: pv.data.Data, seed: int) -> Row:
    """From neutral to smile along the mean code of such pairs: flow and images at 0, half and all of the way."""
    if name == "faces":
        factors = Faces().draw(16, np.random.default_rng(seed))
        factors[:, 1] = 3
        both = []
        for mouth in (4, 8):
            factors[:, 0] = mouth
            both.append(torch.from_numpy(Faces().images(factors) / np.float32(255)))
        neutral, smile = both
    else:
        frames = torch.from_numpy(read_frey_faces(None)[""]["x"] / np.float32(255))
        neutral, smile = frames[list(NEUTRAL)], frames[list(SMILE)]
    still = pv.encode(run, {"x": neutral, "source": neutral})["z"].mean(0)
    moved = pv.encode(run, {"x": smile, "source": neutral})["z"].mean(0)
    face, model = neutral[:1], run.model
    with torch.no_grad():
        flows = [model.flow((still + step * (moved - still)).unsqueeze(0), face)[0] for step in (0.0, 0.5, 1.0)]
        images = torch.cat([model.moved(face, flow.unsqueeze(0)) for flow in flows])
    return {
        "pictures": packed(torch.cat([face, images])),
        "shape": list(data.spec.shape),
        "arrows": [[round(value, 2) for value in each.flatten().tolist()] for each in (flows[-1] - flows[0]).unbind(0)],
    }


# ------------------------------------------------------------------------------------------------ dc-ign
def rooms(seed: int, small: bool) -> pv.data.Data:
    """Rooms of one floor and one wall, the other four factors all."""
    values = np.stack([each.ravel() for each in np.meshgrid(*[np.arange(n) for n in (10, 8, 4, 15)], indexing="ij")], 1)
    values = values[np.random.default_rng(seed).permutation(len(values))[: 300 if small else None]]
    factors = np.insert(values, 0, [[0], [5]], 1)  # of the first colour and the sixth
    x = Rooms().images(factors)
    keys = {name: factors[:, i] for i, name in enumerate(Rooms.names) if i > 1}
    kinds = {name: f"{'category' if name == 'shape' else 'ordinal'}:{Rooms.sizes[i + 2]}" for i, name in enumerate(keys)}
    return pv.data.load({"x": x, **keys}, kinds={"x": "levels:256", **kinds}, seed=seed)


def one_factor(name: str, seed: int, options: Options) -> Row:
    """R^2 of each named code with each factor, of test data one by one."""
    data = rooms(seed, options.small)
    grouped = pv.data.transform(data, {"name": "varying", "size": 4, "factors": NAMED, "rest_weight": 2.0})
    torch.manual_seed(seed)
    recipe = pv.pairs.dc_ign if name == "dc-ign" else pv.pairs.clamped_dc_ign
    pair = recipe(grouped.spec, rest_dim=8, channels=[16, 32, 32], hidden=128)
    run = train(pair, grouped, options, seed, batch_size=max(4, options.batch // 4))
    guide: Any = run.guide
    with torch.no_grad():
        rows = data.test[: options.rows]
        codes = torch.cat([guide.encoder(x).chunk(2, -1)[0] for x in rows["x"].split(50)])
    factors = {factor: rows[factor].double() for factor in ("azimuth", "scale", "object", "shape")}
    table = [
        [float(torch.corrcoef(torch.stack([codes[:, k].double(), v]))[0, 1] ** 2) for v in factors.values()] for k in range(2)
    ]
    off = max(table[0][1], table[1][0])
    return {"steps": run.step, "R2": table, "factors": list(factors), "diagonal": min(table[0][0], table[1][1]), "off": off}


# ------------------------------------------------------------------------------------------------ nam
def mapping(name: str, seed: int, options: Options) -> Row:
    """The share of test data whose class stays when they are mapped, by a classifier of the second domain."""
    from sklearn.svm import SVC

    digits = pv.data.load("digits", binarization="none")
    inverted = name == "digits to inverted"
    x = digits if inverted or options.small else pv.data.load("mnist", binarization="none")
    change = {"change": "invert"} if inverted or options.small else {"of": "digits"}
    data = pv.data.transform(x, {"name": "unpaired", **change})
    domain = 1 - digits.train["x"] if "change" in change else digits.train["x"]
    judge = SVC(C=10.0).fit(domain.flatten(1).numpy(), digits.train["y"].numpy())
    share, tried = 1 / options.restarts, []
    rows = data.test[: options.rows]
    for restart in range(options.restarts):
        torch.manual_seed(seed + 1000 * restart)
        pair = pv.pairs.nam(data.spec, latent_dim=16, hidden=[options.hidden], activation="relu")
        run = train(pair, data, options, seed + 1000 * restart, share / 2)
        with torch.no_grad():
            bound = -float(pv.objectives.get("meanfield").loss(run.model, run.guide, x=rows["x"])) / len(rows["x"])
            images = run.model.image(pv.encode(run, {"x": rows["x"]})["z"])
        few = {"x": rows["x"][:100]}
        found = evaluation.best_codes(run, few, num_restarts=5, num_steps=options.search)
        with torch.no_grad():
            searched = run.model.image(found.latents["z"])
        kept = [kept_share(judge, each, y) for each, y in ((images, rows["y"]), (searched, rows["y"][:100]))]
        shown = packed(torch.stack([images[:10]]))
        tried.append({"bound": bound, "kept": kept[0], "searched": kept[1], "pictures": shown, "steps": run.step})
    best = max(tried, key=lambda each: each["bound"])
    sources = {"sources": packed(rows["x"][:10]), "shapes": [list(rows["x"].shape[1:]), list(domain.shape[1:])]}
    ranks = [[each["bound"], each["kept"]] for each in tried]
    return {**best, **sources, "restarts of": ranks}


def kept_share(judge: Any, images: Tensor, labels: Tensor) -> float:
    """Of a classifier's classes."""
    return float((torch.from_numpy(judge.predict(images.flatten(1).numpy())) == labels).float().mean())


# ------------------------------------------------------------------------------------------------ attacks
def attacked(name: str, seed: int, options: Options) -> Row:
    """The area under the curve of distortions of attacks on codes and on outputs."""
    data = pv.data.load("digits" if options.small else "mnist", binarization="none")
    recipe, own = ATTACKED[name]
    torch.manual_seed(seed)
    size = {"code_dim" if "code_dim" in pv.pairs.get(recipe).defaults else "latent_dim": 20}
    pair = pv.pairs.get(recipe).build(data.spec, hidden=[options.hidden], **size, **own)
    run = train(pair, data, options, seed, 0.5)
    x, target = ({key: value[part] for key, value in data.test[:200].items()} for part in (slice(0, 12), slice(100, 112)))
    found: Row = {"steps": run.step}
    for kind in ("latent", "output"):
        curve = evaluation.distortion_curve(run, x, target, kind, num_steps=options.search, seed=seed)
        found[kind] = curve.to_json()
    shown = evaluation.attack(run, x, target, "latent", 0.1, num_steps=options.search, seed=seed)
    triplet = torch.stack([shown.x[:4], shown.x[:4] + shown.eta[:4], shown.reconstruction[:4], shown.target[:4]])
    return {**found, "pictures": packed(triplet), "shape": list(data.spec.shape)}


Cell = Callable[[str, int, Options], Row]
CELLS: dict[str, dict[str, Cell]] = {
    "vitae": {"C-VITAE": vitae, "U-VITAE": vitae},
    "flow-field-vae": {"faces": flow_field, "frey-faces": flow_field},
    "dc-ign": {"dc-ign": one_factor, "clamped-dc-ign": one_factor},
    "nam": {"digits to inverted": mapping, "mnist to digits": mapping},
    "attack": dict.fromkeys(ATTACKED, attacked),
}


def run(job: Job) -> None:
    """Each system, each of its forms, each seed."""
    options = job.options
    for seed in options.seeds:
        for system in options.systems:
            for name, cell in CELLS[system].items():
                shared = {key: getattr(options, key) for key in ("seconds", "steps", "batch", "lr", "hidden", "small")}
                key = {"system": system, "form": name, "seed": seed, **shared}
                job.records.cell(key, functools.partial(cell, name, seed, options))


SMOKE = {"seconds": 0.0, "steps": 2, "eager": True, "small": True, "rows": 60, "hidden": 16, "search": 3, "restarts": 1}
ENTRY = Entry(
    name="adversarial-warp",
    shows="Perspectives, flows of pixels, one varied factor, unpaired mappings, and attacks on five autoencoders.",
    budgets={
        "smoke": Spend("10 seconds", {**SMOKE, "systems": ["vitae"]}),
        "cpu": Spend("13 cells of 10 minutes of one core", {}),
    },
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "systems": Option("which", list(CELLS), str, tuple(CELLS)),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 540.0),
        "steps": Option("at most", None, int),
        "batch": Option("rows a step", 100),
        "lr": Option("learning rate of Adam", 1e-3),
        "hidden": Option("width of the dense networks", 300),
        "rows": Option("data that figures are of", 2000),
        "search": Option("steps of attacks and of codes by search", 100),
        "restarts": Option("of a mapping, each with a share of the time", 3),
        "small": Option("the embedded digits in place of MNIST, few rooms", False),
        "eager": Option("compile nothing", False),
    },
)
