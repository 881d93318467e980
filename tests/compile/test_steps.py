"""One compiled step of a sequence, looped over in Python, beside the eager pair."""

from __future__ import annotations

import pytest
import torch
from steppers import assert_same_steps, steppers
from walks import draw, walk

import pyrovae as pv
from pyrovae.compile import StepCode
from pyrovae.core.step_run import compiled_steps

pytestmark = pytest.mark.usefixtures("interpreted")
LENGTHS = torch.tensor([6, 3, 1, 5, 6])


@pytest.mark.parametrize("name", ["elbo:num_particles=3", "meanfield", "iwae:num_particles=3", "fivo:num_particles=3", "stl"])
def test_steps_and_gradients_are_those_of_the_eager_pair(name):
    batch, pair = {"x": draw(5, 6), "lengths": LENGTHS}, walk()
    step, eager = steppers(pair.model, pair.guide, batch, name)
    assert_same_steps(step, eager, batch, tolerance=2e-6)
    assert step._steps.made == 1


def test_gradients_of_a_vrnn_agree_and_one_step_serves_every_length():
    torch.manual_seed(0)
    spec = pv.data.DataSpec("toy", (5, 4), "binary")
    pair, code = pv.pairs.vrnn(spec, latent_dim=2, recurrent_dim=6, hidden=[7]), StepCode("graph")
    params = list({id(p): p for program in (pair.model, pair.guide) for p in program.parameters()}.values())
    objective = pv.objectives.get("fivo:num_particles=3")
    for steps in (5, 1, 9):
        x, found = torch.bernoulli(torch.full((3, steps, 4), 0.5)), []
        for run in (None, code):
            torch.manual_seed(0)
            with compiled_steps(run):
                bound = objective.evaluate(pair.model, pair.guide, {"x": x})
            found.append([bound, *torch.autograd.grad(bound.sum(), params, allow_unused=True)])
        for ours, theirs in zip(*found, strict=True):
            if theirs is not None:  # of one step, what only a next one would use
                torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=2e-6)
    assert len(code.codes) == 1 and code.reason is None


def test_other_numbers_of_rows_run_eagerly_and_objectives_without_steps_as_before():
    pair = walk()
    step = pv.compile_step(pair, {"x": draw(5, 3)}, backend="graph")
    assert bool(step({"x": draw(4, 3)}).isfinite()) and step._steps.made == 1
    whole = pv.compile_step(pair, {"x": draw(5, 3)}, "dreg:num_particles=2", backend="graph")
    assert whole._steps is None and whole.backend == "graph" and bool(whole({"x": draw(5, 3)}).isfinite())
