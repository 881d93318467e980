"""Optimizers in the graph: the updates that torch makes."""

from __future__ import annotations

import exact
import pytest
from steppers import assert_same_steps, steppers


@pytest.mark.parametrize(
    ("optimizer", "options", "clip_norm"),
    [
        ("Adam", {}, 0.1),
        ("Adam", {"weight_decay": 0.1, "betas": (0.5, 0.9)}, None),
        ("AdamW", {"weight_decay": 0.1}, None),
        ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, 0.1),
        ("SGD", {}, None),
        ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1}, 0.1),
        ("RMSprop", {"centered": True}, None),
        ("Adagrad", {}, 0.1),  # has no update in the graph: runs after it
        ("Adam", {"amsgrad": True}, None),
    ],
)
def test_optimizers_update_as_torch_does(optimizer, options, clip_norm):
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    step, eager = steppers(
        pair.model,
        pair.guide,
        pair.batch,
        "elbo",
        optimizer=optimizer,
        optimizer_options=options,
        clip_norm=clip_norm,
    )
    assert_same_steps(step, eager, pair.batch)
