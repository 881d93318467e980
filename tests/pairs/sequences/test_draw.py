"""DRAW: its filters by formula, windows that read what they write, a VAE at one step, the KL with its constants."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.core.step_run import trace_steps
from pyrovae.errors import OptionError
from pyrovae.nets import Window, filterbank

SPEC = pv.data.DataSpec("toy", (6, 5), "binary")
SIZES = {"latent_dim": 3, "recurrent_dim": 7}
X = torch.bernoulli(torch.full((4, 6, 5), 0.4), generator=torch.Generator().manual_seed(0))


def test_filters_are_those_of_the_formula_and_each_of_sum_one():
    g, delta, variance = torch.tensor([2.2, 4.0]), torch.tensor([0.7, 1.9]), torch.tensor([0.5, 3.0])
    bank = filterbank(g, delta, variance, 3, 6)
    torch.testing.assert_close(bank.sum(-1), torch.ones(2, 3))
    for b in range(2):
        for i in range(1, 4):
            mu = g[b] + (i - 3 / 2 - 0.5) * delta[b]
            row = torch.tensor([math.exp(-((a - mu) ** 2) / (2 * variance[b])) for a in range(1, 7)])
            torch.testing.assert_close(bank[b, i - 1], row / row.sum(), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def crop(shape, size, x=0.0, y=0.0, intensity=2.0):
    """A window at a place, of stride 1 and filters of one pixel."""
    window = Window(1, shape, size)
    stride = math.log((size - 1) / (max(shape) - 1))
    window.place.weight.zero_()
    window.place.bias.copy_(torch.tensor([x, y, math.log(1e-4), stride, math.log(intensity)]))
    return window


def test_a_sharp_window_of_stride_one_reads_a_crop_and_writes_it_back():
    image = torch.rand(2, 7, 5)
    window, h = crop((7, 5), 3), torch.zeros(2, 1)
    torch.testing.assert_close(window.read(h, image), 2 * image[:, 2:5, 1:4])  # the middle, not one pixel beside it
    torch.testing.assert_close(window.read(h, image, -image), 2 * torch.cat([image, -image], 1)[:, [2, 3, 4, 9, 10, 11], 1:4])
    again = window.write(h, window.read(h, image))
    expected = torch.zeros_like(image)
    expected[:, 2:5, 1:4] = image[:, 2:5, 1:4]
    torch.testing.assert_close(again, expected)
    moved = crop((7, 5), 3, x=1 / 3, y=-1 / 4)  # one pixel to the right, one up: of (5 + 1) / 2 and (7 + 1) / 2
    torch.testing.assert_close(moved.read(h, image), 2 * image[:, 1:4, 2:5])


class OneStep(nn.Module):
    """The networks of a DRAW of one step without attention as a VAE."""

    def __init__(self, pair, guide):
        super().__init__()
        self.model, self.own, self.guide = pair.model.own, pair.guide.own, guide

    def forward(self, x):
        model, zeros = self.model, torch.zeros(len(x), 7)
        with pyro.plate("data", len(x), dim=-1):
            if self.guide:
                read = torch.cat([x, x - model.canvas.sigmoid()], -2).flatten(-2)
                loc, log_scale = self.own.out(self.own.cell(zeros, zeros, read, zeros)[0]).chunk(2, -1)
                pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
            else:
                z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
                logits = model.canvas + model.out(model.cell(zeros, zeros, z)[0]).unflatten(-1, (6, 5))
                pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=x)


def test_one_step_without_attention_is_a_vae():
    pair = pv.pairs.draw(SPEC, **SIZES, num_steps=1, attention=False)
    found = []
    for model, guide in ((OneStep(pair, False), OneStep(pair, True)), (pair.model, pair.guide)):
        torch.manual_seed(0)
        found.append(pv.objectives.get("iwae:num_particles=3").evaluate(model, guide, {"x": X}))
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("attention", [True, False])
def test_scores_are_those_of_the_equations(attention):
    torch.manual_seed(0)
    own = {"read_size": 2, "write_size": 3} if attention else {}
    pair = pv.pairs.draw(SPEC, **SIZES, num_steps=3, attention=attention, **own)
    traced, model, guide = trace_steps(pair.model, pair.guide, {"x": X}, 2), pair.model.own, pair.guide.own
    h = memory = seen = seen_memory = torch.zeros(2, 4, 7)
    canvas, kl, posterior = model.canvas.expand(2, 4, 6, 5), torch.zeros(2, 4), torch.zeros(2, 4)
    for t in range(3):
        z, error = traced.latents["z"][..., t, :], X - canvas.sigmoid()
        read = guide.window.read(h, X, error) if attention else torch.cat([X.expand(2, 4, 6, 5), error], -2)
        seen, seen_memory = guide.cell(seen, seen_memory, read.flatten(-2), h)
        loc, log_scale = guide.out(seen).chunk(2, -1)
        posterior += dist.Normal(loc, log_scale.exp()).log_prob(z).sum(-1)
        kl += 0.5 * (loc**2 + (2 * log_scale).exp() - 2 * log_scale - 1).sum(-1)  # Eq. (11), with T d / 2
        h, memory = model.cell(h, memory, z)
        drawn = model.out(h)
        canvas = canvas + (model.window.write(h, drawn.unflatten(-1, (3, 3))) if attention else drawn.unflatten(-1, (6, 5)))
    torch.testing.assert_close(traced.log_q["z"], posterior, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(traced.site_kl("z"), kl, atol=1e-5, rtol=1e-5)
    likelihood = dist.Bernoulli(logits=canvas).log_prob(X).sum((-1, -2))
    torch.testing.assert_close(traced.log_p["x"], likelihood, atol=1e-5, rtol=1e-5)


def test_samples_begin_anew_and_the_importance_bound_is_above_the_elbo():
    pair = pv.pairs.draw(SPEC, **SIZES, num_steps=3)
    found = pv.log_evidence(pair, {"x": X}, num_samples=200)
    assert (found.elbo < found.value).all()
    torch.manual_seed(0)
    first = pv.sample(pair, 3)["x"]
    pv.log_evidence(pair, {"x": X}, num_samples=2)
    torch.manual_seed(0)
    assert torch.equal(pv.sample(pair, 3)["x"], first) and first.shape == (3, 6, 5)  # no state of another batch


def test_what_it_cannot_draw_is_refused():
    with pytest.raises(OptionError, match="does not score unit data"):
        pv.pairs.draw(pv.data.DataSpec("grey", (4, 4), "unit"))
    with pytest.raises(OptionError, match="has size 1; expected at least 2"):
        pv.pairs.draw(SPEC, read_size=1)
    with pytest.raises(OptionError, match="read_size of pair draw goes with attention=True"):
        pv.pairs.draw(SPEC, attention=False, read_size=3)
