"""A categorical VAE of four pixels, small enough to enumerate."""

from __future__ import annotations

from types import SimpleNamespace

import torch

import pyrovae as pv

X = torch.tensor([[1.0, 0, 1, 1], [0, 0, 1, 0]])


def tiny_pair(num_variables=2, num_classes=3, scale=0.7):
    """A categorical VAE of four pixels, far from its posterior."""
    torch.manual_seed(0)
    spec = pv.data.DataSpec("toy", (4,), "binary")
    pair = pv.pairs.categorical_vae(spec, num_variables=num_variables, num_classes=num_classes, hidden=[5])
    with torch.no_grad():
        for p in [*pair.model.parameters(), *pair.guide.parameters()]:
            p.copy_(scale * torch.randn_like(p))
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": X}, pair=pair)
