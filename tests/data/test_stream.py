"""Streams and Datasets of others."""

from __future__ import annotations

import pytest
import torch
from data_sets import Broken, Endless, Squares, equal
from torch.utils.data import DataLoader, TensorDataset

from pyrovae.data import Split, Stream, as_data, as_split


def test_map_style_dataset_item_by_item():
    split = as_split(Squares())
    whole = list(split.epoch(5, seed=0, epoch=0))
    assert torch.equal(whole[0]["x"].floor()[:, 0, 0].long(), whole[0]["index"])
    assert all(equal(*pair) for pair in zip(split.epoch(5, seed=0, epoch=0, start=3), whole[3:], strict=True))
    assert split.fingerprint() == as_split(Squares()).fingerprint()
    assert len(as_data(Squares()).test) == 2
    binary = as_data(Broken([torch.rand(4) for _ in range(30)]), binarization="dynamic")
    assert torch.equal(binary.test["x"], binary.test["x"].round())


@pytest.mark.parametrize("own", [False, True])
def test_stream_order_and_resume(own):
    generator = torch.Generator().manual_seed(5) if own else None
    loader = DataLoader(Squares(), batch_size=5, shuffle=True, generator=generator)
    stream = as_data(loader).train
    assert isinstance(stream, Stream) and len(stream) == 23 and stream.num_batches(1) == 5
    whole = list(stream.epoch(99, seed=0, epoch=3))
    assert sum(len(batch["x"]) for batch in whole) == 23
    torch.manual_seed(77)
    torch.rand(3)
    assert all(equal(*pair) for pair in zip(stream.epoch(99, seed=0, epoch=3, start=2), whole[2:], strict=True))
    assert not torch.equal(next(stream.epoch(99, seed=0, epoch=4))["x"], whole[0]["x"])
    assert all(equal(*pair) for pair in zip(stream.batches(1), stream.batches(2), strict=True))
    assert stream.fingerprint() == as_split(loader).fingerprint()


def test_streams_of_all_forms():
    x = torch.rand(12, 2)
    loaders = [DataLoader(each, batch_size=5, drop_last=True) for each in (TensorDataset(x), x)]
    data = as_data((loaders[0], loaders[1], x), binarization="dynamic")
    assert isinstance(data.train, Stream) and isinstance(data.test, Split) and len(data.train) == 10
    first, second = (next(data.valid.epoch(5, seed=0, epoch=epoch))["x"] for epoch in (0, 1))
    assert torch.equal(first, second) and set(first.unique().tolist()) <= {0, 1}
    first, second = (next(data.train.epoch(5, seed=0, epoch=epoch))["x"] for epoch in (0, 1))
    assert not torch.equal(first, second)
    endless = as_split(DataLoader(Endless(), batch_size=1))
    assert len(list(endless.batches(1))) == 2 and "?" in repr(as_data(DataLoader(Endless())))
