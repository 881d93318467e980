"""Topic models of 20 Newsgroups: perplexity by both definitions, and whether a topic's first words occur together.

1,995 words, split by date. Perplexities are by the ELBO of one draw and by importance sampling, L_K, both upper bounds; beside
them stands that of word frequencies, add one. NPMI is of the ten first words of each topic on test documents. Published for
NVDM with 50 topics and another list of 2,000 words: 836, by the mean of each document's nats a word (Miao et al. 2016).
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.datasets import load_digits

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.evaluation import npmi, perplexity, top_words, unigram
from pyrovae.evaluation.topics import topics_of

__all__ = ["ENTRY"]

CELLS: dict[str, tuple[str, dict[str, Any], float, int]] = {  # recipe, its options, learning rate of Adam, batch
    "nvdm": ("nvdm", {}, 3e-4, 64),
    "lda-vae": ("lda-vae", {}, 2e-3, 200),
    "lda-vae, dirichlet": ("lda-vae", {"prior": "dirichlet"}, 2e-3, 200),
    "prod-lda": ("prod-lda", {}, 2e-3, 200),
    "prod-lda, dirichlet": ("prod-lda", {"prior": "dirichlet"}, 2e-3, 200),
}
LDA = "LDA of scikit-learn"
KINDS = ("corpus", "document")  # of perplexity
BETAS = {"betas": (0.99, 0.999)}  # of Adam, as of ProdLDA's authors
SHOWN = 6  # words of a topic in the table


def load(name: str) -> pv.data.Data:
    """The newsgroups; the grey levels of the digits as counts stand for them in a smoke run."""
    if name != "digits":
        return pv.data.load(name)
    return pv.data.load({"x": load_digits().data.astype("int64")}, kinds={"x": "count"})


def cell(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train, and evaluate on all test documents."""
    data = load(options.data)
    counts = torch.cat([batch["x"].flatten(1).sum(-1) for batch in data.test.batches(1000)])
    if name == LDA:
        return peer(data, seed, options)
    recipe, sizes, lr, batch = CELLS[name]
    torch.manual_seed(seed)
    many = {"latent_dim" if recipe == "nvdm" else "num_topics": options.topics}
    pair = pv.pairs.get(recipe).build(data.spec, **many, **sizes)
    how = {"batch_size": batch, "lr": lr, "seed": seed, "optimizer_options": BETAS, "compile": not options.eager}
    ends = {"epochs": options.epochs, "callbacks": [Deadline(options.seconds)], "progress": False, "validate": False}
    run = finished(pv.fit(pair, data, "meanfield", **how, **ends))
    evidence = pv.log_evidence(run, data.test, num_samples=options.samples, seed=seed)
    bound, estimate = perplexity(evidence.elbo, counts), perplexity(evidence, counts)
    coherence = npmi(topics_of(run.pair.model), data.test)
    words = top_words(run, SHOWN, data.spec)
    best, frequencies = int(coherence.argmax()), unigram(data.train, data.test)
    return {
        "epochs": len(run.records),
        **{f"{label}, {of}": getattr(found, of) for label, found in (("ELBO", bound), ("L_K", estimate)) for of in KINDS},
        "npmi": float(coherence.mean()),
        "words": [" ".join(words[best]), " ".join(words[0])],
        "frequencies": [getattr(frequencies, of) for of in KINDS],
    }


def peer(data: pv.data.Data, seed: int, options: argparse.Namespace) -> Row:
    """Variational LDA of scikit-learn, for its topics alone: its own perplexity is by another bound."""
    from sklearn.decomposition import LatentDirichletAllocation

    train = torch.cat([batch["x"].flatten(1) for batch in data.train.batches(1000)]).numpy()
    fitted = LatentDirichletAllocation(options.topics, learning_method="online", max_iter=options.sweeps, random_state=seed)
    weights = torch.from_numpy(fitted.fit(train).components_).float()
    coherence = npmi(weights, data.test)
    labels = data.spec.keys["x"].labels or [str(word) for word in range(weights.shape[1])]
    first = weights.topk(SHOWN, 1).indices.tolist()
    words = [" ".join(labels[word] for word in first[topic]) for topic in (int(coherence.argmax()), 0)]
    return {"epochs": options.sweeps, "npmi": float(coherence.mean()), "words": words}


def run(job: Job) -> None:
    """Each system and seed."""
    options = job.options
    shared = {name: getattr(options, name) for name in ("data", "topics", "seconds", "epochs", "samples", "sweeps")}
    for name in options.systems:
        for seed in options.seeds:
            job.records.cell({"system": name, "seed": seed, **shared}, functools.partial(cell, name, seed, options))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A cell a line, and the words of its most coherent topic."""
    kinds = [f"{label}, {of}" for of in KINDS for label in ("ELBO", "L_K")]
    lines = []
    for row in rows:
        figures = [f"{row[kind]:.0f}" if kind in row else "" for kind in kinds]
        lines.append([row["system"], row["seed"], row["epochs"], *figures, f"{row['npmi']:.3f}", row["words"][0]])
    heads = ["system", "seed", "epochs", *(f"perplexity, {kind}" for kind in kinds), "NPMI", "most coherent topic"]
    return {"topics": markdown.table(heads, lines)}


SMOKE = {"data": "digits", "topics": 3, "seconds": 0.0, "epochs": 1, "samples": 2, "sweeps": 1, "eager": True}

ENTRY = Entry(
    name="topics",
    shows="Topic models of 20 Newsgroups by both perplexities and by the coherence of their topics.",
    budgets={
        "smoke": Spend("3 seconds", {**SMOKE, "systems": ["nvdm", LDA]}),
        "cpu": Spend("6 cells of 3 minutes of one core", {}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "systems": Option("which", [*CELLS, LDA], str, (*CELLS, LDA)),
        "data": Option("a named data set", "20news"),
        "topics": Option("how many", 50),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 100.0),
        "epochs": Option("at most", 60),
        "samples": Option("of importance sampling", 100),
        "sweeps": Option("over the data, of the LDA", 10),
        "eager": Option("compile nothing", False),
    },
)
