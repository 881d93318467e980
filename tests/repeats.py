"""Many independent runs of a stochastic estimate and its gradient at once."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from unittest import mock

import pyro
import torch
from torch import nn


class _Value(nn.Module):
    """A value of two programs as a function of their parameters."""

    def __init__(self, value, model, guide):
        super().__init__()
        self.value, self.model, self.guide = value, model, guide

    def forward(self):
        return self.value(self.model, self.guide)


def _draw_normal(shape, dtype, device):
    return torch.randn(shape, dtype=dtype, device=device)  # torch's own is written in place, which vmap cannot follow


def repeat(value, model, guide, number, chunk_size=500):
    """R values, (R,), and gradients by parameter, (R, P) each, of a function of the programs that draws and keeps no state."""
    module = _Value(value, model, guide)
    params = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}

    def run(_, params):
        return torch.func.grad_and_value(lambda p: torch.func.functional_call(module, p, ()))(params)

    with ExitStack() as stack:
        for name in ("normal", "multivariate_normal", "lowrank_multivariate_normal"):
            stack.enter_context(mock.patch(f"torch.distributions.{name}._standard_normal", _draw_normal))
        stack.enter_context(pyro.validation_enabled(False))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "There is a performance drop")  # of vmap, where an operation is looped over
        vectorized = torch.func.vmap(run, (0, None), randomness="different", chunk_size=chunk_size)
        grads, values = vectorized(torch.arange(number), params)
    return values, {name: grad.reshape(number, -1) for name, grad in grads.items()}


def repeat_loss(objective, pair, number, batch=None):
    """Of an objective's loss on a pair's batch."""
    batch = batch or pair.batch
    return repeat(lambda model, guide: objective.differentiable_loss(model, guide, **batch), pair.model, pair.guide, number)


def joined(grads, select=""):
    """(R, P) gradients of the parameters whose names start with ``select``."""
    return torch.cat([grad for name, grad in grads.items() if name.startswith(select)], 1)
