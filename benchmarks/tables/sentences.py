"""Sentence VAEs beside the same decoders without a latent: captions, newspapers, and how far back a decoder sees.

All figures are of test sentences, their ends scored and counted: nats a sentence (a window of 60 characters of plays), and
perplexity a word, exp of all nats by all words. log p(x) is the importance-weighted bound of K draws, exact without a
latent. KL and mutual information are of all test sentences, in nats each.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from matplotlib.figure import Figure

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.data.grammars import sentence_rows, sentence_words
from pyrovae.evaluation import aggregate_posterior, kl_per_dim, perplexity, unigram
from pyrovae.evaluation.topics import num_words

__all__ = ["ENTRY", "of_rule", "scores", "train"]

CHUNK = 50  # sentences of like length that are scored together
SHOWN = 3
FREE = {"name": "meanfield", "free_bits": 6.0}


@dataclass(frozen=True)
class Cell:
    """A system of a table.

    Attributes:
        table: multi30k, penn-treebank or context.
        recipe: name.
        options: of the recipe.
        objective: of training.
        epochs: of the published setting, or ours.
        warmup: epochs in which the weight of the KL grows from 0.
        minutes: of the processor, at most.
    """

    table: str
    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)
    objective: Any = "meanfield"
    epochs: int = 4
    warmup: int = 0
    minutes: float = 15.0


CAPTIONS = {"embedding_dim": 100, "recurrent_dim": 128}
CHARACTERS = {"embedding_dim": 16, "recurrent_dim": 96, "channels": 64}
CONTEXTS = {1: [], 3: [1], 15: [1, 2, 4], 63: [1, 2, 4, 8, 16]}  # words before that a decoder sees: its dilations

CELLS: dict[str, Cell] = {
    "captions, LSTM": Cell("multi30k", "sentence-vae", {**CAPTIONS, "latent": False}),
    "captions, sentence-vae": Cell("multi30k", "sentence-vae", {**CAPTIONS, "latent_dim": 32}, FREE, warmup=1),
    "newspapers, LSTM": Cell("penn-treebank", "sentence-vae", {"latent": False}, minutes=70.0),
    "newspapers, sentence-vae": Cell("penn-treebank", "sentence-vae", {}, FREE, warmup=1, minutes=70.0),
    **{
        f"plays, {words} before, {'VAE' if latent else 'no latent'}": Cell(
            "context",
            "dilated-text-vae",
            {**CHARACTERS, "dilations": dilations, **({"latent_dim": 32} if latent else {"latent": False})},
            epochs=15,
            warmup=3 if latent else 0,
        )
        for words, dilations in CONTEXTS.items()
        for latent in (True, False)
    },
    "plays, hybrid-text-vae": Cell(
        "context",
        "hybrid-text-vae",
        {"latent_dim": 32, "embedding_dim": 16, "recurrent_dim": 128, "channels": 64},
        {"name": "auxiliary", "weight": 0.2},
        epochs=15,
        warmup=3,
    ),
}
DATA = {"multi30k": "multi30k", "penn-treebank": "penn-treebank", "context": "tiny-shakespeare"}


# ------------------------------------------------------------------------------------------------ data
def of_rule(num: int) -> pv.data.Data:
    """Sentences by rule as lines, for a smoke test that has no file."""
    words = sentence_words()
    lines = [" ".join(words[word] for word in row if word) for row in sentence_rows(num)["x"]]
    return pv.data.as_data({"x": lines}, kinds={"x": "tokens"})


@functools.cache
def loaded(name: str, rows: int | None) -> pv.data.Data:
    """A named set, its training batches of like length; sentences by rule where only so many rows are asked for."""
    data = pv.data.load(name) if rows is None else of_rule(rows)
    return pv.data.like_length(data)


# ------------------------------------------------------------------------------------------------ a cell
def train(data: pv.data.Data, cell: Cell, seed: int, seconds: float, epochs: int) -> pv.Run:
    """Train a system, the best of its epochs kept."""
    torch.manual_seed(seed)
    pair = pv.pairs.get(cell.recipe).build(data.spec, **cell.options)
    warmup = {"kl_warmup": min(cell.warmup, epochs)} if cell.warmup else {}
    how = {"batch_size": 32, "lr": 2e-3, "seed": seed, "clip_norm": 5.0, "progress": False, "compile": False, **warmup}
    return finished(pv.fit(pair, data, cell.objective, epochs=epochs, callbacks=[Deadline(seconds)], **how))


def scores(run: pv.Run, test: pv.data.Split, num_samples: int, seed: int) -> Row:
    """log p(x) and ELBO in nats a sentence, and perplexities, of sentences cut to their own length, a few at a time."""
    lengths = num_words(test)
    values, elbos = torch.zeros(len(test), dtype=torch.double), torch.zeros(len(test), dtype=torch.double)
    for number, rows in enumerate(lengths.argsort().split(CHUNK)):
        x = test[rows]["x"][:, : int(lengths[rows].max())]
        found = pv.log_evidence(run, {"x": x}, num_samples=num_samples, batch_size=CHUNK, seed=seed + number)
        values[rows], elbos[rows] = found.value.double(), found.elbo.double()
    total = int(lengths.sum())
    error = float(elbos.std() / len(elbos) ** 0.5)
    return {
        "sentences": len(test),
        "words": total,
        "elbo": float(elbos.mean()),
        "elbo_error": error,
        "log_p": float(values.mean()),
        "perplexity_elbo": perplexity(elbos, lengths).corpus,
        "perplexity": perplexity(values, lengths).corpus,
        "unigram": unigram(run.data.train, test).corpus,
    }


def has_latent(run: pv.Run) -> bool:
    """Whether the pair has a latent."""
    return bool(run.config["pair"]["options"].get("latent", True))


def latents(run: pv.Run, test: pv.data.Split, seed: int) -> Row:
    """KL and mutual information of all test sentences."""
    if not has_latent(run):
        return {}
    torch.manual_seed(seed)
    with torch.no_grad():
        kl = kl_per_dim(run, test)["z"].total
    found = aggregate_posterior(run, test, num_samples=4, seed=seed)
    return {"kl": float(kl), "mutual_information": found.mutual_information.mean}


def said(run: pv.Run, test: pv.data.Split, seed: int) -> Row:
    """Sentences drawn, rebuilt, and between two."""
    torch.manual_seed(seed)
    spec = run.data.spec
    text = functools.partial(pv.data.as_text, spec=spec)
    found: Row = {"samples": text(pv.sample(run, SHOWN)["x"])}
    if not has_latent(run):
        return found
    rows = test[:SHOWN]
    pairs = zip(text(rows["x"]), text(pv.reconstruct(run, rows)), strict=True)
    between = pv.interpolate(run, test[:1], test[1:2], 5)
    return {**found, "reconstructions": [list(each) for each in pairs], "interpolation": text(between)}


def measured(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train a cell and score the test sentences, or a seeded random part of them."""
    cell = CELLS[name]
    data = loaded(DATA[cell.table], options.rows)
    seconds = 60 * cell.minutes if options.seconds is None else options.seconds
    began = time.process_time()
    run = train(data, cell, seed, seconds, min(cell.epochs, options.epochs or cell.epochs))
    spent = time.process_time() - began
    assert isinstance(data.test, pv.data.Split)
    chosen = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(seed))[: options.sentences]
    test = data.test.subset(chosen)
    found = {"epochs": len(run.records), "cpu_seconds": round(spent), **latents(run, test, seed), **said(run, test, seed)}
    return {**found, **scores(run, test, options.samples if has_latent(run) else 1, seed)}


def run(job: Job) -> None:
    """Each system and seed."""
    options = job.options
    names = ("seconds", "epochs", "samples", "sentences", "rows")
    shared = {name: value for name in names if (value := getattr(options, name)) is not None}
    for name in options.systems:
        for seed in options.seeds:
            job.records.cell({"system": name, "seed": seed, **shared}, functools.partial(measured, name, seed, options))


# ------------------------------------------------------------------------------------------------ tables
HEADS = {
    "elbo": "ELBO",
    "log_p": "log p(x)",
    "kl": "KL",
    "mutual_information": "I(x; z)",
    "perplexity_elbo": "perplexity, ELBO",
    "perplexity": "perplexity, log p(x)",
    "unigram": "of word frequencies",
}


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A table for each set of data, and what the systems say."""
    found = {}
    for part in dict.fromkeys(cell.table for cell in CELLS.values()):
        own = [row for row in rows if row["system"] in CELLS and CELLS[row["system"]].table == part]
        lines = [
            [*(row[name] for name in ("system", "seed", "epochs", "cpu_seconds"))]
            + [f"{row[name]:.2f}" if name in row else "" for name in HEADS]
            for row in own
        ]
        if lines:
            found[f"sentences {part}"] = markdown.table(["system", "seed", "epochs", "CPU s", *HEADS.values()], lines)
    if spoken := [line for row in rows for line in _spoken(row)]:
        found["sentences said"] = markdown.table(["system", "", ""], spoken)
    return found


def _spoken(row: Row) -> list[list[str]]:
    """What a system says, a line each; windows of plays, which begin and end within words, are left out."""
    if CELLS[row["system"]].table == "context":
        return []
    lines = [[row["system"], "draw", text] for text in row["samples"]]
    lines += [[row["system"], "rebuilt", f"{one} -> {other}"] for one, other in row.get("reconstructions", [])]
    return lines + [[row["system"], "between two", text] for text in row.get("interpolation", [])]


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """KL, and what the latent gains, against how far back the decoder sees."""
    by_name = {row["system"]: row for row in rows}
    points = [
        (words, by_name[f"plays, {words} before, VAE"], by_name.get(f"plays, {words} before, no latent"))
        for words in CONTEXTS
        if f"plays, {words} before, VAE" in by_name
    ]
    if len(points) < 2:
        return {}
    figure = Figure(figsize=(5, 3.2))
    axes = figure.add_subplot()
    axes.plot([words for words, _, _ in points], [vae["kl"] for _, vae, _ in points], "o-", label="KL")
    gains = [(words, vae["elbo"] - other["elbo"]) for words, vae, other in points if other is not None]
    axes.plot(*zip(*gains, strict=True), "s--", label="ELBO above the same decoder without z") if gains else None
    axes.set(xscale="log", xlabel="characters before that the decoder sees", ylabel="nats a window of 60")
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.legend(frameon=False)
    figure.tight_layout()
    return {"sentences-context": figure}


SMOKE = {
    "seconds": 0.0,
    "epochs": 1,
    "samples": 2,
    "sentences": 10,
    "rows": 60,
    "systems": ["captions, LSTM", "plays, 3 before, VAE", "plays, 63 before, VAE"],
}

ENTRY = Entry(
    name="sentences",
    shows="Sentence VAEs beside their decoders without a latent, and the KL against how far back a decoder sees.",
    budgets={
        "smoke": Spend("10 seconds", SMOKE),
        "cpu": Spend("cells of at most 15 minutes of one core, two of at most 70", {}),
    },
    run=run,
    tables=tables,
    figures=figures,
    options={
        "seeds": SEEDS,
        "systems": Option("which", list(CELLS), str, tuple(CELLS)),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", None, float),
        "epochs": Option("at most", None, int),
        "samples": Option("K of log p(x)", 100),
        "sentences": Option("of the test part, at random", 500),
        "rows": Option("so many sentences by rule, in place of the data", None, int),
    },
)
