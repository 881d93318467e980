"""Regularized autoencoders: a closed form of the linear one, their decoders' penalties, and the mixture of their codes."""

from __future__ import annotations

import fits
import pytest
import torch
from fits import state
from sklearn.mixture import GaussianMixture
from steppers import step_of
from torch import nn

import pyrovae as pv
from pyrovae import guides, models
from pyrovae.distributions import MixturePrior
from pyrovae.distributions.likelihoods import Gaussian
from pyrovae.errors import ContractError, DataError, OptionError, UnusedOptionError
from pyrovae.nets import SpectralDecoder, spectral_norm
from pyrovae.objectives import Given, get


def built(digits, **options):
    torch.manual_seed(0)
    return pv.pairs.rae(digits.spec, **{"latent_dim": 2, "hidden": [12], "num_components": 3, **options})


class Plain(nn.Module):
    """A linear map without a bias, its output (..., 1, n) where a likelihood has one parameter."""

    def __init__(self, weight, params=()):
        super().__init__()
        self.weight, self.params = nn.Parameter(weight), params

    def forward(self, x):
        return (x @ self.weight.T).unflatten(-1, (*self.params, -1))


def test_the_linear_autoencoder_shrinks_singular_values():
    """min ||X - Z W'||^2 / 2 + beta ||Z||^2 / 2 + N weight ||W||^2 keeps (s_i - sqrt(2 N beta weight))_+ of each of X's.

    Both penalties together are at least a nuclear norm of the reconstruction, with equality at their best balance (Srebro,
    Rennie and Jaakkola, Maximum-Margin Matrix Factorization, 2005), where the gradient of the objective has to vanish.
    """
    torch.manual_seed(0)
    x = torch.randn(30, 4, dtype=torch.float64) @ torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5], dtype=torch.float64))
    n, beta, weight, dim = len(x), 0.7, 0.2, 2
    u, s, v = (part[..., :dim] for part in (lambda f: (f.U, f.S, f.Vh.T))(torch.linalg.svd(x, full_matrices=False)))
    left = (s - (2 * n * beta * weight) ** 0.5).clamp_min(0)
    assert float(left.min()) > 0.1
    balance = (2 * n * weight / beta) ** 0.25
    codes, decoder = u * left.sqrt() * balance, v * left.sqrt() / balance
    encoder = (v * (left.sqrt() * balance / s)).T  # Z = X E'
    assert torch.allclose(x @ encoder.T, codes)
    model = models.VAE(Plain(decoder, (1,)), Gaussian((4,), 1.0), dim)
    pair = pv.core.pair.Pair(model, guides.Deterministic(Plain(encoder)))
    objective = get({"name": "weight-decay", "weight": weight, "base": {"name": "energy", "beta": beta}})
    (update,) = objective.updates(Given(pair.model, pair.guide, [{"x": x}]))
    grads = torch.autograd.grad(update.loss, [model.decoder.weight, pair.guide.encoder.weight])
    assert max(float(grad.abs().max()) for grad in grads) < 1e-6
    shrunk = torch.linalg.svdvals(x @ encoder.T @ decoder.T)[:dim]
    torch.testing.assert_close(shrunk, left)


@pytest.mark.parametrize(
    ("options", "objective"),
    [
        ({}, {"name": "weight-decay", "weight": 0.01, "base": {"name": "energy", "beta": 0.1}}),
        (
            {"regularization": "gradient", "weight": 0.3, "beta": 2.0},
            {"name": "contraction", "of": "decoder", "weight": 0.3, "base": {"name": "energy", "beta": 2.0}},
        ),
        ({"regularization": "none"}, {"name": "energy", "beta": 0.1}),
        ({"regularization": "spectral-norm"}, {"name": "energy", "beta": 0.1}),
    ],
)
def test_the_first_stage_minimizes_what_the_recipe_says(digits, options, objective):
    pair = built(digits, **options)
    (stage,) = pair.stages
    assert stage.objective == objective and pair.objective == "code-density"
    assert isinstance(stage.model.decoder, SpectralDecoder) == (options.get("regularization") == "spectral-norm")
    assert stage.model.decoder is pair.model.decoder and stage.guide is pair.guide


def test_weight_decay_and_beta_are_what_they_say_and_reported_is_the_base(digits):
    pair = built(digits)
    (stage,), batch = pair.stages, digits.train[torch.arange(15)]
    pv.core.pair.set_trainable(stage, True)
    given = Given(stage.model, stage.guide, [batch])
    (update,) = get(stage.objective).updates(given)
    codes = stage.guide.encoder(batch["x"])
    likelihood = stage.model.likelihood(stage.model.decoder(codes)).log_prob(batch["x"])
    prior = torch.distributions.Normal(0, 1).log_prob(codes).sum(-1)
    squares = sum(p.square().sum() for p in stage.model.decoder.parameters())
    torch.testing.assert_close(update.loss, -(likelihood + 0.1 * prior).mean() + 0.01 * squares)
    torch.testing.assert_close(update.bound, likelihood + prior)


def test_the_spectral_norm_and_its_gradient_are_those_of_the_singular_value():
    torch.manual_seed(0)
    for shape in ((7, 4), (4, 7)):
        w = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        found, expected = spectral_norm(w), torch.linalg.matrix_norm(w, 2)
        torch.testing.assert_close(found, expected)
        for one, other in zip(torch.autograd.grad(found, w), torch.autograd.grad(expected, w), strict=True):
            torch.testing.assert_close(one, other)
    assert float(spectral_norm(torch.zeros(3, 2))) == 0


def test_a_spectral_decoder_stretches_no_difference_and_is_refused_where_it_might(digits):
    torch.manual_seed(0)
    decoder = SpectralDecoder(3, [20, 20], (8, 8), 1, "relu")
    with torch.no_grad():
        for layer in decoder.mlp:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(50)
    jacobian = torch.autograd.functional.jacobian(lambda z: decoder(z).flatten(), torch.randn(3))
    assert 0.05 < float(torch.linalg.matrix_norm(jacobian, 2)) <= 1 + 1e-5
    with pytest.raises(OptionError, match="activation is 'gelu'"):
        built(digits, regularization="spectral-norm", activation="gelu")


def test_the_mixture_is_scikit_learns_and_is_a_density():
    torch.manual_seed(0)
    codes = torch.cat([torch.randn(80, 2) @ torch.randn(2, 2) + 4 * torch.randn(2) for _ in range(3)])
    prior = MixturePrior(3, 2)
    assert torch.allclose(prior().log_prob(codes), torch.distributions.Normal(0, 1).log_prob(codes).sum(-1), atol=1e-5)
    prior.fit(codes)
    theirs = GaussianMixture(3, random_state=0).fit(codes.double().numpy()).score_samples(codes.double().numpy())
    torch.testing.assert_close(prior().log_prob(codes), torch.from_numpy(theirs).float(), rtol=1e-4, atol=1e-4)
    axis = torch.linspace(-25, 25, 401)
    mass = prior().log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * float(axis[1] - axis[0]) ** 2
    assert float(mass.detach()) == pytest.approx(1, abs=1e-3)
    drawn = prior().sample((20_000,))
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), atol=0.15, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), atol=0.6, rtol=0.05)
    for wrong, match in ((codes[:2], "2 codes came for a mixture of 3"), (codes / 0, "codes are not finite")):
        with pytest.raises(DataError, match=match):
            prior.fit(wrong)
    with pytest.raises(OptionError, match="num_components is 0"):
        MixturePrior(0, 2)


def test_the_second_stage_moves_the_mixture_alone_and_resumes_as_it_was(digits, tmp_path):
    whole = pv.fit_stages(built(digits), digits, epochs=2, progress=False, compile=False, batch_size=400, out=tmp_path / "one")
    first, last = pv.load(tmp_path / "one-stage-1"), pv.load(tmp_path / "one")
    shared = {name for name in state(first.pair) if "prior" not in name}
    assert all(torch.equal(state(first.pair)[name], state(last.pair)[name]) for name in shared)
    assert len(whole.records) == 2 and last.config["bound"] == "none"
    codes = pv.encode(last, digits.train)["z"]
    assert float(last.pair.model.prior().log_prob(codes).detach().mean()) == pytest.approx(whole.records[-1]["train"], abs=0.4)
    fits_once = pv.fit_stages(
        built(digits), digits, epochs=1, stage_options={"epochs": 2}, progress=False, compile=False, batch_size=400,
        out=tmp_path / "two",
    )  # fmt: skip
    assert fits_once.records[0]["train"] == whole.records[0]["train"]
    resumed = pv.resume(tmp_path / "two", epochs=2, progress=False)
    for name, value in state(whole.pair).items():
        assert torch.equal(value, state(resumed.pair)[name]), name


def test_a_compiled_step_is_the_eager_one(digits):
    after = []
    for backend in ("eager", "graph"):
        pair = built(digits, prior="normal", num_components=10, regularization="spectral-norm")
        batch = digits.train[torch.arange(20)]
        step = step_of(pair, batch, get({"name": "weight-decay", "base": pair.objective}), backend)
        for seed in range(3):
            torch.manual_seed(seed)
            step(batch)
        after.append(state(pair))
    for key, value in after[0].items():
        torch.testing.assert_close(after[1][key], value, rtol=1e-4, atol=1e-6)


def test_what_has_no_effect_or_no_meaning_is_refused(digits):
    with pytest.raises(UnusedOptionError, match="weight=0.1 is of no penalty"):
        built(digits, regularization="none", weight=0.1)
    with pytest.raises(OptionError, match="regularization of rae is called 'l1'"):
        built(digits, regularization="l1")
    ae = pv.pairs.ae(digits.spec, latent_dim=2, hidden=[8])
    with pytest.raises(ContractError, match="no prior of its latent sites, whose log p"):
        fits.quiet(ae, digits, objective="energy:beta=2")
    with pytest.raises(ContractError, match="none of them can be trained|no learned prior"):
        fits.quiet(ae, digits, objective="code-density")
    with pytest.raises(ContractError, match="has no decoder"):
        linear = pv.pairs.get("linear-gaussian").build(pv.data.load("digits", binarization="none").spec, latent_dim=2)
        fits.quiet(linear, pv.data.load("digits", binarization="none"), objective="weight-decay:base=elbo")
