"""Parts of a call given a bad value: recipes, objectives, schedules, callbacks, pairs, data of all kinds."""

from __future__ import annotations

import gzip
import math
import os

import numpy as np
import pandas
import pytest
import torch
from tiny_pairs import ROWS, digits

import pyrovae as pv
from pyrovae.errors import PyrovaeError
from pyrovae.objectives import OBJECTIVES

X = torch.zeros(6, 8, 8)
NAN = math.nan


def refused(call, *words):
    with pytest.raises(PyrovaeError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and any(word in message for word in words), message


# ------------------------------------------------------------------------------------------------ recipes
RECIPES = {name: (form, options) for name, form, options in reversed(ROWS)}
NUMBERS = {"zero": 0, "negative": -1, "NaN": NAN, "infinite": math.inf, "text": "nope", "list": ["nope"]}


def numeric_options():
    for name, (form, options) in RECIPES.items():
        for option, value in options.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield name, form, option


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_refuses_an_unknown_option_and_data_that_are_none(name):
    form, options = RECIPES[name]
    build = pv.pairs.get(name).build
    refused(lambda: build(digits(form).spec, **{**options, "latent_dimm": 2}), "latent_dimm")
    for other in (None, 3, digits(form), "digits"):
        refused(lambda other=other: build(other, **options), "spec", "description")


@pytest.mark.parametrize(("name", "form", "option"), list(numeric_options()))
def test_a_recipe_refuses_a_bad_number(name, form, option):
    for kind, bad in NUMBERS.items():
        if (kind, option) == ("zero", "word_dropout"):  # which hides none
            continue
        refused(lambda bad=bad: pv.pairs.get(name).build(digits(form).spec, **{**RECIPES[name][1], option: bad}), option)


# ------------------------------------------------------------------------------------------------ objectives
MAY_BE_NEGATIVE = (("renyi", "alpha"), ("info-vae", "alpha"), ("constrained", "distortion"))


def objective_options():
    for name in OBJECTIVES:
        for option, parameter in OBJECTIVES.options(name).items():
            if isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool):
                kinds = []
                for kind in NUMBERS:
                    zero_is_right = kind == "zero" and option not in ("num_particles", "hidden", "depth", "num_groups")
                    if not zero_is_right and not ((name, option) in MAY_BE_NEGATIVE and kind == "negative"):
                        kinds.append(kind)
                yield name, option, kinds


@pytest.mark.parametrize(("name", "option", "kinds"), list(objective_options()))
def test_an_objective_refuses_a_bad_number(name, option, kinds):
    for kind in kinds:
        refused(lambda kind=kind: pv.objectives.get(name, **{option: NUMBERS[kind]}), option)


BAD_OBJECTIVES = {
    "an unknown name": ("elbow", "elbo"),
    "an unknown option": ("elbo:bta=1", "beta"),
    "no value": ("elbo:beta", "beta"),
    "two options in one": ("elbo:beta=1=2", "beta"),
    "an empty text": ("", "objective"),
    "NaN": ("elbo:beta=nan", "beta"),
    "a mapping without a name": ({"beta": 1}, "name"),
    "a number": (3, "objective"),
    "a base that is none": ("contraction:base=iwae", "base"),
    "an option of the base": ("semisupervised:base.bta=1", "bta"),
}


@pytest.mark.parametrize("kind", BAD_OBJECTIVES)
def test_an_objective_that_is_none_is_refused(kind):
    given, word = BAD_OBJECTIVES[kind]
    refused(lambda: pv.objectives.get(given), word)


# ------------------------------------------------------------------------------------------------ fits
def fit(**options):
    data = digits("digits")
    torch.manual_seed(0)
    pair = pv.pairs.vae(data.spec, latent_dim=2, hidden=[4])
    return pv.fit(pair, data, **{"steps": 1, "progress": False, **options})


BAD_FITS = {
    "a schedule of nothing": ({"schedule": {"bta": 1.0}}, "bta"),
    "a schedule without a form": ({"schedule": {"beta": "linea:start=0,end=1,epochs=2"}}, "linea"),
    "a schedule's unknown option": ({"schedule": {"beta": "linear:strt=0,end=1,epochs=2"}}, "strt"),
    "a schedule of NaN": ({"schedule": {"beta": NAN}}, "beta"),
    "a schedule below zero": ({"schedule": {"beta": -1.0}}, "beta"),
    "a schedule of no length": ({"schedule": {"beta": "linear:start=0,end=1,epochs=0"}}, "epochs"),
    "a class of callbacks": ({"callbacks": [pv.train.Callback]}, "callbacks"),
    "an optimizer's unknown option": ({"optimizer_options": {"betass": (0.9, 0.99)}}, "betass"),
    "an update that is none": ({"optimizers": {"pear": {"lr": 1.0}}}, "pear"),
    "a scheduler that is none": ({"scheduler": "OneCycleLRR"}, "OneCycleLRR"),
    "a scheduler's unknown option": ({"scheduler": "StepLR", "scheduler_options": {"step": 1}}, "step"),
    "an interval that is none": ({"scheduler": "StepLR", "scheduler_interval": "hour"}, "scheduler_interval"),
    "warmup without end": ({"kl_warmup": math.inf}, "kl_warmup"),
    "clipping at NaN": ({"clip_norm": NAN}, "clip_norm"),
    "a batch of none": ({"batch_size": 0}, "batch_size"),
    "patience without data": ({"patience": 2, "validate": False}, "patience"),
    "a device that is none": ({"device": "gpu7"}, "gpu7"),
    "a precision that is none": ({"precision": "float8"}, "precision"),
    "a seed below zero": ({"seed": -1}, "seed"),
    "a seed beyond 2^63": ({"seed": 2**70}, "seed"),
    "warmup of what has no KL": ({"objective": "iwae", "kl_warmup": 2}, "kl_warmup"),
}


@pytest.mark.parametrize("kind", BAD_FITS)
def test_a_bad_setting_is_refused_before_anything_is_written(kind, tmp_path):
    options, word = BAD_FITS[kind]
    refused(lambda: fit(**options, out=tmp_path / "run"), word)
    assert not (tmp_path / "run").exists()


def test_a_misspelt_hook_is_refused():
    def misspell():
        class Misspelt(pv.train.Callback):
            def on_epoch_ends(self, run, metrics):
                """Never called."""

    refused(misspell, "did you mean 'on_epoch_end'")


# ------------------------------------------------------------------------------------------------ pairs
def model(x):
    """Not run."""


BAD_PAIRS = {
    "sites of no text": (lambda: pv.Pair(model, model, sites={1: "x"}), "sites"),
    "sites as a list": (lambda: pv.Pair(model, model, sites=["x"]), "sites"),
    "a number for a model": (lambda: pv.Pair(3, model), "model"),
    "a number for a guide": (lambda: pv.Pair(model, 3), "guide"),
    "an objective that is none": (lambda: pv.fit(pv.Pair(model, model, "elbow"), X, steps=1), "elbow"),
}


@pytest.mark.parametrize("kind", BAD_PAIRS)
def test_a_pair_that_is_none_is_refused(kind):
    refused(*BAD_PAIRS[kind])


# ------------------------------------------------------------------------------------------------ data
def write(path, kind):
    if kind == "an empty npz" or kind == "an empty csv":
        path.write_bytes(b"")
    elif kind == "text in npz":
        path.write_text("x,y\n1,2\n")
    elif kind == "a cut npz":
        np.savez(path, x=np.zeros((50, 3)))
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "an npz of objects":
        np.savez(path, x=np.array([{}, 1], dtype=object))
    elif kind == "an npz of texts":
        np.savez(path, x=np.array(["a", "b"]))
    elif kind == "a scalar npy":
        np.save(path, np.array(3.0))
    elif kind == "complex npy":
        np.save(path, np.zeros((9, 2), dtype=complex))
    elif kind == "no rows npy":
        np.save(path, np.zeros((0, 2)))
    elif kind == "a header alone csv":
        path.write_text("a,b\n")
    elif kind == "ragged csv":
        path.write_text("a,b\n1,2\n1,2,3\n")
    elif kind == "binary csv":
        path.write_bytes(bytes(range(256)))
    elif kind == "text for parquet":
        path.write_text("no parquet")
    elif kind == "gzip of nothing":
        path.write_bytes(gzip.compress(b""))
    elif kind == "an unknown ending":
        path.write_text("1 2 3")
    elif kind == "a fifo":
        os.mkfifo(path)
    elif kind == "an empty folder":
        path.mkdir()
    elif kind == "a folder of texts":
        path.mkdir()
        (path / "a.txt").write_text("a")
    elif kind == "a folder of broken images":
        (path / "cat").mkdir(parents=True)
        (path / "cat" / "a.png").write_bytes(b"no image")


FILES = {
    "an empty npz": "a.npz",
    "text in npz": "a.npz",
    "a cut npz": "a.npz",
    "an npz of objects": "a.npz",
    "an npz of texts": "a.npz",
    "a scalar npy": "a.npy",
    "complex npy": "a.npy",
    "no rows npy": "a.npy",
    "an empty csv": "a.csv",
    "a header alone csv": "a.csv",
    "ragged csv": "a.csv",
    "binary csv": "a.csv",
    "text for parquet": "a.parquet",
    "gzip of nothing": "a.csv.gz",
    "an unknown ending": "a.qqq",
    "a fifo": "a.npz",
    "an empty folder": "folder",
    "a folder of texts": "folder",
    "a folder of broken images": "folder",
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_holds_no_data_is_refused(kind, tmp_path):
    path = tmp_path / FILES[kind]
    write(path, kind)
    refused(lambda: pv.data.load(path), path.name)


BAD_DATA = {
    "a frame of no rows": (lambda: pv.data.load(pandas.DataFrame({"a": []})), "row"),
    "a frame of objects": (lambda: pv.data.load(pandas.DataFrame({"a": [[1], {}] * 5})), "'a'"),
    "columns that are not there": (lambda: pv.data.load(pandas.DataFrame({"a": range(9)}), columns={"x": ["b"]}), "'b'"),
    "a kind that is none": (lambda: pv.data.load({"x": X}, kinds={"x": "counts"}), "counts"),
    "a kind of no key": (lambda: pv.data.load({"x": X}, kinds={"q": "count"}), "'q'"),
    "counts that are halves": (lambda: pv.data.load({"x": X + 0.5}, kinds={"x": "count"}), "x"),
    "rows that differ": (lambda: pv.data.load({"x": X, "y": torch.zeros(5)}), "y", "rows"),
    "a scalar entry": (lambda: pv.data.load({"x": torch.tensor(3.0)}), "x"),
    "an infinite value": (lambda: pv.data.load({"x": X + math.inf}), "x"),
    "four parts": (lambda: pv.data.load((X, X, X, X)), "part", "train"),
    "parts of two shapes": (lambda: pv.data.load((X, X[:, :3])), "shape", "x"),
    "a transform that is none": (lambda: pv.data.load("digits", transforms=["quadrant:given=1"]), "quadrant"),
    "a transform's bad value": (lambda: pv.data.load("digits", transforms=["missing:rate=nan"]), "rate"),
    "a transform's rate above one": (lambda: pv.data.load("digits", transforms=["missing:rate=2"]), "rate"),
    "few labels beyond the data": (lambda: pv.data.load("digits", transforms=["few-labels:num_labels=99999"]), "num_labels"),
    "a binarization of no images": (lambda: pv.data.load({"x": torch.randn(9, 3)}, binarization="dynamic"), "binarization"),
    "a folder as root": (lambda: pv.data.load("mnist", root="no/such/folder"), "no/such/folder"),
    "masks that are no masks": (lambda: pv.data.load({"x": X, "mask": X + 3}, missing="mask"), "mask"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_data_that_are_none_are_refused(kind):
    refused(*BAD_DATA[kind])
