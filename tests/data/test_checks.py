"""What is refused, each in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_sets import GOOD, NAN, Broken, Endless, one_sentence
from torch.utils.data import DataLoader, TensorDataset

from pyrovae.data import Data, DataSpec, as_data, as_split, load
from pyrovae.errors import DataError, OptionError

REFUSED = {
    "nan": (lambda: as_data(NAN, name="mine"), "mine.*NaN.*row 7"),
    "inf": (lambda: as_split(np.full((5, 2), -np.inf)), "row 0"),
    "too large": (lambda: as_split(GOOD * 1e300), "too large for float32"),
    "empty": (lambda: as_split(GOOD[:0]), "empty, of shape"),
    "empty dataset": (lambda: as_split(Broken([])), "empty Dataset"),
    "text": (lambda: as_split(np.array(["a", "b"])), "x holds names.*numpy.unique"),
    "objects": (lambda: as_split(np.array([None, {}])), "dtype object"),
    "complex": (lambda: as_split(torch.ones(3, 2) * 1j), "complex"),
    "lengths": (lambda: as_split({"x": GOOD, "y": np.zeros(9)}), "10 rows of x but 9 of y"),
    "single number": (lambda: as_split(np.array(3.0)), "single number"),
    "x, y as a tuple": (lambda: as_data((GOOD, np.zeros(10))), '"y"'),
    "shapes of parts": (lambda: as_data((GOOD, GOOD[:, :3])), r"\(valid\).*\(3,\).*\(train\).*\(4,\)"),
    "labels in one part": (lambda: as_data(({"x": GOOD, "y": np.zeros(10)}, GOOD)), "has labels y but"),
    "negative label": (lambda: as_split({"x": GOOD, "y": np.arange(10) - 2}), "y is -2 in some row"),
    "no key": (lambda: as_split({}), "no key"),
    "index": (lambda: as_split({"x": GOOD, "index": GOOD}), "kept for row numbers"),
    "type": (lambda: as_data(3.5), "is a float"),
    "list of rows": (lambda: as_data([[1, 2], [3, 4], [5, 6], [7, 8]]), "list of 4"),
    "column type": (lambda: as_split({"x": [[1, 2]]}), "is a list"),
    "many tensors": (lambda: as_split(TensorDataset(*[torch.ones(3, 2)] * 3)), "3 tensors"),
    "iterable": (lambda: as_data(Endless()), "wrap it in a DataLoader"),
    "items": (lambda: as_split(Broken(["a", "b"])), "holds str"),
    "ragged items": (lambda: as_split(Broken([torch.ones(2), torch.ones(3)])), "of shapes"),
    "few rows": (lambda: as_data(GOOD[:2]), "2 row"),
    "binarizing real": (lambda: as_data(GOOD * 9, binarization="dynamic"), "rescale x"),
    "fixed stream": (lambda: as_data(DataLoader(torch.rand(9, 2)), binarization="fixed"), "DataLoader"),
    "no test part": (lambda: as_split(Data(as_split(GOOD), None, None, as_split(GOOD).spec)), "no test part; pass data.train"),
    "no file": (lambda: as_split("x.npy"), "x.npy"),
    "root of arrays": (lambda: load(GOOD, root="data"), "in memory; leave it out"),
    "binarization of a split": (lambda: load(as_split(GOOD), binarization="dynamic"), "came with 'none'"),
    "binary-mnist": (lambda: load("binary-mnist", binarization="dynamic"), "load 'mnist'"),
    "missing file": (lambda: load("no-such.npy"), "no-such.npy does not exist"),
    "batch_size": (lambda: as_split(GOOD).batches(0), "batch_size is 0"),
    "start": (lambda: as_split(GOOD).epoch(2, seed=0, epoch=0, start=-1), "start is -1"),
    "key": (lambda: as_split(GOOD)["y"], "no key 'y'"),
    "row": (lambda: as_split(GOOD)[3], r"split\[i:i \+ 1\]"),
    "row outside": (lambda: as_split(GOOD)[[10]], r"0\.\.9"),
    "float rows": (lambda: as_split(GOOD)[torch.ones(2)], "torch.float32"),
    "length of a stream": (lambda: len(as_split(DataLoader(Endless()))), "__len__"),
    "levels": (lambda: DataSpec("a", (2,), "unit", levels=3), "size=3"),
    "name": (lambda: load("mnits"), "did you mean 'mnist'"),
    "binarization": (lambda: load("digits", binarization="dinamic"), "did you mean 'dynamic'"),
    "binarization of arrays": (lambda: as_data(GOOD, binarization="dinamic"), "did you mean 'dynamic'"),
    "kind": (lambda: DataSpec("a", (2,), "binry"), "did you mean 'binary'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, message = REFUSED[case]
    with pytest.raises((DataError, OptionError), match=message) as caught:
        call()
    assert one_sentence(caught.value)
