"""Importance-weighted GAN and adversary-activated VAE: Lemma 1 by enumeration, weights, and the cases that they contain."""

from __future__ import annotations

import fits
import pytest
import torch
from fits import state
from torch import nn

import pyrovae as pv
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import AAVAE, IWGAN, Given, MeanField
from pyrovae.objectives.moves import moved_parameters, prepare_objective
from pyrovae.objectives.wake_sleep_gan import energy_score, log_reversed, normalized_odds

NAMES = ("iw-gan:hidden=8", "aa-vae:hidden=8")


def given_of(data, rows=20):
    pair = fits.small(data)
    return pair, Given(pair.model, pair.guide, [{"x": data.train[torch.arange(rows)]["x"]}])


class Level(nn.Module):
    """A discriminator that is 0 everywhere, and not flat."""

    def forward(self, x):
        h = x.flatten(-2)
        return ((h - h.detach()) * torch.linspace(-1, 1, h.shape[-1])).sum(-1)


class Perfect(nn.Module):
    """A discriminator that knows: asked for data first, then for draws."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def forward(self, x):
        self.asked += 1
        return x.new_full(x.shape[:-2], 1e4 if self.asked % 2 else -1e4)


# ------------------------------------------------------------------------------------------------ the view of Hu et al.
def test_lemma_1_on_four_states_by_enumeration():
    """grad -E log q^r(y | x) = grad E_y KL(p(x | y) || q^r(x | y)) - JSD, at any discriminator, to 1e-8."""
    torch.manual_seed(0)
    for _ in range(20):
        logits, theta = torch.randn(4, dtype=torch.float64), torch.randn(4, dtype=torch.float64, requires_grad=True)
        data = torch.randn(4, dtype=torch.float64).softmax(0)
        generated = theta.softmax(0)
        own = torch.stack([log_reversed(logits, generated=True), log_reversed(logits, generated=False)])  # y = 0, 1
        (left,) = torch.autograd.grad(-((generated * own[0]).sum() + (data * own[1]).sum()) / 2, theta, retain_graph=True)
        both, then = torch.stack([generated, data]), ((generated + data) / 2).detach()
        target = own.exp() * then
        target = target / target.sum(1, keepdim=True)  # q^r(x | y)
        kl = (both * (both.log() - target.log())).sum(1).mean()
        jsd = (both * (both.log() - both.mean(0).log())).sum(1).mean()
        (right,) = torch.autograd.grad(kl - jsd, theta)
        torch.testing.assert_close(left, right, atol=1e-8, rtol=0)
        assert float(left.abs().max()) > 1e-3


def test_weights_are_the_odds_of_data_normalized():
    q = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    odds = q / (1 - q)
    torch.testing.assert_close(normalized_odds(q.logit()), odds / odds.sum())
    torch.testing.assert_close(log_reversed(q.logit(), generated=True), q.log())
    torch.testing.assert_close(log_reversed(q.logit(), generated=False), (1 - q).log())


def test_where_the_discriminator_is_a_half_the_gradient_is_that_of_the_plain_gan(digits):
    pair, given = given_of(digits)
    found = []
    for weighting in ("importance", "uniform"):
        objective = IWGAN(weighting)
        objective.networks = Level()
        torch.manual_seed(0)
        ((update, _),) = objective.updates(given)
        found.append(torch.autograd.grad(update.loss, list(pair.model.decoder.parameters()), retain_graph=True))
        assert float(update.figures["effective_share"]) == pytest.approx(1.0)
    assert all(one.any() for one in found[0])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9)


def test_uneven_draws_are_weighted_by_their_odds(digits):
    pair, given = given_of(digits)
    objective = IWGAN(hidden=8)
    prepare_objective(objective, pair.model, pair.guide, given.batch)
    torch.manual_seed(0)
    ((update, judged),) = objective.updates(given)
    torch.manual_seed(0)
    drawn = objective.own_draws(given)[1]["fn"].mean
    logits = objective.networks(drawn).flatten()
    q = logits.sigmoid()
    weights = (q / (1 - q)) / (q / (1 - q)).sum()
    torch.testing.assert_close(update.loss, -(weights * q.log()).sum())
    on_data = objective.networks(given.batch["x"])
    torch.testing.assert_close(judged.loss, -on_data.sigmoid().log().mean() - (1 - q).log().mean())


def test_the_energy_score_is_its_formula_and_highest_at_the_truth():
    torch.manual_seed(0)
    x, draws = torch.randn(4, 3), torch.randn(5, 3)
    among = sum(float((draws[i] - draws[j]).norm()) for i in range(5) for j in range(5) if i != j) / 20
    expected = [among / 2 - sum(float((row - one).norm()) for one in draws) / 5 for row in x]
    torch.testing.assert_close(energy_score(x, draws), torch.tensor(expected))
    data = torch.randn(2000, 2)
    scores = [float(energy_score(data, scale * torch.randn(2000, 2)).mean()) for scale in (0.5, 1.0, 2.0)]
    assert scores[1] > scores[0] + 0.05 and scores[1] > scores[2] + 0.05


# ------------------------------------------------------------------------------------------------ VAEs
def test_a_perfect_discriminator_leaves_the_vae(digits):
    pair, given = given_of(digits)
    params = [*pair.model.parameters(), *pair.guide.parameters()]
    found = []
    for objective in (AAVAE(), MeanField()):
        if isinstance(objective, AAVAE):
            objective.networks = Perfect()
        torch.manual_seed(0)
        yielded = next(objective.updates(given))
        update = yielded[0] if isinstance(objective, AAVAE) else yielded
        found.append((update.bound.detach(), *torch.autograd.grad(update.loss, params)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_a_blind_one_gives_data_and_own_draws_half_the_weight_each(digits):
    pair, given = given_of(digits)
    objective = AAVAE()
    objective.networks = Level()
    torch.manual_seed(0)
    update, judged = next(objective.updates(given))
    torch.manual_seed(0)
    elbo = MeanField()
    bound = elbo.terms(elbo.trace(given)).bound
    drawn = objective.own_draws(given)[1]["value"][0]
    again = elbo.evaluate(pair.model, pair.guide, {"x": drawn})
    torch.testing.assert_close(update.loss, -(bound.mean() + again.mean()) / 2)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0} and drawn.shape == given.batch["x"].shape
    assert judged.loss.item() == pytest.approx(2 * torch.tensor(2.0).log().item(), abs=1e-6)


# ------------------------------------------------------------------------------------------------ routes, ways of running
def test_a_gan_moves_the_model_and_its_discriminator_and_not_the_guide(digits):
    pair, _ = given_of(digits)
    before = state(pair)
    run = fits.quiet(pair, digits, NAMES[0], epochs=1)
    after = state(pair)
    for name, value in before.items():
        assert torch.equal(value, after[name]) == name.startswith("guide"), name
    columns = {"generator", "discriminator", "effective_share", "accuracy", "logit_data", "logit_draw", "draw_distance_null"}
    assert columns <= run.records[0].keys() and run.config["bound"] == "none"


def test_a_discriminator_that_the_model_brings_is_the_objectives(grey):
    torch.manual_seed(0)
    pair = pv.pairs.vae_gan(grey.spec, latent_dim=2, channels=[4], hidden=8, layer=1, discriminator="first").stages[0]
    pair.model.requires_grad_(True)
    objective, batch = pv.objectives.get(pair.objective), {"x": grey.train[torch.arange(5)]["x"]}
    prepare_objective(objective, pair.model, pair.guide, batch)
    moved = moved_parameters(objective, pair.model, pair.guide)
    assert objective.networks is pair.model.discriminator
    assert {id(p) for p in moved["discriminator"]} == {id(p) for p in pair.model.discriminator.parameters()}
    assert {id(p) for p in moved["generator"]} == {id(p) for p in pair.model.decoder.parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_is_bitwise_the_same(digits, tmp_path, name):
    whole = fits.quiet(one := fits.small(digits), digits, name, epochs=2, batch_size=400)
    fits.quiet(fits.small(digits), digits, name, epochs=1, batch_size=400, out=tmp_path / "run")
    resumed = pv.resume(tmp_path / "run", epochs=2, progress=False)
    assert all(torch.equal(value, state(resumed.pair)[name]) for name, value in state(one).items())
    assert [row["discriminator"] for row in resumed.records] == [row["discriminator"] for row in whole.records]


# ------------------------------------------------------------------------------------------------ refusals
def test_what_they_cannot_do_is_refused(digits, grey):
    with pytest.raises(OptionError, match="weighting is 'odds'; expected 'importance' or 'uniform'"):
        IWGAN("odds")
    with pytest.raises(OptionError, match="hidden is 0"):
        AAVAE(hidden=0)
    missing = pv.data.load("digits", transforms=["missing:rate=0.3"])
    for name in ("iw-gan", "aa-vae"):
        with pytest.raises(ContractError, match="masked|or a part of it"):
            fits.quiet(fits.small(missing), missing, name, epochs=1)
    pair = pv.pairs.vae_gan(grey.spec, latent_dim=2, channels=[4], hidden=8, layer=1, discriminator="first").stages[0]
    with pytest.raises(ContractError, match="brings a discriminator of its own, which hidden=8 is not for"):
        fits.quiet(pair, grey, "iw-gan:hidden=8", epochs=1)
