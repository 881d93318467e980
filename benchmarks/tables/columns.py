"""Imputation of two mixed tables by table-vae, beside scikit-learn's IterativeImputer and means and modes.

A share of the values that a table has is hidden at random. Real columns are compared by the root of the mean squared error
over the column's standard deviation, classes and ordered levels by the share that is right, each averaged over columns.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas
import torch

import pyrovae as pv
from benchmarks.lab.entry import SEEDS, Entry, Job, Option, Spend
from benchmarks.lab.records import Row
from benchmarks.tables import classes

__all__ = ["ENTRY", "is_real", "made"]

METHODS = ("mean and mode", "IterativeImputer", "table-vae")
HIDDEN = 0.2  # of the values that a table has
FIT = {"objective": "iwae:num_particles=20", "lr": 3e-3, "batch_size": 100, "patience": 30}


def penguins() -> pandas.DataFrame:
    """344 penguins with gaps of their own (package palmerpenguins)."""
    from palmerpenguins import load_penguins

    frame = load_penguins()
    return frame.assign(year=pandas.Categorical(frame["year"], ordered=True))


def fair() -> pandas.DataFrame:
    """6,366 answers on marriage, without gaps (package statsmodels)."""
    from statsmodels.datasets import fair as found

    frame = found.load_pandas().data
    levels = {name: pandas.Categorical(frame[name].astype(int), ordered=True) for name in ("rate_marriage", "religious")}
    names = {name: "job " + frame[name].astype(int).astype(str) for name in ("occupation", "occupation_husb")}
    return frame.assign(**levels, **names)


def made(rows: int = 120) -> pandas.DataFrame:
    """Rows of one hidden number, which no package is needed for."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=rows)
    group = np.digitize(z + 0.3 * rng.normal(size=rows), [-0.5, 0.5])
    columns = {"a": 3 * z + rng.normal(size=rows), "b": 5 - 2 * z + rng.normal(size=rows)}
    names = np.array(["low", "fair", "high"])
    return pandas.DataFrame({**columns, "c": names[group], "d": pandas.Categorical(names[group], names, ordered=True)})


TABLES: dict[str, Callable[[], pandas.DataFrame]] = {"made": made, "penguins": penguins, "fair": fair}


def hide(frame: pandas.DataFrame, seed: int) -> tuple[pandas.DataFrame, np.ndarray]:
    """The table with values hidden, and which they are, (N, D)."""
    hidden = (np.random.default_rng(seed).random(frame.shape) < HIDDEN) & frame.notna().to_numpy()
    return frame.mask(hidden), hidden


def is_real(column: pandas.Series) -> bool:
    """Whether a column is of numbers, not of classes or ordered levels."""
    return pandas.api.types.is_numeric_dtype(column)


# ------------------------------------------------------------------------------------------------ who imputes
def by_means(gaps: pandas.DataFrame, seed: int, epochs: int) -> pandas.DataFrame:
    """The mean of a real column, else its most frequent value."""
    columns = {name: gaps[name].fillna(gaps[name].mean() if is_real(gaps[name]) else gaps[name].mode()[0]) for name in gaps}
    return pandas.DataFrame(columns)


def by_chains(gaps: pandas.DataFrame, seed: int, epochs: int) -> pandas.DataFrame:
    """scikit-learn's IterativeImputer on standardized columns, ordered levels as numbers, classes one-hot but for the first.

    With a column for every class they would sum to one, and each missing one would be told by the others' first guess.
    """
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    blocks: dict[str, pandas.DataFrame] = {}
    for name, column in gaps.items():
        if is_real(column) or getattr(column.dtype, "ordered", False):
            numbers = column if is_real(column) else column.cat.codes.where(column.notna()).astype(float)
            blocks[name] = numbers.to_frame()
        else:
            blocks[name] = pandas.get_dummies(column, dtype=float).iloc[:, 1:]
            blocks[name].loc[column.isna()] = np.nan
    whole = pandas.concat(blocks, axis=1)
    loc, scale = whole.mean(), whole.std()
    filled = IterativeImputer(max_iter=30, random_state=seed).fit_transform((whole - loc) / scale)
    table = pandas.DataFrame(filled, whole.index, whole.columns) * scale + loc
    found = {}
    for name, column in gaps.items():
        guess: Any = table[name].iloc[:, 0]
        if getattr(column.dtype, "ordered", False):
            levels = column.cat.categories
            guess = pandas.Series(levels[guess.round().clip(0, len(levels) - 1).astype(int)], gaps.index)
        elif not is_real(column):
            first = (set(column.dropna()) - set(table[name])).pop()
            guess = table[name].assign(**{first: 1 - table[name].sum(axis=1)}).idxmax(axis=1)
        found[name] = column.astype(object).where(column.notna(), guess)
    return pandas.DataFrame(found)


def by_pair(gaps: pandas.DataFrame, seed: int, epochs: int) -> pandas.DataFrame:
    """table-vae: a tenth of the rows stops its training, all are imputed."""
    valid = np.random.default_rng(seed).random(len(gaps)) < 0.1
    parts = (gaps[~valid].reset_index(drop=True), gaps[valid].reset_index(drop=True), gaps)
    data = pv.data.load(parts, missing="mask", seed=seed, transforms=["standardize"])
    torch.manual_seed(seed)
    pair = pv.pairs.table_vae(data.spec, latent_dim=5)
    run = pv.fit(pair, data, epochs=epochs, seed=seed, progress=False, compile=False, **FIT)
    return pv.impute_table(run, data.test, num_samples=500)


HOW = dict(zip(METHODS, (by_means, by_chains, by_pair), strict=True))


def cell(table: str, method: str, seed: int, epochs: int) -> dict[str, Any]:
    """One method on one table with other values hidden by each seed."""
    frame = TABLES[table]()
    gaps, hidden = hide(frame, seed)
    began = time.process_time()
    filled = HOW[method](gaps, seed, epochs)
    seconds = time.process_time() - began
    errors, right = [], []
    for i, name in enumerate(frame):
        truth, guess = frame[name][hidden[:, i]], filled[name][hidden[:, i]]
        if is_real(frame[name]):
            errors.append(float(((guess.astype(float) - truth) ** 2).mean() ** 0.5 / frame[name].std()))
        else:
            right.append(float((guess.astype(str) == truth.astype(str)).mean()))
    return {"rmse": float(np.mean(errors)), "accuracy": float(np.mean(right)), "cpu_s": round(seconds, 1)}


def run(job: Job) -> None:
    """Every method on every table, each seed; a table whose package is missing is said to be."""
    options = job.options
    for table in options.tables:
        try:
            TABLES[table]()
        except ImportError as error:
            job.say(f"{table} is missing: {error}; pip install -e '.[tables]'.")
            continue
        for method in METHODS:
            for seed in options.seeds:
                key = {"table": table, "method": method, "seed": seed, "most_epochs": options.epochs}
                job.records.cell(key, functools.partial(cell, table, method, seed, options.epochs))


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """A table of each table's methods."""
    parts = []
    for table in dict.fromkeys(row["table"] for row in rows):
        own = [row for row in rows if row["table"] == table]
        parts.append(f"{table}:\n\n" + classes.over_seeds(own, ["rmse", "accuracy", "cpu_s"]).lstrip())
    return {"table-vae": "\n\n".join(parts)}


ENTRY = Entry(
    name="table-vae",
    shows="Imputation of mixed tables by table-vae, beside scikit-learn's IterativeImputer.",
    budgets={
        "smoke": Spend("3 seconds", {"tables": ["made"], "epochs": 3}),
        "cpu": Spend("18 cells of at most 5 minutes", {"seeds": [0, 1, 2]}),
    },
    run=run,
    tables=tables,
    options={
        "seeds": SEEDS,
        "tables": Option("names", ["penguins", "fair"], None, tuple(TABLES)),
        "epochs": Option("of training, at most", 300),
    },
)
