"""Cells of ``groups`` about sets and functions: the neural statistician and neural processes."""

from __future__ import annotations

import argparse
import base64
import zlib
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

import pyrovae as pv
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.data.families import FAMILIES, set_families, spatial_digits
from pyrovae.data.functions import NOISE, gp_functions, rbf
from pyrovae.nets import loc_and_scale, pooled

__all__ = ["CELLS", "fit", "packed"]

DRAWS, CHUNK = 500, 50  # of the context for a predictive density, sets at once
BANDWIDTHS = np.geomspace(0.01, 0.6, 25)  # of a mixture at the points of a set
SHOTS, WAYS, QUERIES = (1, 5), (5, 20), 1
SHOWN = 8
CONTEXTS, PIXELS = (10, 30, 100), 150  # pixels that are given, and those of which they are


def fit(
    recipe: str, data: pv.data.Data, options: argparse.Namespace, seed: int, batch_size: int, warmup: int = 0, **sizes: Any
) -> pv.Run:
    """The pair of a recipe, trained for so many seconds of the processor, its KL growing for so many epochs."""
    torch.manual_seed(seed)
    sizes = {**sizes, **({"hidden": [8]} if options.tiny and "hidden" in sizes else {})}
    pair = pv.pairs.get(recipe).build(data.spec, **sizes)
    how = {"batch_size": batch_size, "lr": options.lr, "seed": seed, "compile": False, "progress": False, "validate": False}
    ends = {"epochs": 1 if options.tiny else 10**6, "callbacks": [Deadline(options.seconds)]}
    how |= {"kl_warmup": warmup} if warmup and not options.tiny else {}
    return finished(pv.fit(pair, data, **ends, **how))


def packed(values: Tensor, low: float = 0.0, high: float = 1.0) -> str:
    """Numbers in [low, high] as text, a byte each."""
    levels = ((values.detach().cpu() - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8)
    return base64.b64encode(zlib.compress(levels.numpy().tobytes(), 9)).decode()


def of_images(options: argparse.Namespace) -> str:
    """MNIST, or in a smoke run the digits."""
    return "digits" if options.tiny else "mnist"


def context(run: pv.Run, x: Tensor, lengths: Tensor | None = None) -> Normal:
    """q(c | x) of each set, (N, d_c)."""
    guide = run.pair.guide
    with torch.no_grad():
        weights = None if lengths is None else torch.arange(x.shape[1]) < lengths.unsqueeze(1)
        return Normal(*loc_and_scale(guide.context(*pooled(guide.features(x), weights))))


# ------------------------------------------------------------------------------------------------ statistician
def families(seed: int, options: argparse.Namespace) -> Row:
    """The family of a set of numbers, by the nearest contexts."""
    data = pv.data.load("set-families")
    if options.tiny:
        parts = [set_families(40, size=12, seed=part) for part in range(3)]
        data = pv.data.load(tuple({"x": x, "y": np.array(FAMILIES)[y]} for x, y in parts))
        data = pv.data.transform(data, "shuffle")
    run = fit("statistician", data, options, seed, 50, warmup=4, context_dim=3, latent_dim=4, hidden=[64, 64])
    codes = [(context(run, part["x"]).loc.numpy(), part["y"].numpy()) for part in (data.train, data.test)]
    right = KNeighborsClassifier(5).fit(*codes[0]).predict(codes[1][0]) == codes[1][1]
    elbo = float(pv.log_evidence(run, data.test, num_samples=5, batch_size=25).elbo.mean()) / data.spec.shape[0]
    some, labels = codes[1]
    return {"epochs": len(run.records), "neighbours": float(right.mean()), "elbo an item": elbo,
            "contexts": [np.round(some[:400], 3).tolist(), labels[:400].tolist()]}  # fmt: skip


def predictive(run: pv.Run, given: Tensor, asked: Tensor, seed: int) -> Tensor:
    """log E_q(c | given)[p(x | c)] of each further point, (B, m), by so many draws: from below in expectation, nats."""
    model, found = run.pair.model, []
    torch.manual_seed(seed)
    for some, points in zip(given.split(CHUNK), asked.split(CHUNK), strict=True):
        with torch.no_grad():
            c = context(run, some).sample((DRAWS,)).unsqueeze(-2)  # (S, B, 1, d_c)
            z: list[Tensor] = []
            for prior in model.priors:
                z.append(Normal(*loc_and_scale(prior(c, *z[-1:]))).sample())
            scores = model.likelihood(model.decoder(c, *z)).log_prob(points)  # (S, B, m)
            found.append(scores.logsumexp(0) - np.log(DRAWS))
    return torch.cat(found)


def mixture(given: Tensor, asked: Tensor) -> Tensor:
    """log p of each further point, (B, m), under the mixture of one Gaussian at each point of the set.

    Their common scale is the one of :data:`BANDWIDTHS` under which each point is most probable given the others.
    """
    given, asked = given.double(), asked.double()
    scales = torch.from_numpy(BANDWIDTHS)
    own = torch.cdist(given, given).square().unsqueeze(-1) / scales**2  # (B, n, n, bandwidths)
    own = own + 1e12 * torch.eye(given.shape[1]).unsqueeze(-1)
    left_out = (-0.5 * own).logsumexp(2).mean(1) - given.shape[-1] * scales.log()
    scale = scales[left_out.argmax(-1)]
    squares = torch.cdist(asked, given).square() / scale[:, None, None] ** 2
    norm = given.shape[-1] * (scale.log() + 0.5 * np.log(2 * np.pi)) + np.log(given.shape[1])
    return (-0.5 * squares).logsumexp(-1) - norm.unsqueeze(1)


def spatial(seed: int, options: argparse.Namespace) -> Row:
    """Digits as sets of points: 50 further points of each set, given 50, beside a mixture fitted to these."""
    images = pv.data.load(of_images(options), binarization="none").test[: 20 if options.tiny else options.num]["x"].numpy()
    data = pv.data.load("spatial-mnist") if not options.tiny else pv.data.load(
        spatial_digits(images, size=8), transforms=["shuffle"])  # fmt: skip
    run = fit("statistician", data, options, seed, 50, context_dim=64, latent_dim=2, hidden=[128, 128])
    points = torch.from_numpy(spatial_digits(images, size=2 * data.spec.shape[0], seed=100 + seed))
    given, asked = points.chunk(2, 1)
    own, other = predictive(run, given, asked, seed), mixture(given, asked).float()
    gain = (own - other).mean(1)
    drawn = pv.sample(run, SHOWN)["x"]
    told = pv.reconstruct(run, {"x": given[:SHOWN]}, num_samples=1)
    return {
        "epochs": len(run.records),
        "log p a point": float(own.mean()),
        "mixture": float(other.mean()),
        "gain": float(gain.mean()),
        "stderr": float(gain.std() / len(gain) ** 0.5),
        "points": packed(torch.stack([given[:SHOWN], told, drawn]), -1.5, 1.5),
        "shown": data.spec.shape[0],
    }


def few_shot(seed: int, options: argparse.Namespace) -> Row:
    """Classes that training did not see, from 1 or 5 drawings: the context nearest by KL(q(c | class) || q(c | x))."""
    name = "digits" if options.tiny else "omniglot-small"
    data = pv.data.load(name, transforms=["groups:size=5", "ragged"])
    run = fit("statistician", data, options, seed, 20, context_dim=32, latent_dim=16, hidden=[256, 256])
    single = pv.data.load(name).test
    x, y, rng = single["x"], single["y"].numpy(), np.random.default_rng(seed)
    members = [np.flatnonzero(y == k) for k in np.unique(y)]
    found: Row = {"epochs": len(run.records), "classes": len(members), "rates": []}
    for ways in WAYS:
        for shots in SHOTS:
            right = []
            for _ in range(5 if options.tiny else options.episodes):
                chosen = [rng.permutation(members[k])[: shots + QUERIES] for k in rng.permutation(len(members))[:ways]]
                drawings = x[torch.from_numpy(np.stack(chosen))]  # (classes, shots + queries, H, W)
                support, query = drawings[:, :shots], drawings[:, shots:].flatten(0, 1).unsqueeze(1)
                label = torch.arange(len(chosen)).repeat_interleave(QUERIES)
                known, asked = context(run, support), context(run, query)
                each = Normal(known.loc.unsqueeze(0), known.scale.unsqueeze(0))
                told = kl_divergence(each, Normal(asked.loc.unsqueeze(1), asked.scale.unsqueeze(1))).sum(-1).argmin(1)
                pixels = torch.cdist(query.flatten(1), support.flatten(2).flatten(0, 1)).unflatten(1, (-1, shots))
                right.append([float((told == label).float().mean()),
                              float((pixels.amin(-1).argmin(1) == label).float().mean())])  # fmt: skip
            mean, error = np.mean(right, 0), np.std(right, 0) / len(right) ** 0.5
            found["rates"].append([ways, shots, *mean.tolist(), *error.tolist()])
    return found


# ------------------------------------------------------------------------------------------------ neural processes
def gp_predictive(inputs: Tensor, values: Tensor, given: Tensor, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean, (m,), and covariance, (m, m), of the values that are not given, or of those ``at`` other inputs."""
    known = given[:, 0] == 1
    u, v = inputs[known].double(), (inputs[~known] if at is None else at).double()
    within = torch.from_numpy(rbf(u.numpy(), u.numpy())) + NOISE**2 * torch.eye(len(u))
    across = torch.from_numpy(rbf(v.numpy(), u.numpy()))
    own = torch.from_numpy(rbf(v.numpy(), v.numpy())) + NOISE**2 * torch.eye(len(v))
    mean = across @ torch.linalg.solve(within, values[known, 0].double())
    return mean, own - across @ torch.linalg.solve(within, across.mT)


def gaussian_process(seed: int, options: argparse.Namespace) -> Row:
    """Neural processes on draws of a Gaussian process: log p of a value given 1 to 20, beside that process's own."""
    transforms = ["context:least=1,most=20"]
    data = pv.data.load("gp-functions", transforms=transforms)
    if options.tiny:
        made = [gp_functions(30, size=24, seed=part) for part in range(3)]
        parts = tuple({"x": x, "condition": u} for u, x in made)
        data = pv.data.load(parts, transforms=["shuffle", "context:least=1,most=8"])
    size = {"hidden": [128, 128]}
    runs = {"neural-process": fit("neural-process", data, options, seed, 50, latent_dim=64, **size)}
    runs["conditional-neural-process"] = fit("conditional-neural-process", data, options, seed, 50, **size)
    test = data.test[: 20 if options.tiny else options.num]
    asked = (1 - test["given"]).sum((1, 2))
    found: Row = {"epochs": [len(run.records) for run in runs.values()]}
    for name, run in runs.items():
        found[name] = pv.log_evidence(run, test, num_samples=100, batch_size=25, seed=seed).per(asked)
    exact = []
    for u, x, given in zip(test["condition"], test["x"], test["given"], strict=True):
        mean, covariance = gp_predictive(u, x, given)
        rest = x[given[:, 0] == 0, 0].double()
        marginals = Normal(mean, covariance.diagonal().sqrt()).log_prob(rest).sum()
        exact.append([float(MultivariateNormal(mean, covariance).log_prob(rest)), float(marginals)])
    found["process"], found["process, each alone"] = (np.sum(exact, 0) / float(asked.sum())).tolist()
    return found | {"curves": curves(runs, test)}


def curves(runs: dict[str, pv.Run], test: dict[str, Tensor]) -> list[Row]:
    """Of some functions: what is given, and mean and spread of what each says on a grid of inputs."""
    grid, shown = torch.linspace(-2, 2, 81).unsqueeze(-1), []
    latent, plain = (run.pair.model for run in runs.values())
    for row in range(3):
        u, c, given = (test[key][row : row + 1] for key in ("condition", "c", "given"))
        known, entry = given[0, :, 0] == 1, {}
        entry["given"] = [u[0, known, 0].tolist(), c[0, known, 0].tolist()]
        with torch.no_grad():
            z = Normal(*loc_and_scale(latent.encoder(u, c, weights=given[..., 0]))).sample((200,))
            fn = latent.likelihood(latent.decoder(grid, z.unsqueeze(-2)))
            variance = fn.variance.mean(0) + fn.mean.var(0)
            entry["neural-process"] = [fn.mean.mean(0)[0, :, 0].tolist(), variance.sqrt()[0, :, 0].tolist()]
            fn = plain.likelihood(plain.decoder(grid, plain.encoder(u, c, weights=given[..., 0]).unsqueeze(-2)))
            entry["conditional-neural-process"] = [fn.mean[0, :, 0].tolist(), fn.variance.sqrt()[0, :, 0].tolist()]
        mean, covariance = gp_predictive(u[0], c[0], given[0], grid)
        entry["process"] = [mean.tolist(), covariance.diagonal().sqrt().tolist()]
        shown.append(entry)
    return shown


def completion(seed: int, options: argparse.Namespace) -> Row:
    """Digits completed from some of their pixels: log p of one of the others."""
    name, size = of_images(options), 32 if options.tiny else PIXELS

    def pixels(least: int, most: int, *before: str) -> pv.data.Data:
        change = ["pixels", *before, f"context:least={least},most={most}"]
        return pv.data.load(name, binarization="threshold", transforms=change)

    picked, most = f"subsets:size={size}", 20 if options.tiny else CONTEXTS[-1]
    run = fit("neural-process", pixels(5, most, picked), options, seed, 50, latent_dim=64, hidden=[128, 128])
    images = pv.data.load(name, binarization="threshold")
    found: Row = {"epochs": len(run.records), "rates": [], "sheet": [], "side": images.spec.shape[0]}
    frequencies = images.train["x"].flatten(1).mean(0).clamp(1e-3, 1 - 1e-3)
    for number in [n for n in CONTEXTS if n <= most]:
        test = pixels(number, number, picked).test[torch.arange(10 if options.tiny else options.num)]
        asked = (1 - test["given"]).sum((1, 2))
        own = pv.log_evidence(run, test, num_samples=50, batch_size=20, seed=seed).per(asked)
        side = images.spec.shape[0]  # which pixel each is, by its place
        column, row = ((test["condition"] * torch.tensor([1.0, -1.0]) + 1) * side / 2 - 0.5).round().long().unbind(-1)
        alone = Bernoulli(frequencies[row * side + column]).log_prob(test["x"][..., 0]) * (1 - test["given"][..., 0])
        found["rates"].append([number, *own, float(alone.sum() / asked.sum())])
        few = pixels(number, number).test[torch.arange(SHOWN)]
        mean = pv.sample(run, SHOWN, like={key: few[key] for key in ("x", "condition", "c", "given")}, mean=True)["x"]
        shown = torch.where(few["given"] == 1, few["c"], torch.full_like(mean, 0.4))
        found["sheet"].append(packed(torch.stack([shown, mean, few["x"]])))
    return found


CELLS = {
    "families": families,
    "spatial": spatial,
    "few-shot": few_shot,
    "gaussian-process": gaussian_process,
    "completion": completion,
}
