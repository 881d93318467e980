"""Pairs from a fixed seed, and their traces."""

from __future__ import annotations

import torch

import pyrovae as pv
from pyrovae import pairs


def made(recipe, spec, **options):
    torch.manual_seed(0)
    return getattr(pairs, recipe)(spec, **options)


def traced(objective, pair, batch):
    """The objective with gradients on, its trace and its terms."""
    objective = pv.objectives.get(objective)
    trace = objective.trace(pair.model, pair.guide, batch)
    return objective, trace, objective.terms(trace)
