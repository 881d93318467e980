"""Estimators of discrete sites by name: against enumeration, the densities of the relaxed sites, what is refused."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from relaxed_pairs import X, every_value, gradient, tiny_pair
from repeats import joined, repeat_loss
from torch import nn

from pyrovae import objectives
from pyrovae.effects.relaxed import Relaxation, RelaxedBernoulli, RelaxedOneHot
from pyrovae.objectives import Given


@pytest.mark.parametrize("num_classes", [2, 3])
def test_enumeration_by_option_is_the_elbo_over_all_values(num_classes):
    pair = tiny_pair(num_classes=num_classes)
    joint, log_q = every_value(pair)
    expected = -(log_q.exp() * (joint - log_q)).sum()
    for name in ("elbo:estimator=enumerate", "meanfield:estimator=enumerate", "enum"):
        loss = objectives.get(name).differentiable_loss(pair.model, pair.guide, x=X)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
        for part in ("model", "guide"):
            torch.testing.assert_close(gradient(loss, pair, part), gradient(expected, pair, part), rtol=1e-4, atol=1e-5)
    weighted = objectives.get("iwae:num_particles=2,estimator=enumerate").evaluate(pair.model, pair.guide, {"x": X})
    torch.testing.assert_close(weighted, joint.logsumexp(0), rtol=1e-5, atol=1e-5)


# name -> number of classes -> largest relative error of the mean gradient; None where it is unbiased
ESTIMATORS = {
    "elbo:num_particles=3,estimator=score,baseline=none": {2: None},
    "elbo": {2: None},
    "elbo:num_particles=2,estimator=straight-through": {2: 0.12, 3: 0.5},
    "elbo:num_particles=2,estimator=gumbel-straight-through,temperature=0.7": {2: 0.22, 3: 0.65},
    "elbo:num_particles=2,estimator=concrete,temperature=0.7": {2: 1.5, 3: 3.0},
}


@pytest.mark.parametrize(("name", "num_classes"), [(name, c) for name, each in ESTIMATORS.items() for c in each])
def test_the_mean_gradient_of_each_estimator_beside_the_exact_one(name, num_classes):
    pair = tiny_pair(num_classes=num_classes)
    joint, log_q = every_value(pair)
    expected = -(log_q.exp() * (joint - log_q)).sum()
    losses, grads = repeat_loss(objectives.get(name), pair, 3000)
    truth, draws = gradient(expected, pair), joined(grads, "guide")
    error = draws.mean(0) - truth
    z = error / (draws.std(0) / len(draws) ** 0.5).clamp_min(1e-5)
    value = (losses.mean() - expected.detach()) / (losses.std() / len(losses) ** 0.5)
    bias = ESTIMATORS[name][num_classes]
    assert z.abs().max() < 5 if bias is None else z.abs().max() > 3 and error.norm() < bias * truth.norm()
    assert nn.functional.cosine_similarity(draws.mean(0), truth, dim=0) > 0.6
    assert (value.abs() < 4) != ("concrete" in name)  # the hard value is the ELBO; the relaxed pair has another


@pytest.mark.parametrize("name", ["iwae:num_particles=3", "iwae:num_particles=3,estimator=vimco"])
def test_weighted_estimators_are_unbiased_by_enumeration_of_all_draws(name):
    pair = tiny_pair(num_variables=2, num_classes=2)
    joint, log_q = every_value(pair)
    draws = torch.cartesian_prod(*[torch.arange(4)] * 3)
    value = objectives.bounds.iwae((joint - log_q)[draws].transpose(0, 1))  # (draws, B)
    expected = -(log_q[draws].sum(1).exp() * value).sum()
    losses, grads = repeat_loss(objectives.get(name), pair, 3000)
    found, truth = joined(grads, "guide"), gradient(expected, pair)
    assert ((found.mean(0) - truth) / (found.std(0) / len(found) ** 0.5).clamp_min(1e-5)).abs().max() < 5
    assert abs(losses.mean() - expected.detach()) < 4 * losses.std() / len(losses) ** 0.5


def test_aliases_are_the_same_value_and_gradient_bit_for_bit():
    pair = tiny_pair()
    for one, other in (
        ("enum", "elbo:estimator=enumerate"),
        ("nvil:baseline=average,num_particles=2", "elbo:estimator=score,baseline=average,num_particles=2"),
        ("vimco:num_particles=4", "iwae:estimator=vimco,num_particles=4"),
        ("iwae:num_particles=4", "iwae:estimator=score,num_particles=4"),
    ):
        found = []
        for name in (one, other):
            torch.manual_seed(3)
            loss = objectives.get(name).differentiable_loss(pair.model, pair.guide, x=X)
            found.append((loss, gradient(loss, pair)))
        assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1]), one


def test_as_the_temperature_falls_the_likelihood_is_the_hard_ones_and_the_kl_that_of_noisy_logits():
    """Noise is never lost where values are kept exactly, so the relaxed KL is that of logistic variables, whatever T."""
    pair = tiny_pair(num_classes=2)
    joint, log_q = (each.detach() for each in every_value(pair))
    likelihood = float((log_q.exp() * (joint + 2 * math.log(2))).sum(0).mean())
    t, logits = torch.linspace(-40, 40, 4001), pair.guide.encoder(X).detach().unsqueeze(-1)

    def logistic(x):
        return -x - 2 * nn.functional.softplus(-x)

    ratio = logistic(t - logits) - logistic(t)
    kl = float(torch.trapezoid(logistic(t - logits).exp() * ratio, t).sum(-1).mean())
    assert kl > float((log_q.exp() * (log_q + 2 * math.log(2))).sum(0).mean())  # more than the bits' own
    errors = []
    for temperature in (1.0, 0.3, 0.02):
        objective = objectives.get(f"elbo:num_particles=40000,estimator=concrete,temperature={temperature}")
        torch.manual_seed(0)
        traced = objective.trace(Given(pair.model, pair.guide, [{"x": X}]))
        found = (traced.log_q["z"] - traced.log_p["z"]).detach()
        assert abs(float(found.mean()) - kl) < 5 * float(found.std()) / 80000**0.5
        errors.append(abs(float(traced.log_p["x"].detach().mean()) - likelihood))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.02, errors


# ------------------------------------------------------------------------------------------------ the relaxed densities
def soft(family, base, temperature, kind="concrete"):
    return family(base, Relaxation(kind, temperature, temperature), temperature, "z")


def test_relaxed_densities_integrate_to_one_and_their_argmax_has_the_discrete_probabilities():
    torch.manual_seed(0)
    logit, temperature = torch.tensor(0.6, dtype=torch.float64), 0.8
    t = torch.linspace(-60, 60, 200001, dtype=torch.float64)
    bit, y = soft(RelaxedBernoulli, dist.Bernoulli(logits=logit), temperature), t.sigmoid()
    density = bit.density(t) + nn.functional.logsigmoid(t) + nn.functional.logsigmoid(-t)  # of t, dy/dt = y (1 - y)
    assert float(torch.trapezoid(density.exp(), t)) == pytest.approx(1, abs=1e-6)
    inner = (y > 1e-4) & (y < 1 - 1e-4)
    reference = dist.RelaxedBernoulli(torch.tensor(temperature, dtype=torch.float64), logits=logit).log_prob(y[inner])
    torch.testing.assert_close(bit.log_prob(y[inner]), reference)

    logits = torch.tensor([0.3, -1.0, 0.9], dtype=torch.float64)
    three = soft(RelaxedOneHot, dist.OneHotCategorical(logits=logits), temperature)
    a, b = torch.meshgrid(*[torch.linspace(-30, 30, 601, dtype=torch.float64)] * 2, indexing="ij")
    log_y = torch.stack([a, b, torch.zeros_like(a)], -1).log_softmax(-1)
    density = (three.density(log_y) + log_y.sum(-1)).exp()  # dy/d(a, b) has determinant y_1 y_2 y_3
    assert float(torch.trapezoid(torch.trapezoid(density, dx=0.1), dx=0.1)) == pytest.approx(1, abs=1e-6)

    bases = {RelaxedBernoulli: dist.Bernoulli(logits=logit), RelaxedOneHot: dist.OneHotCategorical(logits=logits)}
    for family, base in bases.items():
        for kind in ("concrete", "straight-through", "gumbel-straight-through"):
            drawn = soft(family, base.expand([20000]), 0.5, kind).rsample()
            hard = drawn.round() if family is RelaxedBernoulli else torch.eye(3)[drawn.argmax(-1)].double()
            error = (base.probs * (1 - base.probs) / 20000).sqrt()
            assert bool(((hard.mean(0) - base.probs).abs() < 4 * error).all())
            assert kind == "concrete" or torch.allclose(drawn, hard)


def test_values_that_round_to_one_are_scored_where_they_were_drawn():
    """A bit's logit of 12 at temperature .1 is a soft value of 1 - e^-120; p / q is what float64 says of its logit."""
    torch.manual_seed(0)
    pair = tiny_pair(num_variables=4, num_classes=2, scale=6.0)
    traced = objectives.get("elbo:num_particles=500,estimator=concrete,temperature=0.1,prior_temperature=0.3").trace(
        Given(pair.model, pair.guide, [{"x": X}])
    )
    q, z = traced.guide_sites["z"]["fn"].base_dist, traced.latents["z"]
    assert bool((z == 1).any())
    log_z = q.drawn[1].double()

    def density(logits, temperature):
        return soft(RelaxedBernoulli, dist.Bernoulli(logits=logits.double()), temperature).density(log_z).sum(-1)

    logits = pair.guide.encoder(X)
    expected = density(torch.zeros_like(logits), 0.3) - density(logits, 0.1)
    torch.testing.assert_close((traced.log_p["z"] - traced.log_q["z"]).double(), expected, rtol=1e-4, atol=2e-3)


class Rows(nn.Module):
    """A decoder that takes a batch of vectors and nothing else."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, z):
        rows, size = z.shape
        return self.inner(z.view(rows, size))


def test_particles_as_rows_have_the_scores_of_particles():
    found = []
    for wrap in (lambda decoder: decoder, Rows):
        pair = tiny_pair(num_variables=3, num_classes=2, scale=4.0)
        pair.model.decoder = wrap(pair.model.decoder)
        torch.manual_seed(1)
        loss = objectives.get("iwae:num_particles=6,estimator=concrete,temperature=0.2").differentiable_loss(
            pair.model, pair.guide, x=X
        )
        found.append((loss, gradient(loss, pair)))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-5)
