"""Classes that have names in the data go by these at every door."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pyrovae as pv
from pyrovae.cli import main
from pyrovae.errors import OptionError

FORMS = {
    "names": (np.array(["dog", "cat", "owl"]), "cat", "owl"),
    "from 1": (np.array([1, 2, 3]), 1, 3),
    "gaps": (np.array([4, 70, 9]), 4, 70),
}


def data(form, shape=()):
    labels = FORMS[form][0][np.arange(90) % 3]
    x = (torch.rand(90, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    return pv.data.load({"x": x, "y": labels.reshape(-1, *shape)})


@pytest.mark.parametrize("form", FORMS)
def test_classes_go_by_their_own_names(form, tmp_path):
    rows, (_, first, last) = data(form), FORMS[form]
    torch.manual_seed(0)
    pair = pv.pairs.m2(rows.spec, latent_dim=2, hidden=[8])
    run = pv.fit(pair, rows, steps=2, progress=False, out=tmp_path / "run")
    for given, place in ((first, 0), (last, 2), ([first, last], [0, 2])):
        count = 2 if isinstance(given, list) else 1
        drawn = pv.sample(run, count, given={"y": given})["y"].argmax(-1)
        assert drawn.tolist() == ([place] * count if count == 1 else place)
    with pytest.raises(OptionError, match=f"no class of 'y' is called 'nope'.* Known: {first}, .*{last}|Known"):
        pv.sample(run, 1, given={"y": "nope"})
    assert str(first) in repr(pv.classify(run, rows)) and str(last) in repr(pv.classify(run, rows))
    exported = pv.to_arviz(run, rows, num_samples=2, num_chains=1, num_data=3)
    assert exported["posterior"].coords["y_dim"].values.tolist() == sorted(FORMS[form][0].tolist())
    word = f"'{first}'" if form == "names" else first
    where = [str(tmp_path / "run"), "--out", str(tmp_path / "a.npz"), "--num", "2"]
    assert main(["sample", *where, "--given", f"{{y: {word}}}"]) == 0
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["y"].argmax(-1).tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(), (1,)])
def test_columns_of_one_and_one_hot_rows_are_the_same_classes(shape):
    rows = data("names", shape)
    assert rows.spec.keys["y"].labels == ("cat", "dog", "owl")
    plain = pv.data.load({"x": torch.zeros(30, 2), "y": torch.eye(3).repeat(10, 1)})
    assert plain.spec.keys["y"].size == 3
