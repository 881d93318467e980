"""A run of one epoch that is resumed is bitwise a run of two: warps, flows, clamped slopes, other domains, tables of codes."""

from __future__ import annotations

import pytest
from fits import assert_same, comparable
from tiny_pairs import build

import pyrovae as pv


@pytest.mark.parametrize("name", ["vitae", "flow-field-vae", "clamped-dc-ign", "nam", "acn", "fvae"])
def test_a_resumed_run_is_the_whole_one(name, tmp_path):
    row = pv.pairs.get(name).tiny[0]
    how = {"progress": False, "tensorboard": False, "compile": False, "seed": 3}
    for folder, epochs in (("whole", 2), ("half", 1)):
        pair, data = build(name, row.form, dict(row.options))
        pv.fit(pair, data, epochs=epochs, out=tmp_path / folder, **how)
    pv.resume(tmp_path / "half", data=data, epochs=2, progress=False)
    assert_same(comparable(tmp_path / "half"), comparable(tmp_path / "whole"))
