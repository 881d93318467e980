"""Cells of ``groups`` about data that know of one another: associative compression, factorized tables."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

import pyrovae as pv
from benchmarks.lab.records import Row
from benchmarks.tables.groups_sets import SHOWN, fit, of_images, packed
from pyrovae.data.sprite_table import NUM_TIMES, sprite_factors, sprite_pictures

__all__ = ["CELLS", "canonical_correlations", "completed"]

SIZES: dict[str, Any] = {"latent_dim": 16, "hidden": [200, 200]}
STEPS = 12  # of a chain of daydreams
RANKS = (2, 4, 8, 16, 32)


# ------------------------------------------------------------------------------------------------ associative compression
def linear_accuracy(run: pv.Run, data: pv.data.Data, num: int) -> float:
    """A linear classifier on the codes of training images, on those of test images."""
    codes = []
    for part in (data.train, data.test):
        some = part[torch.arange(min(num, len(part)))]
        codes.append((pv.encode(run, {"x": some["x"]})["z"].numpy(), some["y"].numpy()))
    scale = codes[0][0].std(0)
    classifier = LogisticRegression(max_iter=300).fit(codes[0][0] / scale, codes[0][1])
    return float(classifier.score(codes[1][0] / scale, codes[1][1]))


@torch.no_grad()
def told_cost(run: pv.Run, x: Tensor, num_draws: int = 5) -> float:
    """E_c[KL(q(z | x) || p(z | c))] - E_q[log p(x | z)] of new data, nats; the paper's cost, no bound."""
    model, guide = run.pair.model, run.pair.guide
    total, row = 0.0, torch.full((len(x),), -1)
    near = model.prior.near(x, row)
    for _ in range(num_draws):
        code = torch.distributions.Normal(guide.encoder(x), guide.scale)
        z = code.sample()
        fit = model.likelihood(model.decoder(z)).log_prob(x)
        total += float((code.log_prob(z).sum(-1) + near.cost(z) - fit).mean()) / num_draws
    return total


@torch.no_grad()
def daydream(run: pv.Run, x: Tensor) -> Tensor:
    """Chains of images, (steps, B, *shape): of the code of one a draw of p(z | c), its image, whose code is the next."""
    model, guide, shown = run.pair.model, run.pair.guide, [x]
    for _ in range(STEPS - 1):
        loc, scale = model.prior.given(guide.encoder(shown[-1]))
        shown.append(model.likelihood(model.decoder(loc + scale * torch.randn_like(loc))).mean)
    return torch.stack(shown)


def acn(decoder: str, seed: int, options: argparse.Namespace) -> Row:
    """An associative compression network, by its cost and by the bound on log p(x)."""
    data = pv.data.load(of_images(options), transforms=["row-numbers"])
    more = {"decoder": decoder, **({"channels": 4 if options.tiny else 16} if decoder == "convolution" else {})}
    run = fit("acn", data, options, seed, 100, **SIZES, **more)
    x = data.test[torch.arange(20 if options.tiny else options.num)]
    evidence = pv.log_evidence(run, x, num_samples=5 if options.tiny else 10, batch_size=100, seed=seed)
    found = {
        "epochs": len(run.records),
        "cost": told_cost(run, x["x"]),
        "elbo": float(evidence.elbo.mean()),
        "log_p": evidence.mean,
        "stderr": evidence.mean_stderr,
        "log_n": float(np.log(len(data.train))),
        "linear": linear_accuracy(run, data, options.codes),
    }
    if decoder == "mlp":
        found["daydreams"] = packed(daydream(run, data.test[torch.arange(SHOWN)]["x"]))
        found["side"] = data.spec.shape[0]
    return found


def vae(seed: int, options: argparse.Namespace) -> Row:
    """A VAE of the same encoder and decoder, in the same time."""
    data = pv.data.load(of_images(options))
    run = fit("vae", data, options, seed, 100, **SIZES)
    x = data.test[torch.arange(20 if options.tiny else options.num)]
    evidence = pv.log_evidence(run, x, num_samples=5 if options.tiny else 10, seed=seed)
    return {"epochs": len(run.records), "elbo": float(evidence.elbo.mean()), "log_p": evidence.mean,
            "stderr": evidence.mean_stderr, "linear": linear_accuracy(run, data, options.codes)}  # fmt: skip


# ------------------------------------------------------------------------------------------------ tables
def canonical_correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Canonical correlations of two sets of columns, (N, p) and (N, q), the largest first, min(p, q) of them.

    >>> canonical_correlations(np.eye(5)[:, :2], np.eye(5)[:, :2] @ [[1.0, 2.0], [0.0, 3.0]]).round(6)
    array([1., 1.])
    """
    bases = [np.linalg.qr(each - each.mean(0))[0] for each in (one, other)]
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).clip(0, 1)


def completed(table: np.ndarray, seen: np.ndarray, rank: int, sweeps: int = 100) -> np.ndarray:
    """A table (R, T, d) with its unseen entries as a matrix (R, T d) of that rank has them, by so many sweeps of SVD.

    >>> u, v = np.arange(1.0, 4.0)[:, None, None], np.arange(1.0, 3.0)[:, None]
    >>> seen = np.array([[True, True], [True, True], [True, False]])
    >>> float(completed(u * v * seen[..., None], seen, 1)[2, 1, 0].round(3))
    6.0
    """
    flat, known = table.reshape(len(table), -1), np.repeat(seen, table.shape[2], 1)
    mean = (flat * known).sum(0) / known.sum(0).clip(1)
    filled = np.where(known, flat, mean)
    for _ in range(sweeps):
        left, s, right = np.linalg.svd(filled, full_matrices=False)
        filled = np.where(known, flat, (left[:, :rank] * s[:rank]) @ right[:rank])
    return ((left[:, :rank] * s[:rank]) @ right[:rank]).reshape(table.shape)


def sprite_table(options: argparse.Namespace) -> pv.data.Data:
    """The table of pictures, or in a smoke run a small one."""
    if not options.tiny:
        return pv.data.load("sprite-table")
    style, time = sprite_factors(12, 12)
    row, column = np.divmod(np.random.default_rng(0).permutation(144), 12)
    x, parts = sprite_pictures(style[row], time[column]), (slice(0, 90), slice(90, 100), slice(100, None))
    kinds = {"row": "category:12", "column": "category:12", "x": "levels:256"}
    return pv.data.load(tuple({"x": x[p], "row": row[p], "column": column[p]} for p in parts), kinds=kinds)


@torch.no_grad()
def errors(run: pv.Run, codes: Tensor, split: Any) -> tuple[float, Tensor]:
    """Mean squared error of the pictures of codes of entries, (N, d), and the first of them."""
    model, x, total = run.pair.model, split["x"], 0.0
    for some, true in zip(codes.split(2000), x.split(2000), strict=True):
        total += float((model.likelihood(model.decoder(some)).mean - true).square().sum())
    return total / x.numel(), model.likelihood(model.decoder(codes[:SHOWN])).mean


def fvae(seed: int, options: argparse.Namespace) -> Row:
    """A factorized VAE of a table beside a VAE of its entries whose codes are completed by SVD: error on missing pictures."""
    data = sprite_table(options)
    test, sizes = data.test, {"latent_dim": 16, "hidden": [200, 200]}
    run = fit("fvae", data, options, seed, 100, **sizes)
    model = run.pair.model
    style, time = sprite_factors(*([12, 12] if options.tiny else [len(model.rows), NUM_TIMES]))
    rows, columns = (each.detach().numpy() for each in (model.rows, model.columns))
    error, pictures = errors(run, model.expected(test["row"], test["column"]).detach(), test)
    plain = fit("vae", data, options, seed, 100, **sizes)
    codes = pv.encode(plain, {"x": data.train["x"]})["z"].numpy()
    table, seen = np.zeros((len(rows), len(columns), codes.shape[1])), np.zeros((len(rows), len(columns)), bool)
    at = data.train["row"].numpy(), data.train["column"].numpy()
    table[at], seen[at] = codes, True
    tried = []
    for rank in RANKS if not options.tiny else (2,):
        whole = torch.from_numpy(completed(table, seen, rank)).float()
        held, hidden = ((errors(plain, whole[part["row"], part["column"]], part)) for part in (data.valid, test))
        tried.append([held[0], rank, hidden])
    _, rank, (other, svd) = min(tried, key=lambda each: each[0])
    mean = data.train["x"].mean(0)
    return {
        "epochs": [len(run.records), len(plain.records)],
        "rows": canonical_correlations(rows, style).tolist(),
        "columns": canonical_correlations(columns, time).tolist(),
        "error": error,
        "error of SVD": other,
        "rank": rank,
        "error of the mean": float((test["x"] - mean).square().mean()),
        "pictures": packed(torch.stack([test[:SHOWN]["x"], pictures, svd])),
    }


CELLS = {
    "acn, mlp": lambda seed, options: acn("mlp", seed, options),
    "acn, convolution": lambda seed, options: acn("convolution", seed, options),
    "vae": vae,
    "fvae": fvae,
}
