"""Content of a group and style of each: what can be told of a digit's class from either.

Groups of MNIST digits of one class, a style of few numbers. A classifier of k = 5 neighbours among codes of 10,000 training
images names the class of codes of test images: of the content of one image, of the content of ten images of a class
together, and of the style.
A content that is all of the class and a style that is none of it would give 100% and 10%. Published: 86.0 from the content of
several images and 33 from that of one, by a public implementation of the multi-level VAE (its swapped images, classified).
"""

from __future__ import annotations

import argparse
import base64
import functools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.neighbors import KNeighborsClassifier

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.evaluation.latents import posterior_moments
from pyrovae.plots import image_grid

__all__ = ["ENTRY"]

SIZES = {"content_dim": 16, "hidden": [400, 400], "activation": "relu"}
CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "ml-vae": ("ml-vae", SIZES),
    "ml-vae, prior once": ("ml-vae", {**SIZES, "prior_correction": True}),
    "gvae": ("gvae", SIZES),
}
MANY, SHEET, IMAGES = 10, 8, 256  # images of a group that is named, of the sheet, of a step


def codes(run: pv.Run, name: str, size: int, part: str, num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Content, (N, d_c), style of the first, (N, d_s), and class of groups of so many images."""
    data = pv.data.load(name, binarization="threshold", transforms=[f"groups:size={size}"])
    split = data.parts()[part]
    assert isinstance(split, pv.data.Split)
    batch = split[torch.arange(min(num, len(split)))]
    moments = posterior_moments(run, {"x": batch["x"]})
    return moments["c"].mean.numpy(), moments["s"].mean[:, 0].numpy(), batch["y"].numpy()


def cell(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train on groups; name classes from codes; swap contents and styles of eight images."""
    recipe, sizes = CELLS[name]
    data = pv.data.load(options.data, transforms=[f"groups:size={options.group}"])
    torch.manual_seed(seed)
    sizes = {**sizes, "style_dim": options.style, **({"hidden": [8]} if options.tiny else {})}
    pair = pv.pairs.get(recipe).build(data.spec, **sizes)
    how = {"batch_size": IMAGES // options.group, "lr": 1e-3, "seed": seed, "compile": not options.tiny}
    ends = {"epochs": 1 if options.tiny else 10**6, "callbacks": [Deadline(options.seconds)]}
    run = finished(pv.fit(pair, data, progress=False, validate=False, **ends, **how))
    found: Row = {"epochs": len(run.records)}
    for label, size in (("one", 1), (f"{MANY}", MANY)):
        content, style, y = codes(run, options.data, size, "train", options.num)
        test_content, test_style, test_y = codes(run, options.data, size, "test", options.num)
        near = KNeighborsClassifier(5)
        found[f"content of {label}"] = float((near.fit(content, y).predict(test_content) == test_y).mean())
        if size == 1:
            found["style"] = float((near.fit(style, y).predict(test_style) == test_y).mean())
            found["sheet"] = sheet(run, test_content, test_style, test_y)
    found["elbo"] = float(
        pv.log_evidence(run, data.test.subset(torch.arange(min(1000, options.num))), num_samples=5).elbo.mean()
    )
    return found


def sheet(run: pv.Run, content: np.ndarray, style: np.ndarray, y: np.ndarray) -> str:
    """Images with the content of one datum a row and the style of one a column, as text."""
    first = [int(np.flatnonzero(y == c)[0]) for c in range(SHEET)]
    c = torch.from_numpy(content[first]).repeat_interleave(SHEET, 0)
    s = torch.from_numpy(style[first]).repeat(SHEET, 1)
    model = run.pair.model
    with torch.no_grad():
        pictures = model.likelihood(model.decoder(torch.cat([c, s], -1).unsqueeze(1))).mean
    return base64.b64encode(zlib.compress((pictures * 255).round().to(torch.uint8).numpy().tobytes(), 9)).decode()


def run(job: Job) -> None:
    """Each system and seed."""
    options = job.options
    for name in options.systems:
        for seed in options.seeds:
            key = {"system": name, "seed": seed, "data": options.data, "seconds": options.seconds, "num": options.num}
            key |= {"group": options.group, "style_dim": options.style}
            job.records.cell(key, functools.partial(cell, name, seed, options))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A cell a line, in per cent."""
    named = ["content of one", f"content of {MANY}", "style"]
    lines = [
        [row["system"], row["group"], row["style_dim"], row["seed"], f"{row['seconds']:g}", row["epochs"]]
        + [f"{100 * row[name]:.1f}" for name in named]
        + [f"{-row['elbo'] / row['group']:.2f}"]
        for row in rows
    ]
    known = [f"class from {name}, %" for name in named]
    heads = ["system", "images a group", "style", "seed", "CPU s", "epochs", *known, "-ELBO, nats an image"]
    return {"content-style": markdown.table(heads, lines)}


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """The swaps of the row on MNIST whose style tells least of the class."""
    shown = [row for row in rows if row["data"] == "mnist"]
    if not shown:
        return {}
    sheet = min(shown, key=lambda row: row["style"])["sheet"]
    values = np.frombuffer(zlib.decompress(base64.b64decode(sheet)), np.uint8)
    return {"content-style": image_grid(torch.from_numpy(values.copy()).reshape(-1, 28, 28) / 255, SHEET)}


SMOKE = {"data": "digits", "seconds": 0.0, "num": 100, "tiny": True, "systems": ["ml-vae"]}

ENTRY = Entry(
    name="content-style",
    shows="What can be told of a digit's class from the content of its group, and from its own style.",
    budgets={"smoke": Spend("4 seconds", SMOKE), "cpu": Spend("3 cells of 5 minutes of one core", {})},
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "systems": Option("which", list(CELLS), str, tuple(CELLS)),
        "data": Option("a named data set of images with classes", "mnist"),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 240.0),
        "group": Option("images of a group in training", 10),
        "style": Option("dimensions of style", 3),
        "num": Option("training and test images whose codes are looked at", 10_000),
        "tiny": Option("small networks, one epoch", False),
    },
)
