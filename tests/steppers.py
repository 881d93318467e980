"""Compiled steps beside eager ones of the same parameters."""

from __future__ import annotations

import contextlib
import copy
from unittest import mock

import pytest
import torch

import pyrovae as pv
from pyrovae.compile import CompiledStep, Step
from pyrovae.core.parameters import adopt
from pyrovae.objectives import SemiSupervised
from pyrovae.objectives.moves import moved_parameters

SEEDS = range(3)


def step_of(pair, batch, objective=None, backend="graph", **options):
    """A step of a pair on a batch, traced ("graph") or "eager"."""
    with contextlib.ExitStack() as stack:
        if backend == "eager":  # without the time that tracing takes
            stack.enter_context(mock.patch.object(CompiledStep, "compile", lambda step, *args, **options: step))
        step = pv.compile_step(pair, batch, objective, backend="graph", matmul="mkl", **options)
    assert step.backend == backend, step.reason
    return step


def steppers(
    model, guide, batch, objective, *, backend="graph", optimizer="Adam", lr=1e-2, clip_norm=None, expect=None, **options
):
    """The compiled step of a pair and the eager one of its copy, with the same parameters."""
    again = copy.deepcopy((model, guide))
    made = {"optimizer": optimizer, "lr": lr, "clip_norm": clip_norm, "backend": backend, "matmul": "mkl", **options}
    step = pv.compile_step((model, guide), batch, objective, **made)
    assert step.backend == (expect or backend), step.reason
    networks = copy.deepcopy(step.objective.networks)
    again_objective = pv.objectives.get(objective)
    if networks is not None:
        owner = again_objective.inner if isinstance(again_objective, SemiSupervised) else again_objective
        owner.networks = networks
    adopt(*again)
    made = {}
    for name, params in moved_parameters(again_objective, *again).items():
        ours = step.optimizers[name]
        made[name] = type(ours)(params, **{k: v for k, v in ours.defaults.items() if k != "decoupled_weight_decay"})
    schedule, figures = list(step.schedule), list(step.sums)
    return step, Step(again_objective, *again, made, clip_norm=clip_norm, schedule=schedule, figures=figures)


def assert_same_steps(step, eager, batch, schedules=({}, {}, {}), tolerance=1e-5):
    """Bounds, parameters, optimizer states and buffers agree to float rounding under the same noise."""
    for seed, schedule in zip(SEEDS, schedules, strict=True):
        bounds = []
        for one in (step, eager):
            torch.manual_seed(seed)
            bounds.append(float(one(batch, schedule)))
        assert bounds[0] == pytest.approx(bounds[1], abs=tolerance, rel=tolerance)
    for update, params in step.params.items():
        for ours, theirs in zip(params, eager.params[update], strict=True):
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
            for name, value in eager.optimizers[update].state[theirs].items():
                state = step.optimizers[update].state[ours][name]
                torch.testing.assert_close(state, value, atol=tolerance, rtol=1e-3, msg=f"{update} {name}")
    for name, value in eager.sums.items():
        assert float(step.sums[name]) == pytest.approx(float(value), rel=1e-5, abs=tolerance)
    for ours, theirs in zip(step._state(), CompiledStep._state(eager), strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
    assert float(step.total) == pytest.approx(float(eager.total), rel=1e-5)
    assert float(step.moves) == float(eager.moves) == len(SEEDS)
