"""Classes beside x and y as vectors of one 1: recorded, read alike later, named when they do not fit."""

from __future__ import annotations

import numpy as np
import pandas
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.errors import DataError, OptionError

PETS = ["cat", "dog", "owl"]
NAMES = np.array(PETS)[np.arange(60) % 3]


class Model(nn.Module):
    """x | z, c, whose mean is that of its class."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Linear(5, 2)

    def forward(self, x, c):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            inputs = torch.cat([z, c.expand(*z.shape[:-1], 3)], -1)
            pyro.sample("x", dist.Normal(self.mean(inputs), 1.0).to_event(1), obs=x)


class Guide(nn.Module):
    """q(z | x)."""

    def forward(self, x, c):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 0.5).to_event(1))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("pets") / "pets.csv"
    rng = np.random.default_rng(0)
    pandas.DataFrame({"a": rng.random(60), "b": rng.random(60), "pet": NAMES}).to_csv(path, index=False)
    return path


def load(file):
    return pv.data.load(file, columns={"x": ["a", "b"], "c": "pet"}, transforms=["one-hot:keys=c"])


def test_each_class_is_a_place_and_unknown_ones_are_zeros(file):
    rows = torch.arange(48)
    c = load(file).train[rows]["c"]
    assert c.shape == (48, 3) and c.dtype == torch.float32 and bool((c.sum(1) == 1).all())
    plain = pv.data.load(file, columns={"x": ["a", "b"], "c": "pet"}).train[rows]["c"]
    assert torch.equal(c.argmax(1), plain)
    holes = pv.data.load({"x": torch.rand(30, 2), "c": torch.arange(30) % 3}, kinds={"c": "category:3"})
    vectors = pv.data.tables.one_hot(holes, keys=["c"]).train[torch.arange(24)]["c"]
    assert torch.equal(vectors, torch.eye(3)[holes.train[torch.arange(24)]["c"]])


def test_a_run_reads_names_numbers_and_vectors_alike_and_loads_again(file, tmp_path):
    data, pair = load(file), (Model(), Guide())
    run = pv.fit(pair, data, epochs=1, progress=False, out=tmp_path / "run")
    again = pv.load(tmp_path / "run", pair=pair)
    assert again.data.spec == data.spec and torch.equal(again.data.train[:9]["c"], data.train[:9]["c"])
    x, classes = torch.rand(4, 2), torch.tensor([1, 0, 1, 2])
    forms = [np.array(PETS)[classes], classes, torch.eye(3)[classes]]
    found = [pv.log_evidence(run, {"x": x, "c": c}, num_samples=5).value for c in forms]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    with pytest.raises(DataError, match="c holds fox; expected one of cat, dog, owl"):
        pv.log_evidence(run, {"x": x, "c": np.array(["fox"] * 4)}, num_samples=5)
    with pytest.raises(DataError, match="c holds class 3|c holds label 3"):
        pv.log_evidence(run, {"x": x, "c": classes + 1}, num_samples=5)


@pytest.mark.parametrize(("key", "message"), [("x", "'x' is real of shape"), ("q", "no key is called 'q'")])
def test_what_is_no_class_is_refused(file, key, message):
    with pytest.raises(OptionError, match=message):
        pv.data.load(file, columns={"x": ["a", "b"], "c": "pet"}, transforms=[f"one-hot:keys={key}"])
