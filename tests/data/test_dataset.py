"""Order and draws as functions of integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_sets import Squares, equal
from torch.utils.data import DataLoader

from pyrovae.data import as_data, as_split, load


def test_every_row_once_and_resume(digits):
    whole = list(digits.train.epoch(100, seed=3, epoch=5))
    assert len(whole) == digits.train.num_batches(100) == 13 and len(whole[-1]["x"]) == 97
    assert torch.cat([batch["index"] for batch in whole]).sort().values.equal(torch.arange(1297))
    tail = list(digits.train.epoch(100, seed=3, epoch=5, start=9))
    assert len(tail) == 4 and all(equal(*pair) for pair in zip(tail, whole[9:], strict=True))
    assert list(digits.train.epoch(100, seed=3, epoch=5, start=13)) == []
    assert whole[0]["x"].dtype == torch.float32 and whole[0]["y"].dtype == whole[0]["index"].dtype == torch.int64
    assert torch.equal(digits.train["y"][whole[2]["index"]], whole[2]["y"])


@pytest.mark.parametrize("other", [{"seed": 3, "epoch": 6}, {"seed": 4, "epoch": 5}])
def test_epochs_and_seeds_differ(digits, other):
    first, second = (next(digits.train.epoch(100, **each)) for each in ({"seed": 3, "epoch": 5}, other))
    assert not torch.equal(first["index"], second["index"])


def test_dynamic_draws_are_fresh_and_have_the_grey_mean(digits):
    grey = load("digits", binarization="none").train["x"]
    total, epochs = torch.zeros_like(grey), 20
    draws = []
    for epoch in range(epochs):
        drawn = torch.empty_like(grey)
        for batch in digits.train.epoch(256, seed=0, epoch=epoch):
            drawn[batch["index"]] = batch["x"]
        draws.append(drawn)
        total += drawn
    assert not torch.equal(draws[0], draws[1]) and set(total.unique().tolist()) <= set(range(epochs + 1))
    variance = (grey * (1 - grey) * epochs).sum()
    assert abs(float((total - epochs * grey).sum() / variance.sqrt())) < 4
    assert (total[grey == 1] == epochs).all() and (total[grey == 0] == 0).all()
    # Each level by itself, so that no level's probability is off.
    for level in grey.unique()[1:-1]:
        here = grey == level
        spread = (float(here.sum()) * epochs * level * (1 - level)).sqrt()
        assert abs(float((total[here].sum() - here.sum() * epochs * level) / spread)) < 5


def test_the_one_draw_of_a_dynamic_split(digits):
    in_order = torch.cat([batch["x"] for batch in digits.train.batches(77)])
    assert torch.equal(in_order, torch.cat([batch["x"] for batch in digits.train.batches(300)]))
    assert torch.equal(in_order, digits.train["x"])
    rows = torch.tensor([5, 1200, 5, -1])
    assert torch.equal(digits.train[rows]["x"], in_order[rows])


@pytest.mark.parametrize("binarization", ["dynamic", "fixed", "threshold"])
def test_valid_and_test_are_drawn_once(binarization):
    grey, data = load("digits", binarization="none"), load("digits", binarization=binarization)
    again, other = (load("digits", binarization=binarization, seed=seed) for seed in (0, 1))
    assert torch.equal(data.test["x"], again.test["x"]) and not torch.equal(data.test["x"], other.test["x"])
    epochs = [{}, {}]
    for number, rows in enumerate(epochs):
        for batch in data.test.epoch(100, seed=0, epoch=number):
            rows.update(zip(batch["index"].tolist(), batch["x"], strict=True))
    assert all(torch.equal(epochs[0][row], epochs[1][row]) for row in range(250))
    if binarization == "threshold":
        assert torch.equal(data.train["x"], (grey.train["x"] > 0.5).float())
    assert data.spec.binarization == binarization and set(data.train["x"].unique().tolist()) == {0, 1}


def test_dynamic_draw_of_real_valued_grey():
    x = torch.linspace(0, 1, 64).repeat(4000, 1)
    split = as_data((x, x[:10]), binarization="dynamic").train
    mean = torch.cat([batch["x"] for batch in split.epoch(500, seed=1, epoch=0)]).mean(0)
    score = (mean - x[0]) / (x[0] * (1 - x[0]) / 4000).sqrt().clamp_min(1e-9)
    assert score.abs().max() < 4.5


@pytest.mark.parametrize("kind", ["split", "items", "stream"])
def test_global_random_numbers_are_neither_used_nor_disturbed(digits, kind):
    loader = DataLoader(Squares(), batch_size=4, shuffle=True)
    part = {
        "split": lambda: digits.train,
        "items": lambda: as_split(Squares()),
        "stream": lambda: as_split(loader),
    }

    def use():
        return [*made.epoch(8, seed=1, epoch=2), *made.batches(8)]

    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    made = part[kind]()
    first = use()
    assert torch.equal(torch.get_rng_state(), before[0]) and np.array_equal(np.random.get_state()[1], before[1])
    torch.manual_seed(2)
    assert all(equal(*pair) for pair in zip(first, use(), strict=True))


def test_subset_slices_and_devices(digits):
    part = digits.valid.subset(torch.arange(10, 20))
    assert len(part) == 10 and torch.equal(part["x"], digits.valid["x"][10:20])
    assert torch.equal(digits.valid[2:9:3]["index"], torch.tensor([2, 5, 8]))
    assert torch.equal(digits.valid[digits.valid["y"] == 3]["y"].unique(), torch.tensor([3]))
    assert equal(digits.to("cpu").valid[[4, 2]], digits.valid[[4, 2]])
    # A batch is a copy: changing it leaves the data alone.
    split = as_split(torch.zeros(4, 2))
    split[0:2]["x"].add_(1)
    split["x"].add_(1)
    assert split["x"].sum() == 0
