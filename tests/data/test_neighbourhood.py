"""The nearest training data of each datum, by a plain loop."""

from __future__ import annotations

import pytest
import torch

from pyrovae.data import load, transform
from pyrovae.errors import OptionError


def test_neighbours_are_the_nearest_training_rows_and_never_the_row_itself(digits):
    data = transform(digits, "neighbours:num=3")
    x, raw = digits.train, digits.train.store.columns["x"].float().flatten(1)
    for part, plain in ((data.train, digits.train), (data.valid, digits.valid)):
        own = plain.store.columns["x"].float().flatten(1)
        batch = part[torch.arange(40)]
        for row in range(40):
            distance = (raw - own[row]).square().sum(1)
            if part is data.train:
                distance[row] = torch.inf
            chosen = distance[batch["neighbours_index"][row]]
            torch.testing.assert_close(chosen, distance.sort().values[:3])
        index = batch["neighbours_index"]
        assert torch.equal(batch["neighbours"][:, 1], x[index[:, 1]]["x"])
        assert torch.equal(batch["x"], plain[torch.arange(40)]["x"])
    assert torch.equal(data.train[:4]["row"], torch.arange(4)) and (data.test[:4]["row"] == -1).all()
    rows = torch.tensor([7, 3])
    assert torch.equal(data.train.subset(rows)[:2]["row"], rows)
    assert torch.equal(data.train.subset(rows)[:2]["neighbours_index"], data.train[rows]["neighbours_index"])
    epoch = next(data.train.epoch(50, seed=0, epoch=0))
    assert epoch["neighbours"].shape == (50, 3, 8, 8) and data.spec.keys["neighbours"].shape == (3, 8, 8)


def test_more_neighbours_than_rows_are_refused():
    with pytest.raises(OptionError, match="num is 80; expected a whole number from 1 to 79"):
        transform(load(torch.randn(100, 2)), "neighbours:num=80")
