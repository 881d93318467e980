"""Windows, subsets and orders: against plain loops, with lengths, and what is refused."""

from __future__ import annotations

import pytest
import torch

from pyrovae.data import load, transform
from pyrovae.errors import DataError, OptionError

T = 6


def sequences():
    """Rows b of steps 10 b + t, of 1 to 6 steps each, zero beyond."""
    x = 10.0 * torch.arange(1, 31).unsqueeze(1) + torch.arange(T)
    lengths = 1 + torch.arange(30) % T
    x = torch.where(torch.arange(T) < lengths.unsqueeze(1), x, 0.0).unsqueeze(-1)
    return load({"x": x, "lengths": lengths})


def test_a_window_is_of_consecutive_steps_that_there_are():
    data = transform(sequences(), "windows:size=3")
    assert data.spec.keys["x"].shape == (3, 1) and data.spec.mean.shape == (3, 1)
    starts = set()
    for epoch in range(20):
        for batch in data.train.epoch(8, seed=0, epoch=epoch):
            for x, length, row in zip(batch["x"][..., 0], batch["lengths"], batch["index"], strict=True):
                own = int(sequences_length(data, row))
                assert int(length) == min(own, 3)
                steps = x[: int(length)]
                assert torch.equal(steps - steps[0], torch.arange(len(steps)).float())
                start = int(steps[0]) % 10
                assert start + len(steps) <= own
                starts.add((own, start))
    assert {start for own, start in starts if own == 6} == {0, 1, 2, 3} and {s for own, s in starts if own <= 3} == {0}


def sequences_length(data, row):
    """Of the whole sequence of a row of the train part."""
    return data.train.store.columns["lengths"][row]


@pytest.mark.parametrize("chosen", ["subsets:size=4", "shuffle"])
def test_a_subset_is_of_points_that_there_are_each_once(chosen):
    data = transform(sequences(), chosen)
    size = 4 if "4" in chosen else T
    orders = set()
    for epoch in range(20):
        for batch in data.train.epoch(30, seed=0, epoch=epoch):
            for x, length, row in zip(batch["x"][..., 0], batch["lengths"], batch["index"], strict=True):
                own = int(sequences_length(data, row))
                here = x[: int(length)]
                assert int(length) == min(own, size) and len(here.unique()) == len(here) and bool((here > 0).all())
                assert bool((x[int(length) :] == 0).all())
                if own == 3:
                    orders.add(tuple((here - here.min()).int().tolist()))
    assert len(orders) == 6  # all orders of three points


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ("windows:size=9", OptionError, "size is 9; expected a whole number from 1 to 6, the length of x"),
        ("subsets:size=0", OptionError, "size is 0"),
    ],
)
def test_sizes_beyond_the_data_are_refused(chosen, error, message):
    with pytest.raises(error, match=message):
        transform(sequences(), chosen)
    with pytest.raises(DataError, match=r"x has shape \(4,\); windows are of x \(T, ...\)"):
        transform(load(torch.randn(9, 4)), "windows:size=2")
