"""Rows that come together: groups and pairs against plain loops, the same after a resume, fixed outside of training."""

from __future__ import annotations

import pytest
import torch
from fits import assert_same, comparable

import pyrovae as pv
from pyrovae.data import Data, load, transform
from pyrovae.errors import DataError, OptionError


@pytest.fixture(scope="module")
def xys():
    return load("xys")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_group_is_a_row_and_others_of_its_class_drawn_uniformly(digits):
    grouped, plain = transform(digits, "groups:size=3").train, digits.train
    labels = plain["y"]
    batch = next(grouped.epoch(200, seed=1, epoch=0))
    assert batch["x"].shape == (200, 3, 8, 8) and torch.equal(batch["y"], labels[batch["index"]])
    members = grouped.gather.members(torch.arange(len(plain)), lambda shape: torch.rand(len(plain), *shape))
    for row, each in zip(range(50), members.tolist(), strict=False):
        assert each[0] == row and row not in each[1:] and {int(labels[i]) for i in each} == {int(labels[row])}
    rest = (labels == labels[0]).nonzero()[1:, 0].tolist()  # of row 0
    u = (torch.arange(len(rest)) + 0.5) / len(rest)
    zeros = torch.zeros(len(rest), dtype=torch.int64)
    every = grouped.gather.members(zeros, lambda shape: u.unsqueeze(1).expand(-1, *shape))[:, 1]
    assert every.tolist() == rest  # each of the others for as much of the noise


def test_a_group_of_one_is_the_row_itself(digits):
    batch, plain = next(transform(digits, "groups:size=1").valid.batches(7)), next(digits.valid.batches(7))
    assert torch.equal(batch["x"][:, 0], plain["x"]) and same(
        {k: v for k, v in batch.items() if k != "x"}, {k: v for k, v in plain.items() if k != "x"}
    )


@pytest.mark.parametrize(("num", "factors"), [(1, None), (2, None), (1, ["posX"])])
def test_a_pair_differs_in_as_many_factors_as_asked_and_has_the_images_of_its_factors(xys, num, factors):
    train = transform(xys, {"name": "pairs", "num_varied": num, "factors": factors}).train
    batch = next(train.epoch(300, seed=0, epoch=0))
    values = torch.stack([batch[name] for name in ("scale", "posX", "posY")], -1)  # (B, 2, F)
    differs = values[:, 0] != values[:, 1]
    assert torch.equal(differs.float(), batch["varied"]) and bool((differs.sum(1) == num).all())
    assert bool(differs.any(0).all()) == (factors is None) and (factors is None or bool(differs[:, 1].all()))
    rows = {tuple(v): i for i, v in enumerate(torch.stack([xys.train[n] for n in ("scale", "posX", "posY")], -1).tolist())}
    for i in range(20):
        for j in range(2):
            assert torch.equal(batch["x"][i, j], xys.train[[rows[tuple(values[i, j].tolist())]]]["x"][0])
    free = next(iter({"posX"} if factors else {"posY"}))
    place = ("scale", "posX", "posY").index(free)
    moved = differs[:, place]
    shift = (values[moved, 1, place] - values[moved, 0, place]) % 16
    assert len(shift.unique()) > 8  # to all other values


def test_pairs_of_a_large_part_are_tried_and_of_a_small_one_searched(xys, monkeypatch):
    monkeypatch.setattr("pyrovae.data.grouping.SEARCHED_ROWS", 0)
    train = transform(xys, "pairs:num_varied=2").train
    batch = next(train.epoch(300, seed=0, epoch=0))
    assert bool((batch["varied"].sum(1) == 2).all()) and bool((batch["varied"].sum(0) > 60).all())
    monkeypatch.undo()
    small = transform(xys, "pairs").valid  # in which a few rows have no partner of one factor
    varied = small[:]["varied"].sum(1)
    assert bool((varied >= 1).all()) and float((varied == 1).float().mean()) > 0.8


@pytest.mark.parametrize("chosen", ["groups:size=2", "windows:size=3", "subsets:size=4", "shuffle"])
def test_batches_are_functions_of_seed_epoch_and_number_and_of_the_row_outside(digits, chosen):
    train = transform(digits, chosen).train
    whole = list(train.epoch(400, seed=3, epoch=2))
    late = list(train.epoch(400, seed=3, epoch=2, start=2))
    assert all(same(one, other) for one, other in zip(whole[2:], late, strict=True))
    other = next(train.epoch(400, seed=3, epoch=3))
    assert not torch.equal(whole[0]["x"], other["x"])
    rows = torch.tensor([5, 900, 17])
    assert same(train[rows], {key: value[:3] for key, value in train[torch.cat([rows, torch.arange(4)])].items()})
    part = train.subset(range(100, 200))
    assert len(part) == 100 and part[:4]["x"].shape == train[:4]["x"].shape


def test_a_run_on_groups_that_is_cut_short_resumes_bitwise(digits, tmp_path):
    for name, epochs in (("one", [2]), ("two", [1, 2])):
        data = load("digits", transforms=["groups:size=2"])
        torch.manual_seed(0)
        pair = pv.pairs.vae(data.spec, latent_dim=2, hidden=[8])
        pv.fit(pair, data, epochs=epochs[0], batch_size=200, out=tmp_path / name, progress=False)
        for more in epochs[1:]:
            pv.resume(tmp_path / name, epochs=more, progress=False)
    assert_same(comparable(tmp_path / "one"), comparable(tmp_path / "two"))


def test_what_cannot_be_grouped_is_refused(digits, xys):
    one = transform(digits, "groups:size=2").test.subset([4, 9])  # whose classes go on in the part
    assert one[:]["x"].shape == (2, 2, 8, 8) and one[:]["index"].tolist() == [0, 1] and len(one) == 2
    assert one[:]["y"].tolist() == digits.test["y"][[4, 9]].tolist() and len(list(one.batches(1))) == 2
    few = Data(digits.train.subset([0, 1, 2, 3, 4, 5]), None, None, digits.spec)
    for data, chosen, error, message in (
        (digits, "groups:size=0", OptionError, "size is 0; expected a whole number of at least 1"),
        (digits, "groups:by=z", OptionError, "no key of classes is called 'z'. Known: y"),
        (few, "groups:size=2", DataError, "a class of one row in a part of 6"),
        (digits, "pairs", DataError, "has no factors of variation"),
        (xys, "pairs:num_varied=4", OptionError, "a whole number from 1 to 3"),
        (xys, {"name": "pairs", "factors": ["posZ"]}, OptionError, "no factor is called 'posZ'; did you mean"),
    ):
        with pytest.raises(error, match=message):
            transform(data, chosen)
    lonely = transform(Data(xys.train.subset([0, 0]), None, None, xys.spec), "pairs")
    with pytest.raises(DataError, match="a row has no partner that differs in 1 of"):
        lonely.train[:1]
