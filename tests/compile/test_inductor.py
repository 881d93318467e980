"""Inductor's code does what the graph does: its four compilations in the tests, where other tests run the graph itself."""

from __future__ import annotations

import logging
import math

import exact
import pyro
import pyro.distributions as dist
import pytest
import torch
from steppers import assert_same_steps, steppers
from torch import nn
from walks import draw, walk

import pyrovae as pv

# of Inductor, on its first import
pytestmark = [pytest.mark.inductor, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


class Dropped(nn.Module):
    """z ~ N(0, I_2), x ~ Bernoulli(dropout(W z + b))."""

    def __init__(self):
        super().__init__()
        self.layer, self.dropout = nn.Linear(2, 6), nn.Dropout(0.25)

    def forward(self, x):
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.dropout(self.layer(z))).to_event(1), obs=x)


def test_a_step_by_adam_of_a_scheduled_bound(caplog):
    """With noise, dropout and clipping; then a batch of another shape, and one whose bound is not finite."""
    torch.manual_seed(0)
    x = torch.bernoulli(torch.full((30, 6), 0.4))
    options = {"backend": "inductor", "schedule": ["beta"], "clip_norm": 0.5}
    step, eager = steppers(Dropped(), exact.Affine(6, 2), {"x": x}, "elbo:beta=2", **options)
    for one in (step, eager):
        one.optimizers["pair"].param_groups[0]["lr"] = 0.1
        with torch.no_grad():
            one.params["pair"][0].mul_(2.0)
    assert_same_steps(step, eager, {"x": x}, schedules=({"beta": 0.0}, {"beta": 0.3}, {"beta": 1.4}))
    assert not step._others  # none of it ran eagerly
    for one in (step, eager):
        one.reset()
    with caplog.at_level(logging.INFO, "pyrovae"):
        assert_same_steps(step, eager, {"x": x[:7]}, tolerance=1e-4)
    assert len([r for r in caplog.records if "other shape, type or mode" in r.message]) == 1
    step.reset()
    before = [p.detach().clone() for p in step.params["pair"]]
    bad = x.clone()
    bad[0, 0] = math.nan
    assert math.isnan(step({"x": bad})) and math.isnan(step({"x": x})) and float(step.moves) == 0
    assert all(torch.equal(p, was) for p, was in zip(step.params["pair"], before, strict=True))


def test_a_step_of_several_updates():
    torch.manual_seed(0)
    spec = pv.data.DataSpec("toy", (6,), "binary")
    pair = pv.pairs.aae(spec, latent_dim=2, hidden=[8], discriminator_hidden=8)
    batch = {"x": torch.bernoulli(torch.full((30, 6), 0.4))}
    step, eager = steppers(pair.model, pair.guide, batch, pair.objective, backend="inductor")
    assert len(step.params) == 3
    assert_same_steps(step, eager, batch, tolerance=1e-4)


def test_evidence():
    """In batches, of which the last is short and runs as it is."""
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    options = {"num_samples": 40, "batch_size": 3, "max_rows": 60}
    eager, compiled = (pv.log_evidence(pair, pair.batch, compile=compile, **options) for compile in (False, True))
    torch.testing.assert_close(compiled.value, eager.value, atol=1e-4, rtol=1e-5)


@pytest.mark.inductor(6)
def test_the_steps_of_a_sequence():
    torch.manual_seed(0)
    batch, pair = {"x": draw(5, 4), "lengths": torch.tensor([4, 3, 1, 2, 4])}, walk()
    step, eager = steppers(pair.model, pair.guide, batch, "iwae:num_particles=3", backend="inductor")
    assert_same_steps(step, eager, batch, tolerance=1e-4)
