"""Adversarial variational Bayes: T is the log ratio, its mean the KL, and with the true T the gradient is the ELBO's."""

from __future__ import annotations

import math

import exact
import fits
import pytest
import torch
from fits import state
from torch import nn

import pyrovae as pv
from pyrovae.distributions import Implicit, is_density, is_implicit
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import AVB, Given, MeanField
from pyrovae.objectives.adversarial_bayes import moment_bias
from pyrovae.objectives.moves import moved_parameters, prepare_objective

PAIR = "linear-gaussian 2x4 wrong"


def tiny(digits, **options):
    torch.manual_seed(0)
    return pv.pairs.avb(digits.spec, latent_dim=2, hidden=[16], noise_dim=3, discriminator_hidden=8, **options)


def known(rows=200):
    """A linear Gaussian pair whose guide is a Gaussian, and data."""
    pair = exact.PAIRS[PAIR]()
    return pair, {"x": pair.batch["x"].repeat(rows // len(pair.batch["x"]) + 1, 1)[:rows]}


class Exact(nn.Module):
    """In place of the network of T: what it has to learn, log q(z | x) where -log p(z) is known to it."""

    def __init__(self, guide):
        super().__init__()
        self.guide = [guide]  # no parameter of T

    def forward(self, x, z):
        sites = pv.core.trace.run_program(self.guide[0], {"x": x}, len(z))
        return sites.nodes["z"]["fn"].log_prob(z).unsqueeze(-1)


class Zero(nn.Module):
    """T where there is nothing to tell apart."""

    def forward(self, x, z):
        return torch.zeros(*z.shape[:-1], 1)


def with_network(network, **options):
    objective = AVB(**options)
    objective.networks = network
    return objective


# ------------------------------------------------------------------------------------------------ what T is
def test_the_mean_of_a_trained_t_is_the_kl_of_a_gaussian_guide_within_5_per_cent():
    pair, batch = known(64)
    objective = AVB(hidden=32, num_particles=4)
    torch.manual_seed(0)
    prepare_objective(objective, pair.model, pair.guide, batch)
    given, params = Given(pair.model, pair.guide, [batch]), list(objective.networks.parameters())
    adam = torch.optim.Adam(params, 1e-2, betas=(0.5, 0.999))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 120)
    for _ in range(120):
        ((_, judged),) = objective.updates(given)
        for parameter, gradient in zip(params, torch.autograd.grad(judged.loss, params), strict=True):
            parameter.grad = gradient
        adam.step()
        schedule.step()
    with torch.no_grad():
        many = AVB(hidden=32, num_particles=500)
        many.networks = objective.networks
        traced = many.trace(given)
        truth = (traced.total({"z": traced.log_q["z"]}) - traced.log_p["z"]).mean()
        estimate = traced.log_likelihood.mean() - many.value(given).mean()
    assert float(estimate) == pytest.approx(float(truth), rel=0.05)
    assert judged.loss < 2 * math.log(2) - 0.1


def test_with_the_true_t_value_and_gradient_are_those_of_the_elbo():
    """Prop. 2: the gradient through the optimal T has mean zero, so that T may stand still."""
    pair, batch = known(4)
    groups = [p for p in (*pair.model.parameters(), *pair.guide.parameters()) if p.requires_grad]
    given, found = Given(pair.model, pair.guide, [batch]), {}
    frozen = exact.PAIRS[PAIR]()
    for name, objective in {
        "avb": with_network(Exact(frozen.guide), num_particles=20_000),
        "elbo": MeanField(num_particles=20_000),
    }.items():
        torch.manual_seed(1)
        update = next(objective.updates(given))
        update = update if name == "elbo" else update[0]
        found[name] = float(update.bound.detach().mean()), torch.autograd.grad(update.loss, groups, allow_unused=True)
    assert found["avb"][0] == pytest.approx(found["elbo"][0], abs=0.05)
    for ours, theirs in zip(found["avb"][1], found["elbo"][1], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.05)


def test_a_constant_t_has_the_loss_of_the_equilibrium():
    pair, batch = known(20)
    ((_, judged),) = with_network(Zero(), contrast="adaptive").updates(Given(pair.model, pair.guide, [batch]))
    assert judged.loss.item() == pytest.approx(2 * math.log(2), abs=1e-6)
    assert [judged.figures[name].item() for name in ("logit_code", "logit_contrast", "accuracy")] == [0, 0, 0]


@pytest.mark.parametrize("num_moments", [6, 32])
def test_adaptive_contrast_needs_no_t_for_a_gaussian_guide(num_moments):
    """With T = 0 the estimate is the ELBO, whatever the noise of the moments: its bias is known and taken off."""
    pair, batch = known(20)
    objective = with_network(Zero(), contrast="adaptive", num_moments=num_moments, num_particles=200)
    given = Given(pair.model, pair.guide, [{"x": batch["x"].repeat(40, 1)}])
    with torch.no_grad():
        value = objective.value(given).reshape(40, -1).mean(1)
        truth = MeanField(num_particles=2000).value(Given(pair.model, pair.guide, [batch])).mean()
    error = float(value.std() / math.sqrt(40))
    assert float(value.mean()) == pytest.approx(float(truth), abs=4 * error + 0.02)
    assert num_moments > 10 or 2 * moment_bias(num_moments) > 4 * error + 0.02  # which would be seen without


def test_the_bias_of_moments_is_that_of_draws():
    torch.manual_seed(0)
    draws = torch.randn(200_000, 10, dtype=torch.float64)
    cross = draws.var(1).log() / 2 + (1 + draws.mean(1).square()) / (2 * draws.var(1)) - 0.5
    assert moment_bias(10) == pytest.approx(float(cross.mean()), abs=4 * float(cross.std()) / math.sqrt(len(cross)))


# ------------------------------------------------------------------------------------------------ routes, ways of running
@pytest.mark.parametrize("contrast", ["prior", "adaptive"])
def test_each_update_moves_its_own_parameters(digits, contrast):
    pair = tiny(digits, contrast=contrast)
    objective, batch = pv.objectives.get(pair.objective), digits.train[torch.arange(20)]
    prepare_objective(objective, pair.model, pair.guide, batch)
    moved = moved_parameters(objective, pair.model, pair.guide)
    own = {id(p) for p in objective.networks.parameters()}
    assert {id(p) for p in moved["discriminator"]} == own and not own & {id(p) for p in moved["pair"]}
    (updates,) = objective.updates(Given(pair.model, pair.guide, [batch]))
    for update in updates:
        gradients = torch.autograd.grad(update.loss, moved[update.name], retain_graph=True)
        assert all(bool(gradient.any()) for gradient in gradients)
    assert torch.autograd.grad(updates[1].loss, moved["pair"], allow_unused=True) == (None,) * len(moved["pair"])


def test_a_resumed_run_is_bitwise_the_same(digits, tmp_path):
    whole = fits.quiet(one := tiny(digits), digits, epochs=3, batch_size=200)
    fits.quiet(tiny(digits), digits, epochs=1, batch_size=200, out=tmp_path / "run")
    resumed = pv.resume(tmp_path / "run", epochs=3, progress=False)
    assert all(torch.equal(value, state(resumed.pair)[name]) for name, value in state(one).items())
    assert [row["discriminator"] for row in resumed.records] == [row["discriminator"] for row in whole.records]
    columns = {
        "pair",
        "discriminator",
        "kl",
        "accuracy",
        "logit_code",
        "logit_contrast",
        "code_distance",
        "code_distance_null",
    }
    assert columns <= whole.records[0].keys() and whole.config["bound"] == "estimate"


# ------------------------------------------------------------------------------------------------ evidence, refusals
def test_a_sampler_has_no_weights_and_its_model_a_log_p_by_annealing_from_the_prior(digits):
    pair, few = tiny(digits), digits.test.subset(torch.arange(4))
    for options in ({}, {"method": "ais"}, {"method": "bridge"}):
        with pytest.raises(
            ContractError, match="'z' of the guide is drawn by a network of noise, without a density.*start='prior'"
        ):
            pv.log_evidence(pair, few, **options)
    for objective in ("elbo", "meanfield", "iwae"):
        with pytest.raises(ContractError, match="is a bound on log p.*without a density"):
            fits.quiet(tiny(digits), digits, objective, epochs=1)
    annealed = pv.log_evidence(pair, few, "ais", start="prior", num_chains=20, num_distributions=50)
    z = torch.randn(20_000, 1, 2)
    with torch.no_grad():
        likelihood = pair.model.likelihood(pair.model.decoder(z)).log_prob(few["x"])
    truth = likelihood.logsumexp(0) - math.log(len(z))
    torch.testing.assert_close(annealed.value, truth.double(), atol=0.1, rtol=0)
    found = pv.evaluate(pair, few)
    assert found.evidence is None and "without a density" in found.reason
    assert pv.objectives.get("avb").bound == "estimate"


def test_implicit_draws_are_differentiable_and_a_check_sees_rows_that_mix(digits):
    weight = torch.ones(3, 2, requires_grad=True)
    draws = Implicit(lambda noise: noise @ weight, 3, 2, torch.Size([5]), torch.zeros(1)).expand(torch.Size([4, 5]))
    z = draws.rsample()
    assert z.shape == (4, 5, 2) and torch.autograd.grad(z.sum(), weight)[0].any()
    assert is_implicit(draws) and not is_density(draws)
    pair = tiny(digits)
    encoder = pair.guide.encoder
    pair.guide.encoder = Mixing(encoder)
    with pytest.raises(ContractError, match="datum 0 scores"):
        pv.check(pair, digits)


class Mixing(nn.Module):
    """An encoder that subtracts the mean of the batch."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x, noise):
        return self.encoder(x - x.mean(0), noise)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": "posterior"}, "contrast is 'posterior'; expected 'prior' or 'adaptive'"),
        ({"num_moments": 32}, "num_moments goes with contrast='adaptive'"),
        ({"contrast": "adaptive", "num_moments": 3}, "num_moments is 3; expected a whole number of at least 4"),
        ({"hidden": 0}, "hidden is 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        AVB(**options)


def test_pairs_that_it_does_not_serve_are_refused(digits):
    with pytest.raises(ContractError, match="needs log p.z., and latent site 'z' has no prior density"):
        fits.quiet(pv.pairs.ae(digits.spec, latent_dim=2, hidden=[8]), digits, "avb:contrast=adaptive", epochs=1)
    pair = exact.gaussian_mixture("enumerated")
    with pytest.raises(ContractError, match="is summed out"):
        AVB().trace(Given(pair.model, pair.guide, [pair.batch]))
