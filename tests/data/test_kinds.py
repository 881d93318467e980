"""What each key is taken for, in every container; what is said of it, and what is refused."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest
import torch
from data_sets import one_sentence
from torch.utils.data import DataLoader, TensorDataset

from pyrovae.data import DataSpec, KeySpec, load
from pyrovae.errors import DataError, OptionError

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(5.0, (60, 6))


def warned(caplog, call):
    """The data, and what was warned of."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="pyrovae"):
        data = call()
    return data, " ".join(record.getMessage() for record in caplog.records)


# ------------------------------------------------------------------------------------------------ integers
@pytest.mark.parametrize("largest", [15, 200, 900])
def test_counts_stay_as_they_are_whatever_the_largest_of_them(largest, caplog):
    x = np.minimum(COUNTS, largest)
    x[0, 0] = largest
    data, said = warned(caplog, lambda: load((x, x[:30])))
    assert data.spec.keys["x"] == KeySpec((6,), "count") and data.train["x"].dtype == torch.int64 and not said
    assert np.array_equal(data.train["x"].numpy(), x) and torch.equal(data.spec.mean, data.train["x"].float().mean(0))


def test_sixteen_bit_images_keep_their_scale_however_dark_they_are():
    dark = RNG.integers(0, 201, (40, 4, 4)).astype("uint16")
    assert all(load((x, x)).train["x"].max() == x.max() for x in (dark, dark * 200))


def test_bytes_are_images_by_their_shape_and_what_is_open_is_warned_of(caplog):
    images = RNG.integers(0, 256, (40, 8, 8)).astype("uint8")
    data, said = warned(caplog, lambda: load(images))
    assert data.spec.keys["x"] == KeySpec((8, 8), "levels", size=256) and not said
    flat, said = warned(caplog, lambda: load(images.reshape(40, 64)))
    assert flat.spec.kind == "levels" and "taken for images" in said and "kinds={'x': 'count'}" in said
    table, said = warned(caplog, lambda: load(images.reshape(40, 64)[:, :6]))
    assert table.spec.kind == "count" and "kinds={'x': 'levels'}" in said
    told, said = warned(caplog, lambda: load(images.reshape(40, 64)[:, :6], kinds={"x": "levels"}))
    assert told.spec.levels == 256 and told.train["x"].max() <= 1 and not said
    counted, said = warned(caplog, lambda: load(images, kinds={"x": "count"}))
    assert counted.train["x"].max() > 1 and not said


def test_channels_that_come_last_are_turned_and_said(caplog):
    images = RNG.integers(0, 256, (30, 16, 12, 3)).astype("uint8")
    data, said = warned(caplog, lambda: load((images, images)))
    assert data.spec.shape == (3, 16, 12) and "channels last" in said
    assert np.array_equal((data.train["x"] * 255).round().numpy(), images.transpose(0, 3, 1, 2))
    floats, said = warned(caplog, lambda: load((images / 255, images / 255)))
    assert floats.spec.shape == (16, 12, 3) and "looks like images with channels last" in said


def test_the_line_of_the_log_says_what_each_key_was_taken_for_and_why(caplog):
    with caplog.at_level(logging.INFO, logger="pyrovae"):
        load({"x": COUNTS, "y": np.array(["a", "b"] * 30), "lengths": np.arange(60), "seen": COUNTS > 3})
    (line,) = [record.getMessage() for record in caplog.records]
    for words in (r"x \(6,\) count \(integers from 0 to \d+", r"y \(\) category of 2 \(names of classes: a, b", "seen"):
        assert re.search(words, line), line


# ------------------------------------------------------------------------------------------------ told
def test_kinds_that_are_told_are_kept_or_refused():
    whole = COUNTS.astype("float32")
    assert load(whole).spec.kind == "real"
    assert load(whole, kinds={"x": "count"}).train["x"].dtype == torch.int64
    assert load(COUNTS, kinds={"x": "real"}).train["x"].dtype == torch.float32
    digits = load(COUNTS.clip(0, 16), kinds={"x": "levels:17"})
    assert digits.spec.levels == 17 and torch.equal((digits.train["x"] * 16).round() / 16, digits.train["x"])
    assert load(COUNTS, kinds={"x": {"kind": "tokens", "size": 50}}).spec.keys["x"].size == 50
    assert load({"x": COUNTS, "y": COUNTS[:, 0] % 3}, kinds={"y": "category:5"}).spec.classes == 5
    for kind, words in (
        ("binary", "expected 0 and 1"),
        ("levels:4", "levels:17"),
        ("unit", "from 0 to 1"),
        ("tokens:3", "size"),
    ):
        with pytest.raises(DataError, match=f"x is told to be {kind.split(':')[0]}.*{words}") as caught:
            load(COUNTS, kinds={"x": kind})
        assert one_sentence(caught.value)
    for told, words in (("levels:x", "whole number"), ("conut", "did you mean 'count'"), ("real:3", "goes with levels")):
        with pytest.raises(OptionError, match=words):
            load(COUNTS, kinds={"x": told})
    with pytest.raises(OptionError, match="no key of data is called 'z'"):
        load(COUNTS, kinds={"z": "count"})


# ------------------------------------------------------------------------------------------------ float32
@pytest.mark.parametrize("form", ["time stamps", "identifiers", "whole time stamps", "one column of several"])
def test_numbers_that_float32_cannot_tell_apart_are_refused_or_warned_of(form, caplog):
    stamps = torch.randn(200, 1, dtype=torch.float64) + 1e9
    x = {
        "time stamps": stamps,
        "identifiers": torch.arange(2**24, 2**24 + 200)[:, None],
        "whole time stamps": (1e9 + torch.arange(200.0, dtype=torch.float64))[:, None],
        "one column of several": torch.cat([torch.randn(200, 3, dtype=torch.float64), stamps], 1),
    }[form]
    if form == "identifiers":
        data, said = warned(caplog, lambda: load((x, x)))
        assert len(data.train["x"].unique()) == 200 and "2^24" in said and "float32" in said
        assert load((x, x), kinds={"x": "category"}).train["x"].max() == 199
    else:
        with pytest.raises(DataError, match="float32 cannot tell apart.*subtract their mean") as caught:
            load((x, x))
        assert one_sentence(caught.value)
    centred = x - x.double().mean(0)
    assert torch.equal(load((centred, centred)).train["x"], centred.float())


def test_doubles_of_a_usual_spread_pass():
    x = torch.cat([torch.randn(99, 2, dtype=torch.float64) * 1e6 + 1e7, torch.full((99, 1), 0.1, dtype=torch.float64)], 1)
    assert torch.equal(load((x, x)).train["x"], x.float())


# ------------------------------------------------------------------------------------------------ parts and batches
@pytest.mark.parametrize("first", ["uint8", "float"])
def test_parts_of_two_scales_are_refused(first):
    images = RNG.integers(0, 256, (30, 4, 4)).astype("uint8")
    images[:, 0, :2] = 0, 255
    parts = (images, (images / 255).astype("float32"))
    with pytest.raises(DataError, match="x of .* is uint8 of 0..255.*two scales"):
        load(parts if first == "uint8" else parts[::-1])


LATE = {
    "binary": (torch.ones(10, 4), torch.full((10, 4), 2.5), "batch 110 .* x holds numbers from 2.5"),
    "unit": (torch.rand(10, 4), torch.full((10, 4), 1.5), "x holds numbers from 1.5"),
    "uint8": (torch.full((10, 2, 2), 7, dtype=torch.uint8), torch.full((10, 2, 2), 700), "x holds integers from 700"),
    "count": (torch.full((10, 4), 7), torch.full((10, 4), -1), "x holds integers from -1"),
    "real": (torch.randn(10, 4), torch.full((10, 4), torch.nan), "x holds NaN"),
    "class": (torch.tensor([0, 1] * 5), torch.full((10,), 3), r"y holds class 3; expected 0..1.*kinds=\{'y': 'category"),
    "shape": (torch.randn(10, 4), torch.randn(10, 5), r"x has shape \(5,\)"),
}


@pytest.mark.parametrize("kind", LATE)
def test_late_batches_of_a_loader_are_looked_at(kind):
    early, late, message = LATE[kind]

    class Batches(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([early] * 110 + [late])

        def __len__(self):
            return 111

    def pairs(values):
        return [torch.randn(10, 3), values] if kind == "class" else values

    loader = DataLoader(Batches(), batch_size=None, collate_fn=pairs)
    stream = load(loader).train
    with pytest.raises(DataError, match=message) as caught:
        list(stream.batches())
    assert one_sentence(caught.value)


def test_counts_that_come_late_may_be_larger():
    x = torch.cat([torch.randint(0, 200, (1100, 4)), torch.full((100, 4), 4000)])
    stream = load(DataLoader(TensorDataset(x), batch_size=10)).train
    assert torch.equal(torch.cat([batch["x"] for batch in stream.batches()]), x)


# ------------------------------------------------------------------------------------------------ the description
def test_the_description_round_trips_and_names_what_is_wrong_with_it():
    data = load({"x": COUNTS, "y": np.array(["b", "a"] * 30), "lengths": np.arange(60), "c": RNG.random((60, 2))})
    assert DataSpec.from_json(data.spec.to_json()) == data.spec
    assert data.spec.covariates == {"lengths": (), "c": (2,)} and data.spec.classes == 2
    assert {key: value.dtype for key, value in data.spec.zeros(3).items()} == {
        key: value.dtype for key, value in data.train[:3].items() if key != "index"
    }
    with pytest.raises(DataError, match="3 labels came for 2"):
        KeySpec((), "category", size=2, labels=("a", "b", "c"))
    with pytest.raises(DataError, match="no keys"):
        DataSpec("empty")


def test_keys_of_any_names():
    data = load({"image": RNG.integers(0, 256, (30, 8, 8)).astype("uint8"), "caption": COUNTS[:30]})
    assert (data.spec.main, data.spec.shape, data.spec.kind) == ("image", (8, 8), "levels")
    batch = data.train[:4]
    assert batch.keys() == {"image", "caption", "index"} and batch["image"].max() <= 1 and batch["caption"].max() > 1
