"""The Kalman VAE: the sum over its states is the dense Gaussian's, and missing frames are imputed as Kalman does."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

import pyrovae as pv
from pyrovae.core.step_run import trace_steps
from pyrovae.data.balls import ball_centres, bouncing_balls
from pyrovae.errors import OptionError
from pyrovae.generate.missing_steps import masked_pair

SIZES = {"latent_dim": 2, "state_dim": 3, "num_dynamics": 3, "recurrent_dim": 5}
REAL = pv.data.DataSpec("real", (6, 3), "real")


def double_pair(spec=REAL, **options):
    pair = pv.pairs.kalman_vae(spec, **{**SIZES, "hidden": [], **options})
    for program in (pair.model, pair.guide):
        program.double()
    return pair


def dense(model, a):
    """Covariance of a_1:T, (T d, T d), of the dynamics that the network mixes given a, (T, d)."""
    n, d = model.transitions.shape[-1], model.emissions.shape[1]
    h = c = a.new_zeros(model.recurrent_dim)
    rows = torch.eye(n, n + len(a) * n).to(a)  # s_t as coefficients of s_0 and of the noise of each step
    codes = []
    for t in range(len(a)):
        alpha = model.mixture(h).softmax(-1)
        transition, emission = (torch.einsum("k,kij->ij", alpha, each) for each in (model.transitions, model.emissions))
        rows = transition @ rows
        rows[:, n * (t + 1) : n * (t + 2)] += model.log_q.exp().sqrt() * torch.eye(n).to(a)
        codes.append(emission @ rows)
        h, c = model.cell(h, c, a[t])
    codes = torch.cat(codes)
    return codes @ codes.T + model.log_r.exp() * torch.eye(len(a) * d).to(a)


def test_at_given_codes_the_bound_is_kalmans():
    pair, x = double_pair(), torch.randn(4, 6, 3, dtype=torch.float64)
    with torch.no_grad():
        traced = trace_steps(pair.model, pair.guide, {"x": x}, 2)
        for k in range(2):
            for b in range(4):
                a = traced.latents["a"][k, b]
                exact = MultivariateNormal(torch.zeros(12).double(), dense(pair.model.own, a)).log_prob(a.flatten())
                assert abs(float(traced.log_p["a"][k, b] - exact)) < 1e-6
        own = traced.log_p["x"] + traced.log_p["a"] - traced.log_q["a"]
        torch.testing.assert_close(traced.log_weight, own, atol=1e-9, rtol=0)


@torch.no_grad()
def linear_pair():
    """One dynamics and a linear decoder: x is Gaussian; and its mean and covariance, (T D,)."""
    pair = double_pair(num_dynamics=1, likelihood="gaussian", scale=0.4)
    model, steps = pair.model.own, 6
    covariance = dense(model, torch.zeros(steps, 2).double())
    weight, bias = (each.double() for each in (model.decoder.mlp[-1].weight, model.decoder.mlp[-1].bias))
    big = torch.block_diag(*[weight] * steps)
    return pair, bias.repeat(steps), big @ covariance @ big.T + 0.16 * torch.eye(3 * steps).double()


def test_a_linear_one_has_the_evidence_of_its_gaussian():
    pair, mean, covariance = linear_pair()
    with torch.no_grad():  # a guide that is wide: the posterior's scale is about .3
        pair.guide.own.encoder.mlp[-1].weight.mul_(0.1)
        pair.guide.own.encoder.mlp[-1].bias[2:].fill_(math.log(math.expm1(0.8)))
    x = MultivariateNormal(mean, covariance).sample((3,))
    truth = MultivariateNormal(mean, covariance).log_prob(x)
    found = pv.log_evidence(pair, {"x": x.unflatten(1, (6, 3))}, "fivo", num_samples=1000, num_filters=8)
    assert (found.stderr < 0.3).all() and ((found.value - truth).abs() < 4 * found.stderr + 1e-3).all()


def test_missing_frames_have_their_exact_means():
    pair, mean, covariance = linear_pair()
    x = MultivariateNormal(mean, covariance).sample((2,)).unflatten(1, (6, 3))
    with torch.no_grad():
        pair.guide.own.encoder.mlp[-1].weight.mul_(0.1)
        pair.guide.own.encoder.mlp[-1].bias[2:].fill_(math.log(math.expm1(0.8)))
    mask = torch.ones_like(x)
    mask[0, 2], mask[1, 3:5] = 0, 0
    found = pv.impute(pair, {"x": x, "mask": mask}, num_samples=8000)
    torch.testing.assert_close(found[mask.bool()], x[mask.bool()], atol=1e-6, rtol=1e-6)
    for row in range(2):
        seen, gone = (mask[row].flatten() == flag for flag in (1, 0))
        gain = covariance[gone][:, seen] @ torch.linalg.inv(covariance[seen][:, seen])
        exact = mean[gone] + gain @ (x[row].flatten()[seen] - mean[seen])
        assert float((found[row].flatten()[gone] - exact).abs().max()) < 0.1


def test_missing_frames_are_proposed_by_the_model():
    pair, x = pv.pairs.kalman_vae(REAL, **SIZES, hidden=[]), torch.randn(2, 6, 3)
    masked = masked_pair(pair)
    traced = trace_steps(masked.model, masked.guide, {"x": x, "mask": torch.zeros_like(x)}, 4)
    torch.testing.assert_close(traced.log_weight, torch.zeros(4, 2), atol=1e-4, rtol=0)


def test_balls_move_straight_on_and_are_reflected():
    centres = ball_centres(50, 40, 16, 2.5, seed=3)
    assert centres.min() >= 2.5 and centres.max() <= 13.5 and (ball_centres(50, 40, 16, 2.5, seed=3) == centres).all()
    speed = abs(torch.as_tensor(centres).diff(dim=1))
    whole = speed.max(1, keepdim=True).values.expand_as(speed)  # of a step without a wall
    away = (torch.as_tensor(centres) - 8).abs()[:, :-1] + whole < 5.5
    assert away.any() and torch.allclose(speed[away], whole[away])
    films = bouncing_balls(50, 40, seed=3)
    y, x = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(16) + 0.5, indexing="ij")
    mass = torch.as_tensor(films).double()
    middle = torch.stack([(mass * each).sum((2, 3)) / mass.sum((2, 3)) for each in (x, y)], -1)
    assert (middle - torch.as_tensor(centres)).abs().max() < 0.35  # of pixels that are in or out
    with pytest.raises(OptionError, match="radius of less than half the size"):
        bouncing_balls(2, size=4, radius=2)
