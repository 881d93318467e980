"""Pairs from a fixed seed, and their traces."""

from __future__ import annotations

import torch

import pyrovae as pv
from pyrovae import pairs
from pyrovae.objectives import Given


def made(recipe, spec, **options):
    torch.manual_seed(0)
    return getattr(pairs, recipe)(spec, **options)


def traced(objective, pair, batch):
    """The objective with gradients on, its trace and its one update."""
    objective = pv.objectives.get(objective)
    given = Given(pair.model, pair.guide, [batch])
    torch.manual_seed(1)
    trace = objective.trace(given)
    torch.manual_seed(1)
    return objective, trace, next(objective.updates(given))


def penalty(objective, trace, pair):
    """What the objective subtracts from its base, (B,), without its weight."""
    given = Given(pair.model, pair.guide, [trace.batch])
    closed = objective.closed_form(given)
    return objective.penalty(trace, given) if closed is None else closed
