"""Autoencoders as pairs: principal components, penalties against closed forms, denoising bounds below log p(x)."""

from __future__ import annotations

import itertools
import math

import exact
import pyro.distributions as dist
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from torch.distributions import Bernoulli, kl_divergence
from torch.func import jacrev, vmap

import pyrovae as pv
from pyrovae import guides, pairs
from pyrovae.distributions import GaussianMixture
from pyrovae.objectives.penalties import rate_divergence


@pytest.fixture(scope="module")
def grey():
    return pv.data.load("digits", binarization="none")


@pytest.fixture(scope="module")
def digits():
    return pv.data.load("digits")


def made(recipe, spec, **options):
    torch.manual_seed(0)
    return getattr(pairs, recipe)(spec, **options)


def traced(objective, pair, batch):
    """The objective with gradients on, its trace and its one update."""
    objective = pv.objectives.get(objective)
    given = pv.objectives.Given(pair.model, pair.guide, [batch])
    torch.manual_seed(1)
    trace = objective.trace(given)
    torch.manual_seed(1)
    return objective, trace, next(objective.updates(given))


def penalty(objective, trace, pair):
    """What the objective subtracts from its base, (B,), without its weight."""
    given = pv.objectives.Given(pair.model, pair.guide, [trace.batch])
    closed = objective.closed_form(given)
    return objective.penalty(trace, given) if closed is None else closed


# ------------------------------------------------------------------------------------------------ principal components
def test_the_linear_autoencoder_finds_the_principal_subspace(grey):
    """Principal angles to scikit-learn's PCA, whose 8th and 9th eigenvalues are 8% apart; its error; orthonormal rows."""
    pair = made("linear_ae", grey.spec, latent_dim=8)
    options = {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": 100}, "validate": False, "compile": False}
    pv.fit(pair, grey, epochs=100, lr=1e-2, progress=False, **options)
    weight = pair.guide.encoder.weight.detach()
    x, test = grey.train["x"].flatten(1).numpy(), grey.test["x"].flatten(1).numpy()
    pca = PCA(8).fit(x)
    angles = subspace_angles(weight.T.double().numpy(), pca.components_.T)
    assert math.degrees(angles.max()) < 3, [round(math.degrees(angle), 2) for angle in angles]
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), atol=0.03, rtol=0)
    best = ((test - pca.inverse_transform(pca.transform(test))) ** 2).sum(1).mean()
    found = pv.reconstruction_error(pair, grey.test)
    assert float(found.squared.mean()) == pytest.approx(best, rel=0.01)
    assert found.to_json()["squared_error_per_value"] == pytest.approx(best / 64, rel=0.01)


def test_logistic_pca_reconstructs_binary_pixels_better_than_pca(digits):
    pair = made("logistic_pca", digits.spec, latent_dim=8)
    pv.fit(pair, digits, epochs=60, lr=1e-2, progress=False, validate=False, compile=False)
    error = pv.reconstruction_error(pair, digits.test)
    x, test = digits.train["x"].flatten(1), digits.test["x"].flatten(1)
    pca = PCA(8).fit(x.numpy())
    again = torch.from_numpy(pca.inverse_transform(pca.transform(test.numpy()))).clamp(0.01, 0.99)
    entropy = -Bernoulli(again, validate_args=False).log_prob(test).sum(1).mean()
    assert float(error.cross_entropy.mean()) < float(entropy) - 0.5


def test_reconstruction_errors_are_the_formulas(digits):
    pair = made("ae", digits.spec, hidden=[20])
    x = digits.test["x"]
    again = pv.reconstruct(pair, x)
    error = pv.reconstruction_error(pair, digits.test, batch_size=7)
    torch.testing.assert_close(error.squared.float(), (x - again).square().flatten(1).sum(1), rtol=1e-4, atol=1e-4)
    entropy = -Bernoulli(again).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(error.cross_entropy.float(), entropy, rtol=1e-4, atol=1e-3)
    run_energy = -pv.objectives.get("energy").loss(pair.model, pair.guide, x=x) / len(x)
    assert run_energy == pytest.approx(-float(entropy.mean()), rel=1e-4)  # no prior: the energy is the reconstruction


# ------------------------------------------------------------------------------------------------ penalties
def test_the_contraction_in_closed_form_is_that_of_autograd_and_of_jacrev(grey):
    pair = made("cae", grey.spec, latent_dim=7)
    x = grey.train["x"][:5]
    jacobian = vmap(jacrev(pair.guide.encoder))(x).flatten(2)
    expected = jacobian.square().sum((1, 2))
    for how in ("closed-form", "autograd"):
        objective, trace, update = traced({"name": "contraction", "weight": 0.7, "jacobian": how}, pair, {"x": x})
        torch.testing.assert_close(penalty(objective, trace, pair), expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(-update.loss, (update.bound - 0.7 * expected).mean(), rtol=1e-4, atol=1e-4)
    grads = []
    for how in ("closed-form", "autograd"):
        objective, trace, _ = traced({"name": "contraction", "jacobian": how}, pair, {"x": x})
        grads.append(torch.autograd.grad(penalty(objective, trace, pair).sum(), pair.guide.encoder.weight)[0])
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-6)
    with torch.no_grad():  # what is reported is the energy alone
        plain = traced("energy", pair, {"x": x})[2].bound
        assert torch.equal(traced("contraction:weight=9", pair, {"x": x})[2].bound, plain)


@pytest.mark.parametrize("relax", [0, 0.3])
def test_jacobians_of_deep_encoders_and_decoders_are_exact(digits, relax):
    pair = made("ae", digits.spec, latent_dim=4, hidden=[20], relax=relax)
    x, base = digits.train["x"][:5], "meanfield" if relax else "energy"
    objective, trace, _ = traced({"name": "contraction", "base": base}, pair, {"x": x})
    encoder = vmap(jacrev(pair.guide.encoder))(x).flatten(1).square().sum(1)
    torch.testing.assert_close(penalty(objective, trace, pair), encoder, rtol=1e-4, atol=1e-6)
    objective, trace, _ = traced({"name": "contraction", "of": "decoder", "base": base}, pair, {"x": x})
    decoder = vmap(jacrev(lambda z: pair.model.decoder(z).sigmoid()))(trace.latents["z"][0]).flatten(1).square().sum(1)
    torch.testing.assert_close(penalty(objective, trace, pair), decoder, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("of", ["encoder", "decoder"])
def test_probes_estimate_the_jacobians_norm_without_bias(digits, of):
    pair, x = made("ae", digits.spec, latent_dim=4, hidden=[20]), digits.train["x"][:3]
    objective, trace, _ = traced({"name": "contraction", "of": of}, pair, {"x": x})
    truth = penalty(objective, trace, pair).detach()
    objective, trace, _ = traced({"name": "contraction", "of": of, "num_probes": 2}, pair, {"x": x})
    torch.manual_seed(0)
    estimates = torch.stack([penalty(objective, trace, pair).detach() for _ in range(2000)])
    error = estimates.std(0) / len(estimates) ** 0.5
    assert ((estimates.mean(0) - truth).abs() < 4.5 * error).all() and (error < 0.05 * truth).all()


def test_the_contraction_contracts(digits):
    norms = []
    for weight in (0.0, 3.0):
        pair = made("cae", digits.spec, latent_dim=20, weight=weight)
        pv.fit(pair, digits, epochs=10, lr=3e-3, progress=False, validate=False, compile=False)
        norms.append(float(pair.guide.squared_jacobian(digits.test["x"]).mean().detach()))
    assert norms[1] < 0.2 * norms[0]


def test_l1_is_the_log_density_of_a_laplace_prior_and_makes_zeros(digits):
    pair = made("sparse_ae", digits.spec, latent_dim=30, strength=2.0)
    x = digits.train["x"][:6]
    _, trace, terms = traced("energy", pair, {"x": x})
    z = trace.latents["z"][0]
    reconstruction = Bernoulli(logits=pair.model.decoder(z)[:, 0]).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(terms.bound, reconstruction - 2 * z.abs().sum(1) + 30 * math.log(2 / 2))
    zeros = []
    for strength in (0.01, 2.0):
        pair = made("sparse_ae", digits.spec, latent_dim=30, strength=strength)
        pv.fit(pair, digits, epochs=10, lr=3e-3, progress=False, validate=False, compile=False)
        zeros.append(float((pv.posterior(pair, digits.test["x"])["z"] == 0).float().mean()))
    assert zeros[1] > 0.8 and zeros[1] > zeros[0] + 0.2


def test_the_penalty_of_a_rate_is_a_kl_and_moves_the_mean_activation_there(digits):
    codes = torch.rand(3, 5, 4)
    expected = kl_divergence(Bernoulli(0.1), Bernoulli(codes.mean((0, 1)))).sum()
    torch.testing.assert_close(rate_divergence(codes, 0.1), expected)
    options = {"penalty": "kl-to-rate", "latent_dim": 20, "rate": 0.1, "strength": 5.0}
    pair = made("sparse_ae", digits.spec, **options)
    x = digits.train["x"][:6]
    _, trace, update = traced(pair.objective, pair, {"x": x})
    torch.testing.assert_close(-update.loss, (update.bound - 5 * rate_divergence(trace.latents["z"], 0.1)).mean())
    pv.fit(pair, digits, epochs=20, lr=3e-3, progress=False, validate=False, compile=False)
    means = pv.posterior(pair, digits.test["x"])["z"].mean((0, 1))
    assert float((means - 0.1).abs().mean()) < 0.05


# ------------------------------------------------------------------------------------------------ denoising, beta
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
    law = pair.model.law.double()
    grid = torch.linspace(-12, 12, 6001, dtype=torch.float64)

    with torch.no_grad():
        likelihood = dist.Normal(grid[:, None] @ law.weight.T + law.loc, law.scale).to_event(1)
        log_joint = dist.Normal(0.0, 1.0).log_prob(grid) + likelihood.log_prob(x.unsqueeze(1))  # (B, grid)
        loc, tril = law.posterior(x.unsqueeze(1) * chosen.double())  # (B, 8, 1)
        scale = tril.expand(*loc.shape)
        each = dist.Normal(loc, scale).log_prob(grid)  # (B, 8, grid)
        mixed = GaussianMixture(loc, scale.expand_as(loc), probability.double().log().expand(len(x), -1))
        log_mixed = mixed.log_prob(grid.reshape(-1, 1, 1)).T  # (B, grid)
        denoising = probability.double() @ torch.trapezoid(each.exp() * (log_joint.unsqueeze(1) - each), grid).T
        mixture = torch.trapezoid(log_mixed.exp() * (log_joint - log_mixed), grid)
        information = probability.double() @ torch.trapezoid(each.exp() * (each - log_mixed.unsqueeze(1)), grid).T
    torch.testing.assert_close(mixture - denoising, information, rtol=1e-6, atol=1e-6)
    assert (denoising < mixture).all() and (mixture < log_p).all() and (information > 1e-4).all()

    law.float()
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


def test_a_denoising_autoencoder_undoes_noise_that_a_plain_one_keeps(digits):
    transforms = [{"name": "corrupt", "process": "salt-and-pepper", "rate": 0.3, "parts": "all"}]
    noisy = pv.data.load("digits", transforms=transforms)
    errors = []
    for recipe, data in (("ae", digits), ("dae", noisy)):
        pair = made(recipe, data.spec, latent_dim=20)
        pv.fit(pair, data, epochs=20, progress=False, validate=False, compile=False)
        seen = noisy.test["x_corrupted"]
        batch = {"x": noisy.test["x"], "x_corrupted": seen} if recipe == "dae" else {"x": seen}
        errors.append(float((pv.reconstruct(pair, batch) - noisy.test["x"]).square().mean()))
    assert errors[1] < 0.85 * errors[0]


@pytest.mark.parametrize(
    ("options", "objective"),
    [
        ({}, {"name": "meanfield", "beta": 4.0}),
        ({"capacity": 3.0, "gamma": 20.0}, {"name": "meanfield", "capacity": 3.0, "gamma": 20.0}),
    ],
)
def test_a_beta_vae_is_a_vae_trained_by_another_objective(digits, options, objective):
    shape = {"latent_dim": 3, "hidden": [20]}
    ours, plain = made("beta_vae", digits.spec, **shape, **options), made("vae", digits.spec, **shape)
    runs = [pv.fit(ours, digits, epochs=2, progress=False), pv.fit(plain, digits, objective, epochs=2, progress=False)]
    assert runs[0].history["valid"].tolist() == runs[1].history["valid"].tolist()
    for one, other in zip(ours.guide.parameters(), plain.guide.parameters(), strict=True):
        assert torch.equal(one, other)
    batch, bound = {"x": digits.train["x"][:50]}, pv.objectives.get(ours.objective)
    torch.manual_seed(0)
    terms = bound.terms(bound.trace(pv.objectives.Given(ours.model, ours.guide, [batch])))
    torch.manual_seed(0)
    trace = pv.objectives.MeanField().trace(pv.objectives.Given(ours.model, ours.guide, [batch]))
    likelihood, kl = trace.log_p["x"].mean(), pv.objectives.MeanField.kl(trace, "z").mean()
    weighted = 20 * (kl - 3).abs() if options else 4 * kl
    torch.testing.assert_close(terms.surrogate.mean(), likelihood - weighted)
    torch.testing.assert_close(terms.bound.mean(), likelihood - kl)
