"""Denoising bounds below log p(x), by quadrature."""

from __future__ import annotations

import itertools

import exact
import pyro.distributions as dist
import pytest
import torch

import pyrovae as pv
from pyrovae import guides
from pyrovae.distributions import GaussianMixture

RATE = 0.4


def masks(dims):
    """Every mask of D values, (2^D, D), and its probability."""
    chosen = torch.tensor(list(itertools.product([0.0, 1.0], repeat=dims)))
    return chosen, torch.where(chosen == 0, RATE, 1 - RATE).prod(1)


def test_the_denoising_bound_is_below_that_of_its_mixture_by_their_information_and_both_below_log_p():
    """p(x, z) linear-Gaussian with d = 1, q(z | c) the exact posterior at c, c all 8 masks of x: everything by quadrature."""
    pair = exact.linear_gaussian(1, 3)
    x, log_p = pair.batch["x"].double(), pair.log_evidence().detach().double()
    chosen, probability = masks(3)
    factors = pair.model.factor_analysis.double()
    grid = torch.linspace(-12, 12, 6001, dtype=torch.float64)

    with torch.no_grad():
        likelihood = dist.Normal(grid[:, None] @ factors.weight.T + factors.loc, factors.scale).to_event(1)
        log_joint = dist.Normal(0.0, 1.0).log_prob(grid) + likelihood.log_prob(x.unsqueeze(1))  # (B, grid)
        loc, tril = factors.posterior(x.unsqueeze(1) * chosen.double())  # (B, 8, 1)
        scale = tril.expand(*loc.shape)
        each = dist.Normal(loc, scale).log_prob(grid)  # (B, 8, grid)
        mixed = GaussianMixture(loc, scale.expand_as(loc), probability.double().log().expand(len(x), -1))
        log_mixed = mixed.log_prob(grid.reshape(-1, 1, 1)).T  # (B, grid)
        denoising = probability.double() @ torch.trapezoid(each.exp() * (log_joint.unsqueeze(1) - each), grid).T
        mixture = torch.trapezoid(log_mixed.exp() * (log_joint - log_mixed), grid)
        information = probability.double() @ torch.trapezoid(each.exp() * (each - log_mixed.unsqueeze(1)), grid).T
    torch.testing.assert_close(mixture - denoising, information, rtol=1e-6, atol=1e-6)
    assert (denoising < mixture).all() and (mixture < log_p).all() and (information > 1e-4).all()

    factors.float()
    guide = guides.Denoising(pair.guide)
    x = pair.batch["x"]
    bounds = [
        float(p) * -pv.objectives.ELBO(20_000).loss(pair.model, guide, x=x, x_corrupted=x * mask) / len(x)
        for mask, p in zip(chosen, probability, strict=True)
    ]
    assert sum(bounds) == pytest.approx(float(denoising.mean()), abs=0.02)
    for mask in chosen[[3, 5, 7]]:  # given its corruption, the guide is a proposal like any other, if often a bad one
        evidence = pv.log_evidence((pair.model, guide), {"x": x, "x_corrupted": x * mask}, num_samples=4000)
        good = ~(evidence.khat > 0.5)
        assert ((evidence.value - log_p).abs() < 4.5 * evidence.stderr + 1e-4)[good].all() and good.sum() >= 2
    assert float((pv.log_evidence((pair.model, guide), x, num_samples=5).value - log_p).abs().max()) < 1e-4  # clean: exact
