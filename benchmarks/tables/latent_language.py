"""Language with latents, on sentences, answers and dialogues that are drawn by rule, so that what is hidden is known.

Sentences: the share of test sentences whose compression is found word for word, c the most probable word at each step of the
guide; 5% of the training rows know theirs, or none. Answers: MAP by p(relevant) of the model alone, and log p(label) by
importance sampling. Dialogues: nats a dialogue, KL nats an utterance, and the share of test dialogues whose intent a logistic
regression reads from the mean of their utterances' z; of six intents.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

import pyrovae as pv
from benchmarks.lab import markdown
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row, finished
from benchmarks.studies.defaults import Deadline
from pyrovae.core.inference import inference
from pyrovae.evaluation import mean_average_precision, relevance
from pyrovae.objectives import Given

__all__ = ["ENTRY"]

SHARE = 0.05  # of the compressions that are known
LABELLED = 0.25  # of a batch
BASE = {"name": "nvil", "num_particles": 1}
KNOWN = {"name": "semisupervised", "site": "c", "y": "sampled", "alpha": 1.0, "base": BASE}
SENTENCES: dict[str, tuple[str, Any, bool]] = {  # recipe, objective, whether some compressions are known
    "asc": ("asc", BASE, False),
    "asc, 5% known": ("asc", KNOWN, True),
    "fsc, 5% known": ("fsc", KNOWN, True),
}
ANSWERS = {"nasm": True, "nasm, no latent": False}
DIALOGUES: dict[str, tuple[bool, float]] = {  # whether there is a latent, word dropout
    "vhred": (True, 0.5),
    "hred, 25% hidden": (False, 0.25),
    "hred": (False, 0.0),
}
SYSTEMS = (*SENTENCES, *ANSWERS, *DIALOGUES)
SIZES = {"embedding_dim": 48, "recurrent_dim": 64}
STAGE_EPOCHS, WARMUP_EPOCHS, PATIENCE = 5, 12, 8


def few(data: pv.data.Data, rows: int | None) -> pv.data.Data:
    """The data, or so many rows of each part."""
    if rows is None:
        return data
    parts = {name: part.subset(torch.arange(min(rows, len(part)))) for name, part in data.parts().items()}
    return replace(data, **parts)


def settings(seed: int, options: argparse.Namespace, batch_size: int, lr: float) -> dict[str, Any]:
    """What all fits share."""
    ends = {"epochs": options.epochs, "callbacks": [Deadline(options.seconds)], "progress": False, "compile": False}
    return {"batch_size": batch_size, "lr": lr, "seed": seed, **ends}


def sentences(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train the language model, then the pair; compress the test sentences."""
    recipe, objective, known = SENTENCES[name]
    data = few(pv.data.load("grammar-sentences"), options.rows)
    if known:
        data = pv.data.few_labels(data, num_labels=max(1, int(SHARE * len(data.train))), keys=["c"], share=LABELLED, seed=seed)
    how = {**settings(seed, options, 64, 3e-3), "validate": False}
    stage = {"epochs": min(STAGE_EPOCHS, options.epochs), "objective": "elbo"}
    build = functools.partial(pv.pairs.get(recipe).build, **SIZES)
    run = finished(pv.fit_stages(build, data, objective=objective, stage_options=stage, **how))
    test = data.test[:]
    right = pv.encode(run, {"x": test["x"]})["c"] == test["c"]
    evidence = pv.log_evidence(run, data.test, num_samples=options.samples, seed=seed)
    found = {"exact": float(right.all(1).float().mean()), "words": float(right.float().mean())}
    return {"epochs": len(run.records), **found, "elbo": float(evidence.elbo.mean()), "log_p": float(evidence.value.mean())}


def answers(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train to tell relevant answers; rank those of the test questions."""
    data = few(pv.data.load("grammar-answers"), options.rows)
    torch.manual_seed(seed)
    pair = pv.pairs.nasm(data.spec, latent=ANSWERS[name])
    run = finished(pv.fit(pair, data, "elbo", patience=PATIENCE, **settings(seed, options, 50, 3e-3)))
    test = data.test[:]
    torch.manual_seed(seed)
    scores = relevance(run, data.test, options.samples)
    evidence = pv.log_evidence(run, data.test, num_samples=options.samples, seed=seed)
    ranked = mean_average_precision(scores, test["x"], test["group"])
    return {
        "epochs": len(run.records),
        "map": ranked,
        "elbo": float(evidence.elbo.mean()),
        "log_p": float(evidence.value.mean()),
    }


def dialogues(name: str, seed: int, options: argparse.Namespace) -> Row:
    """Train on dialogues, with a latent an utterance or without."""
    latent, hidden = DIALOGUES[name]
    data = few(pv.data.load("grammar-dialogues"), options.rows)
    torch.manual_seed(seed)
    own = {"latent_dim": 6} if latent else {"latent": False}
    pair = pv.pairs.vhred(data.spec, word_dropout=hidden, embedding_dim=32, recurrent_dim=48, **own)
    warmup = {"kl_warmup": min(WARMUP_EPOCHS, options.epochs)} if latent else {}
    how = {"patience": PATIENCE + WARMUP_EPOCHS, **warmup, **settings(seed, options, 25, 4e-3)}
    run = finished(pv.fit(pair, data, "meanfield" if latent else "elbo", **how))
    method = {"method": "importance", "num_samples": options.samples, "seed": seed} if latent else {"method": "exact"}
    evidence = pv.log_evidence(run, data.test, **method)
    found = {"epochs": len(run.records), "best_epoch": run.best_epoch, "log_p": float(evidence.value.mean())}
    if not latent:
        return found
    codes = {part: summaries(run, split) for part, split in (("train", data.train), ("test", data.test))}
    reader = LogisticRegression(max_iter=2000).fit(codes["train"], data.train[:]["y"])
    intent = float(reader.score(codes["test"], data.test[:]["y"]))
    return {**found, "elbo": float(evidence.elbo.mean()), "kl": kl_an_utterance(run, data.test), "intent": intent}


def summaries(run: pv.Run, split: pv.data.Split) -> Any:
    """The mean of E[z_n | x] over the utterances of each dialogue, (N, d)."""
    batch = split[:]
    z = torch.stack([pv.encode(run, split)[f"z_{n}"] for n in range(1, batch["x"].shape[1] + 1)], 1)
    here = (torch.arange(z.shape[1]) < batch["lengths"].unsqueeze(1)).unsqueeze(-1)
    return ((z * here).sum(1) / here.sum(1)).numpy()


def kl_an_utterance(run: pv.Run, split: pv.data.Split) -> float:
    """KL(q || p) of all utterances over their number, in nats."""
    batch: dict[str, Tensor] = split[:]
    with inference(run.pair):
        traced = pv.objectives.get("meanfield").trace(Given(run.pair.model, run.pair.guide, [batch]))
        return float(traced.site_kl("z").sum() / batch["lengths"].sum())


def run(job: Job) -> None:
    """Each system and seed."""
    options = job.options
    shared = {name: getattr(options, name) for name in ("seconds", "epochs", "samples", "rows")}
    for name in options.systems:
        make = sentences if name in SENTENCES else answers if name in ANSWERS else dialogues
        for seed in options.seeds:
            job.records.cell({"system": name, "seed": seed, **shared}, functools.partial(make, name, seed, options))


HEADS = {
    "sentences": ["exact", "words", "elbo", "log_p"],
    "answers": ["map", "elbo", "log_p"],
    "dialogues": ["best_epoch", "elbo", "log_p", "kl", "intent"],
}
SAID = {
    "exact": "compressions word for word",
    "words": "words",
    "elbo": "ELBO",
    "log_p": "log p(x)",
    "map": "MAP",
    "best_epoch": "best",
    "kl": "KL an utterance",
    "intent": "intents read from z",
}


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A table a task, a cell a line."""
    found = {}
    for part, names in (("sentences", SENTENCES), ("answers", ANSWERS), ("dialogues", DIALOGUES)):
        lines = [
            [row["system"], row["seed"], f"{row['seconds']:g}", row["epochs"], *(_shown(row, head) for head in HEADS[part])]
            for row in rows
            if row["system"] in names
        ]
        if lines:
            heads = ["system", "seed", "CPU s", "epochs", *(SAID[head] for head in HEADS[part])]
            found[f"latent-language {part}"] = markdown.table(heads, lines)
    return found


def _shown(row: Row, head: str) -> str:
    if head not in row:
        return "-"
    return str(row[head]) if head == "best_epoch" else f"{row[head]:.{2 if head in ('elbo', 'log_p', 'kl') else 3}f}"


SMOKE = {"seconds": 0.0, "epochs": 1, "samples": 2, "rows": 60, "systems": ["asc, 5% known", "nasm", "vhred", "hred"]}

ENTRY = Entry(
    name="latent-language",
    shows="A sentence as a latent, a latent question and a latent an utterance, on language drawn by rule.",
    budgets={
        "smoke": Spend("10 seconds", SMOKE),
        "cpu": Spend(f"{len(SYSTEMS)} cells of at most 2 minutes of one core", {}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "systems": Option("which", list(SYSTEMS), str, SYSTEMS),
        "seconds": Option("of the processor for training, after which the epoch at hand is the last", 90.0),
        "epochs": Option("at most", 100),
        "samples": Option("of importance sampling, and of the latent in the ranks of answers", 50),
        "rows": Option("of each part, at most", None, int),
    },
)
