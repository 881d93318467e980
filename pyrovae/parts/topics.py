"""Networks of topic models."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from pyrovae.nets import ACTIVATIONS, Log1p
from pyrovae.parts.networks import Dense

__all__ = ["topic_encoder"]

DROPOUT = 0.2


def topic_encoder(dense: Dense, out_features: int, batch_norm: bool) -> nn.Module:
    """From counts, as log(1 + x), to so many features, with dropout and a batch normalization as of ProdLDA's authors."""
    *before, width = dense.hidden
    last = [nn.BatchNorm1d(out_features)] if batch_norm else []
    activation = ACTIVATIONS[str(dense.activation)]()
    first = replace(dense, hidden=tuple(before)).encoder(width)
    return nn.Sequential(Log1p(), first, activation, nn.Dropout(DROPOUT), nn.Linear(width, out_features), *last)
