"""Codes compared with the prior: values and gradients against closed forms, and the objectives that it contains."""

from __future__ import annotations

import math
from dataclasses import replace

import fits
import pytest
import torch
from fits import state
from steppers import step_of
from torch import nn
from torch.nn.functional import softplus

import pyrovae as pv
from pyrovae import guides, models
from pyrovae.errors import ContractError, OptionError, UnusedOptionError
from pyrovae.objectives import Given, get
from pyrovae.objectives.discrepancy import mmd
from pyrovae.objectives.moves import prepare_objective

ROWS = torch.arange(20)


def gaussian(digits, **options):
    torch.manual_seed(0)
    pair = pv.pairs.vae(digits.spec, **{"latent_dim": 2, "hidden": [12], **options})
    return pair, digits.train[ROWS]


def loss_and_gradient(pair, batch, objective, seed=3):
    """What the one update of an objective minimizes at a seed, its bound and its gradient."""
    parameters = [p for module in (pair.model, pair.guide) for p in module.parameters()]
    torch.manual_seed(seed)
    (update,) = get(objective).updates(Given(pair.model, pair.guide, [batch]))
    return update, torch.autograd.grad(update.loss, parameters)


# ------------------------------------------------------------------------------------------------ InfoVAE
def test_infovae_of_alpha_0_and_weight_1_is_the_vae_to_the_last_bit(digits):
    pair, batch = gaussian(digits)
    update, found = loss_and_gradient(pair, batch, "info-vae:alpha=0,weight=1")
    plain, expected = loss_and_gradient(pair, batch, "meanfield")
    assert torch.equal(update.loss, plain.loss) and torch.equal(update.bound, plain.bound)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    update, found = loss_and_gradient(pair, batch, "info-vae:alpha=0,weight=1,kl=sampled")
    plain, expected = loss_and_gradient(pair, batch, "elbo")
    assert torch.equal(update.loss, plain.loss)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("objective", "other"),
    [("info-vae:alpha=-2,weight=3", "meanfield:beta=3"), ("info-vae:alpha=1,weight=7", "wae:weight=7")],
)
def test_infovae_has_beta_vae_and_wae_among_its_weights(digits, objective, other):
    pair, batch = gaussian(digits)
    (_, found), (_, expected) = (loss_and_gradient(pair, batch, each) for each in (objective, other))
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=2e-4, atol=2e-5)


def test_infovae_reports_the_elbo_and_logs_what_it_trains(digits):
    pair, batch = gaussian(digits)
    update, _ = loss_and_gradient(pair, batch, "info-vae:alpha=0.5,weight=4")
    plain, _ = loss_and_gradient(pair, batch, "meanfield")
    assert torch.equal(update.bound, plain.bound)
    torch.manual_seed(3)
    traced = get("meanfield").trace(Given(pair.model, pair.guide, [batch]))
    kl = (traced.log_likelihood.mean(0) - plain.bound).mean()
    expected = plain.bound.mean() + 0.5 * kl - 3.5 * update.figures["divergence"]
    torch.testing.assert_close(update.figures["trained"], expected)
    assert torch.equal(update.loss, -update.figures["trained"]) and get("info-vae").bound == "lower"


# ------------------------------------------------------------------------------------------------ WAE
class Line(nn.Module):
    """z = a x, of numbers x."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, x):
        return self.slope * x


def linear(slope=0.6):
    """p(z) = N(0, 1), x ~ N(z, 1), z = a x."""

    class Mean(nn.Module):
        def forward(self, z):
            return z.unsqueeze(-2)

    from pyrovae.distributions.likelihoods import Gaussian

    return pv.core.pair.Pair(models.VAE(Mean(), Gaussian((1,), 1.0), 1), guides.Deterministic(Line(slope)), "wae")


def test_its_gradient_is_that_of_the_population_in_closed_form():
    """x ~ N(0, s^2), z = a x and a Gaussian kernel of width w: MMD^2 is three Gaussian integrals, and the error is known."""
    slope, spread, weight, rows = 0.6, 1.5, 20.0, 40
    pair, objective = linear(slope), get({"name": "wae", "divergence": "gaussian", "weight": weight})
    torch.manual_seed(0)
    found = []
    for _ in range(120):
        batch = {"x": spread * torch.randn(rows, 1)}
        (update,) = objective.updates(Given(pair.model, pair.guide, [batch]))
        (grad,) = torch.autograd.grad(update.loss, [pair.guide.encoder.slope])
        found.append(torch.stack([update.loss.detach(), grad]))
    found = torch.stack(found)
    a = torch.tensor(slope, requires_grad=True)
    codes = (a * spread) ** 2
    squared = (1 + 2 * codes) ** -0.5 + 3**-0.5 - 2 * (2 + codes) ** -0.5
    loss = weight * squared + ((1 - a) * spread) ** 2 / 2 + math.log(2 * math.pi) / 2
    (slope_of,) = torch.autograd.grad(loss, a)
    truth = torch.stack([loss.detach(), slope_of])
    assert bool(((found.mean(0) - truth).abs() < 3.5 * found.std(0) / 120**0.5).all()), (found.mean(0), truth)


def test_with_a_heavy_weight_the_codes_variance_is_the_priors():
    pair = linear(0.2)
    optimizer = torch.optim.Adam(pair.guide.parameters(), lr=0.02)
    objective, slopes = get("wae:weight=1000,divergence=gaussian"), []
    torch.manual_seed(0)
    for step in range(120):
        (update,) = objective.updates(Given(pair.model, pair.guide, [{"x": 2 * torch.randn(100, 1)}]))
        optimizer.zero_grad()
        update.loss.backward()
        optimizer.step()
        slopes.append(float(pair.guide.encoder.slope.detach())) if step >= 40 else None
    variance = (2 * sum(slopes) / len(slopes)) ** 2
    assert variance == pytest.approx(1.0, abs=0.03)


def test_particles_of_one_datum_are_compared_apart(digits):
    """The estimate of K particles is the mean of K estimates: codes of one datum are no independent draws of q(z)."""
    pair, batch = gaussian(digits)
    torch.manual_seed(5)
    (update,) = get("wae:num_particles=3").updates(Given(pair.model, pair.guide, [batch]))
    torch.manual_seed(5)
    objective = get("wae:num_particles=3")
    given = Given(pair.model, pair.guide, [batch])
    codes = objective.trace(given).latents["z"]
    prior = objective.prior(given)["z"]["value"]
    expected = torch.stack([mmd(codes[k], prior[k]) for k in range(3)]).mean()
    assert torch.equal(update.figures["divergence"], expected)


def test_a_batch_of_one_row_trains_by_the_reconstruction_alone(digits):
    pair, _ = gaussian(digits)
    update, grads = loss_and_gradient(pair, digits.train[torch.arange(1)], "wae")
    assert float(update.figures["divergence"].detach()) == 0 and torch.equal(update.loss, -update.bound.mean())
    assert all(bool(g.isfinite().all()) for g in grads)


def test_the_discriminator_of_wae_gan_moves_before_the_pair_and_alone(digits):
    torch.manual_seed(0)
    pair = pv.pairs.wae(digits.spec, latent_dim=2, hidden=[12], penalty="gan", weight=3.0, discriminator_hidden=8)
    batch, objective = digits.train[ROWS], get(pair.objective)
    prepare_objective(objective, pair.model, pair.guide, batch)
    updates = objective.updates(Given(pair.model, pair.guide, [batch]))
    first = next(updates)
    own = list(objective.networks.parameters())
    grads = torch.autograd.grad(first.loss, own, retain_graph=True)
    assert not any(torch.autograd.grad(first.loss, list(pair.guide.parameters()), allow_unused=True, retain_graph=True))
    with torch.no_grad():
        for parameter, grad in zip(own, grads, strict=True):
            parameter -= 0.5 * grad
    second = next(updates)
    codes = pair.guide.encoder(batch["x"])
    deception = softplus(-objective.networks(codes)).mean()  # of the discriminator that has moved
    assert float(second.figures["deception"].detach()) == pytest.approx(float(deception.detach()), rel=1e-5)
    assert torch.allclose(second.loss, 3 * second.figures["deception"] - second.bound.mean())
    constant = [p.detach().zero_() for p in own]
    assert len(constant) == 6
    loss = next(objective.updates(Given(pair.model, pair.guide, [batch]))).loss
    assert float(loss.detach()) == pytest.approx(2 * math.log(2))


# ------------------------------------------------------------------------------------------------ every way of running them
@pytest.mark.parametrize("name", ["wae-gan:hidden=8", "info-vae:alpha=0.5"])
def test_a_compiled_step_is_the_eager_one(digits, name):
    after = []
    for backend in ("eager", "graph"):
        pair, batch = gaussian(digits)
        torch.manual_seed(1)
        step = step_of(pair, batch, get(name), backend)
        for seed in range(3):
            torch.manual_seed(seed)
            step(batch)
        after.append(state(pair))
    for key, value in after[0].items():
        torch.testing.assert_close(after[1][key], value, rtol=1e-4, atol=1e-6)


def test_weights_can_be_scheduled_and_are_logged(digits):
    pair, _ = gaussian(digits)
    small = replace(digits, train=digits.train.subset(torch.arange(60)), valid=digits.valid.subset(ROWS))
    schedule = {"alpha": "linear:start=0,end=1,epochs=2"}
    run = fits.quiet(pair, small, objective="info-vae:weight=1", epochs=3, batch_size=20, schedule=schedule)
    assert [round(record["alpha"], 2) for record in run.records][-1] == 1.0
    assert {"divergence", "trained", "code_mmd", "code_mmd_null", "code_distance"} <= run.records[-1].keys()


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("wae:divergence=imk", OptionError, "divergence of codes is called 'imk'"),
        ("wae:divergence=sliced-wasserstein,width=1", UnusedOptionError, "has no kernel"),
        ("wae:width=0", OptionError, "width is 0"),
        ("wae:weight=-1", OptionError, "weight is -1"),
        ("info-vae:alpha=2", OptionError, "alpha is 2; expected a number of at most 1"),
        ("info-vae:alpha=0.2,weight=0.5", OptionError, "rewards codes that are unlike the prior; give weight at least 0.8"),
    ],
)
def test_what_they_cannot_do_is_refused(text, error, match):
    with pytest.raises(error, match=match):
        get(text)


def test_guides_that_they_cannot_serve_are_refused(digits):
    point = pv.pairs.wae(digits.spec, latent_dim=2, hidden=[12])
    batch = digits.train[ROWS]
    with pytest.raises(ContractError, match="bound on log p"):
        prepare_objective(get("info-vae"), point.model, point.guide, batch)
    discrete = pv.pairs.get("categorical-vae").build(digits.spec)
    with pytest.raises(ContractError, match="drawn without reparameterization|summed out"):
        prepare_objective(get("wae"), discrete.model, discrete.guide, batch)
