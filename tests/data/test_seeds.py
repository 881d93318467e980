"""Seeds: the numbers that they give."""

from __future__ import annotations

import torch

from pyrovae.data import seeds


def test_a_seed_gives_the_numbers_that_torch_gives():
    for seed in (0, 7, 2**63 - 1):
        torch.manual_seed(seed)
        expected = torch.randn(3), torch.rand(2)
        seeds.set_seed(seed)
        assert torch.equal(torch.randn(3), expected[0]) and torch.equal(torch.rand(2), expected[1])


def test_accelerators_are_seeded_where_there_are_any(monkeypatch):
    given = []
    monkeypatch.setattr(seeds, "_has_accelerator", lambda: True)
    monkeypatch.setattr(torch, "manual_seed", given.append)
    seeds.set_seed(3)
    assert given == [3]
