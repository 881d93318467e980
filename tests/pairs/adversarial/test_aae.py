"""The adversarial autoencoder: three guides, priors told the class, a prior that somebody only draws from, a linear toy."""

from __future__ import annotations

import math

import pytest
import torch
from fits import quiet
from pyro.distributions import TorchDistribution
from torch import nn

import pyrovae as pv
from pyrovae import guides, models
from pyrovae.distributions import PetalsPrior, SwissRoll, class_draws, classes_of
from pyrovae.distributions.likelihoods import Gaussian
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import AAE, Given
from pyrovae.objectives.moves import prepare_objective

TOLD = {"latent_dim": 2, "hidden": [16], "labels": True, "discriminator_hidden": 8}


@pytest.fixture(scope="module")
def labelled():
    return pv.data.load("digits", transforms=["few-labels:num_labels=500,share=0.4"])


# ------------------------------------------------------------------------------------------------ guides
def test_a_universal_code_is_drawn_by_the_guide_and_has_no_density(digits):
    torch.manual_seed(0)
    pair = pv.pairs.aae(digits.spec, latent_dim=2, hidden=[16], posterior="universal", noise_dim=3, discriminator_hidden=8)
    x = digits.test["x"][:5]
    one, other = pv.posterior(pair, {"x": x}, num_samples=2)["z"]
    assert not torch.equal(one, other)
    with pytest.raises(ContractError, match="site 'z' of the guide is drawn by a network of noise"):
        pv.log_evidence(pair, {"x": x})
    annealed = pv.log_evidence(pair, {"x": x[:2]}, method="ais", start="prior", num_chains=4, num_distributions=5)
    assert torch.isfinite(annealed.value).all()


def test_the_equilibrium_of_a_linear_encoder_has_code_variance_one():
    """Data N(0, S), z = w'x + c, d = 1: codes are Gaussian, and D can tell them from N(0, 1) unless w'Sw = 1 and c = 0."""
    torch.manual_seed(0)
    x = torch.randn(2000, 2) @ torch.linalg.cholesky(torch.tensor([[2.0, 0.8], [0.8, 1.0]])).T
    guide = guides.Deterministic(nn.Linear(2, 1))
    decoder = nn.Sequential(nn.Linear(1, 2), nn.Unflatten(-1, (1, 2)))
    model, objective = models.VAE(decoder, Gaussian((2,), "shared"), 1), AAE(hidden=32)
    batch = {"x": x}
    prepare_objective(objective, model, guide, batch)
    covariance = torch.cov(x.T)
    direction = torch.tensor([[1.0, 0.5]])
    pull = {}
    for variance in (0.7, 1.0, 1.4):  # what the guide's own update does once D is at its optimum, which is known
        with torch.no_grad():
            guide.encoder.weight.copy_(direction * math.sqrt(variance / float(direction @ covariance @ direction.T)))
            guide.encoder.bias.copy_(-(x.mean(0) @ guide.encoder.weight.T))
        objective.networks = Optimal(variance)
        updates = {update.name: update for update in objective.updates(Given(model, guide, [batch]))}
        if variance == 1.0:  # D can tell nothing
            assert updates["discriminate"].loss.item() == pytest.approx(2 * math.log(2), abs=1e-6)
        (grad,) = torch.autograd.grad(updates["deceive"].loss, [guide.encoder.weight], retain_graph=True)
        pull[variance] = float((grad * guide.encoder.weight.detach()).sum())  # along the scale of the codes
    assert pull[0.7] < -0.05 and pull[1.4] > 0.05  # to wider codes, to narrower ones
    assert abs(pull[1.0]) < 1e-6


class Optimal(nn.Module):
    """log N(z; 0, 1) - log N(z; 0, variance), what the best discriminator says."""

    def __init__(self, variance):
        super().__init__()
        self.variance = variance

    def forward(self, z):
        return (z.square() / self.variance - z.square() + math.log(self.variance)) / 2


# ------------------------------------------------------------------------------------------------ classes
def test_draws_of_a_class_lie_in_its_part_and_unknown_ones_in_all():
    torch.manual_seed(0)
    y = torch.arange(-1, 10).repeat_interleave(300)
    petals, roll = PetalsPrior()().expand([len(y)]), SwissRoll().expand([len(y)])
    z = class_draws(petals, y, 10)
    for c in range(10):  # a petal's own moments
        angle = 2 * math.pi * c / 10
        axis = torch.tensor([math.cos(angle), math.sin(angle)])
        own = z[y == c]
        assert own.mean(0) @ axis == pytest.approx(1.4, abs=0.15)
        assert float((own @ torch.tensor([-axis[1], axis[0]])).std()) == pytest.approx(0.05, rel=0.2)
    assert float(z[y == -1].mean(0).norm()) < 0.2  # of all petals
    assert float((classes_of(petals, z, 10) == y)[y >= 0].float().mean()) > 0.95  # petals meet at the origin
    z = class_draws(roll, y, 10)
    radius = z.norm(dim=-1)
    for c in range(10):
        low, high = 3 * math.sqrt(c / 10), 3 * math.sqrt((c + 1) / 10)
        assert ((radius[y == c] > low - 0.3) & (radius[y == c] < high + 0.3)).all()
    assert radius[y == -1].min() < 1.0 and radius[y == -1].max() > 2.7
    assert float((classes_of(roll, z, 10) == y)[y >= 0].float().mean()) > 0.9  # a slice's ends are blurred
    with pytest.raises(OptionError, match="a part for each of 4 classes, and came as a mixture of 10 modes"):
        class_draws(petals, y, 4)
    with pytest.raises(OptionError, match="came as a Normal without modes"):
        class_draws(torch.distributions.Normal(torch.zeros(3), 1.0), y, 10)


def test_the_discriminator_is_told_the_class_and_one_more_for_none(labelled):
    torch.manual_seed(0)
    pair = pv.pairs.aae(labelled.spec, prior="petals", **TOLD)
    objective, batch = pv.objectives.get(pair.objective), next(iter(labelled.train.epoch(50, seed=0, epoch=0)))
    prepare_objective(objective, pair.model, pair.guide, batch)
    given = Given(pair.model, pair.guide, [batch])
    assert objective.networks[0].in_features == 2 + 11
    (seen,) = objective.judged({"z": torch.zeros(1, 50, 2)}, given).values()
    told = seen[0, :, 2:].argmax(-1)
    assert torch.equal(told, batch["y"].where(batch["y"] >= 0, 10)) and (seen[0, :, 2:].sum(-1) == 1).all()
    many = Given(pair.model, pair.guide, [{key: value[:1].expand(500, *value.shape[1:]) for key, value in batch.items()}])
    drawn, label = objective.draws(many, ["z"])["z"][0], int(batch["y"][0])
    assert label >= 0 and float((classes_of(PetalsPrior()(), drawn, 10) == label).float().mean()) > 0.95


def test_the_share_of_codes_in_the_part_of_their_class_is_logged():
    torch.manual_seed(0)
    y = torch.arange(10).repeat(40)
    z = class_draws(PetalsPrior()().expand([len(y)]), y, 10)  # data that are codes, of a guide that leaves them as they are
    decoder = nn.Sequential(nn.Linear(2, 2), nn.Unflatten(-1, (1, 2)))
    pair = pv.Pair(models.VAE(decoder, Gaussian((2,), "shared"), 2, PetalsPrior()), guides.Deterministic(nn.Identity()))
    objective, shares = AAE(8, num_classes=10), []
    labels = (y, y.roll(1), torch.full_like(y, -1), y.where(torch.arange(400) < 200, -1))
    for told in labels:
        batch = {"x": z, "y": told}
        prepare_objective(objective, pair.model, pair.guide, batch)
        shares.append(float(objective.epoch_figures(Given(pair.model, pair.guide, [batch]))["code_in_class"]))
    assert shares[0] > 0.95 and shares[3] > 0.95 and shares[1] < 0.1 and shares[2] == 0


# ------------------------------------------------------------------------------------------------ any sampler
class Ring(TorchDistribution):
    """Points of a circle, whose density in the plane nobody could write down."""

    def __init__(self):
        super().__init__(torch.Size(), torch.Size([2]))

    def sample(self, sample_shape=torch.Size()):  # noqa: B008
        angle = 2 * math.pi * torch.rand(sample_shape)
        return torch.stack([angle.cos(), angle.sin()], -1)


def test_a_prior_that_is_only_drawn_from_trains_and_draws_and_has_no_log_p(digits):
    torch.manual_seed(0)
    dense = pv.parts.Dense(hidden=(16,)).with_options(digits.spec, {})
    pair = pv.Pair(models.VAE(*dense.decoder(2), 2, Ring), guides.DiagonalGaussian(dense.encoder(4)), "aae:hidden=8")
    assert not pv.check(pair, digits).is_density
    run = quiet(pair, digits, epochs=1, compile=False)
    assert math.isfinite(run.records[-1]["code_mmd"]) and pv.sample(run, 3)["x"].shape == (3, 8, 8)
    refusal = r"site 'z' of the model \(Ring\) is only drawn from, without a density"
    for options in ({}, {"method": "ais", "start": "prior"}):
        with pytest.raises(ContractError, match=refusal):
            pv.log_evidence(run, digits.test[:3], **options)
    assert "only drawn from" in pv.evaluate(run, digits.test[:20]).reason
    with pytest.raises(ContractError, match=refusal):
        quiet(pair, digits, "elbo", epochs=1, compile=False)


# ------------------------------------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": True}, "labels=True needs a prior with a part for each class: give prior='petals'"),
        ({"prior": "petals"}, "prior='petals' lies in the plane, and latent_dim is 8; give latent_dim=2"),
        ({"noise_dim": 3}, "option noise_dim of pair aae goes with posterior='universal'; leave it out"),
        ({"posterior": "universal", "noise_dim": 0}, "noise_dim is 0; expected a whole number of at least 1"),
        ({"blur": 0.2}, "option blur of pair aae goes with prior='swiss-roll'; leave it out"),
    ],
)
def test_options_that_do_not_go_together_are_refused(digits, options, message):
    with pytest.raises(OptionError, match=message):
        pv.pairs.aae(digits.spec, **options)


def test_an_objective_that_is_told_classes_needs_them(digits):
    pair = pv.pairs.aae(digits.spec, latent_dim=2, hidden=[8], discriminator_hidden=8)
    with pytest.raises(OptionError, match="came as a Independent without modes"):
        quiet(pair, digits, AAE(8, num_classes=10), epochs=1, compile=False)
    unlabelled = pv.data.load({"x": digits.train["x"][:50]})
    with pytest.raises(ContractError, match="needs y in the batch"):
        quiet(pair, unlabelled, AAE(8, num_classes=10), epochs=1, compile=False)
    with pytest.raises(OptionError, match="noise is -1"):
        AAE(noise=-1)
