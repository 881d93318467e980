"""Every tiny configuration of the recipes, on the digits."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import torch

import pyrovae as pv
from pyrovae.data.grammars import answer_rows, dialogue_rows, sentence_rows, sentence_words
from pyrovae.pairs.catalogue import CATALOGUE
from pyrovae.pairs.tiny import FORMS


def rows_of(recipes):
    """Name, form of the digits and options of every tiny configuration."""
    return [(each.name, row.form, dict(row.options)) for each in recipes for row in each.tiny]


ROWS = rows_of(CATALOGUE.values())


def few_compressions():
    """Sentences by rule, most of them without their compressions."""
    rows = sentence_rows(200)
    rows["c"][::4] = -1
    return rows


GRAMMARS = {"sentences": few_compressions, "answers": lambda: answer_rows(30), "dialogues": lambda: dialogue_rows(100)}


@functools.cache
def file_of(form):
    """The data's name, or a file of them: the digits' 17 levels as rows of counts, a table of four columns with gaps."""
    folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
    if form == "counts":
        x = pv.data.load("digits", binarization="none").train[:200]["x"].flatten(1)
        np.save(folder / "counts.npy", (16 * x).round().int().numpy())
        return folder / "counts.npy"
    if form == "table":
        pet = rng.integers(0, 3, 200)
        columns = {"height": rng.normal(170 + 10 * pet, 5), "visits": rng.poisson(2 + 3 * pet), "share": rng.beta(1 + pet, 2)}
        table = pandas.DataFrame({**columns, "pet": np.array(["cat", "dog", "owl"])[pet]})
        table.mask(rng.random(table.shape) < 0.1).to_csv(folder / "table.csv", index=False)
        return folder / "table.csv"
    if form == "lines":
        rows, words = sentence_rows(200)["c"], sentence_words()
        (folder / "lines.txt").write_text("".join(" ".join(words[word] for word in row if word) + "\n" for row in rows))
        return folder / "lines.txt"
    if form in GRAMMARS:
        np.savez(folder / f"{form}.npz", **GRAMMARS[form]())
        return folder / f"{form}.npz"
    if form in ("varying", "entries"):  # a block by its place and its size
        row, column, size = (each.ravel() for each in np.meshgrid(np.arange(5), np.arange(5), np.arange(3), indexing="ij"))
        at = np.arange(8)
        inside = [(at >= each[:, None]) & (at <= each[:, None] + 1 + size[:, None]) for each in (row, column)]
        x = (inside[0][:, :, None] & inside[1][:, None, :]).astype(np.uint8)
        np.savez(folder / "blocks.npz", x=x, row=row, column=column, size=size)
        return folder / "blocks.npz"
    return "digits"


@functools.cache
def digits(form):
    """The digits, or other data, in a form, with 30 to test."""
    data = pv.data.load(file_of(form), **FORMS[form])
    return replace(data, test=data.test.subset(torch.arange(min(30, len(data.test)))))


def build(name, data, options):
    data = digits(data)
    torch.manual_seed(0)
    return pv.pairs.get(name).build(data.spec, **options), data
