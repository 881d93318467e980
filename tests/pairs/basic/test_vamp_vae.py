"""The VampPrior and the pairs that have it: shared networks, bounds below log p(x)."""

from __future__ import annotations

import copy

import pytest
import torch
from exact import quadrature

import pyrovae as pv
from pyrovae.core.parameters import parameters
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program, trace_pair
from pyrovae.data import DataSpec
from pyrovae.distributions.vampprior import PseudoInputs
from pyrovae.errors import DataError
from pyrovae.objectives import Given

SPEC = DataSpec("toy", (6,), "binary")


def small(**options):
    """A vamp-vae on six binary pixels with two latents, whose decoder is far from flat."""
    torch.manual_seed(5)
    pair = pv.pairs.vamp_vae(SPEC, **{"latent_dim": 2, "hidden": [8], "pseudo_inputs": 5, "pseudo_std": 0.5, **options})
    with torch.no_grad():
        for parameter in pair.model.decoder.parameters():
            parameter.mul_(1.5)
    return pair, torch.bernoulli(torch.full((7, 6), 0.5))


# ------------------------------------------------------------------------------------------------ the prior
def test_the_prior_is_the_mean_of_the_guides_posteriors_at_the_pseudo_inputs():
    pair, _ = small()
    u = pair.model.prior.pseudo_inputs()
    z = torch.randn(9, 1, 2)
    guide = sample_sites(run_program(pair.guide, {"x": u}, 9, replay=latents_trace({"z": z.expand(9, 5, 2)})))["z"]
    expected = guide["fn"].log_prob(guide["value"]).logsumexp(1) - torch.tensor(5.0).log()
    torch.testing.assert_close(pair.model.prior().log_prob(z[:, 0]), expected)


def test_encoder_and_pseudo_inputs_are_trained_by_the_prior_and_count_once():
    pair, x = small()
    names = parameters(pair.model, pair.guide)
    assert sum("encoder" in name for name in names) == len(list(pair.guide.encoder.parameters()))
    assert pair.model.prior.encoder is pair.guide.encoder
    pair.model.prior().log_prob(torch.randn(7, 2)).sum().backward()
    for name, parameter in names.items():
        reached = parameter.grad is not None and bool((parameter.grad != 0).any())
        assert reached == ("decoder" not in name), name
    copied = copy.deepcopy((pair.model, pair.guide))
    assert copied[0].prior.encoder is copied[1].encoder
    assert pv.check(pair, {"x": x}).sites[0].analytic_kl is False


def test_pseudo_inputs_keep_their_range_and_start_where_asked():
    for bounds in ("hardtanh", "sigmoid"):
        inputs = PseudoInputs(2000, (3,), bounds, mean=0.2, std=0.05)
        u = inputs().detach()
        assert abs(float(u.mean()) - 0.2) < 0.01 and abs(float(u.std()) - 0.05) < 0.01
        with torch.no_grad():
            inputs.weight.mul_(100)
        assert ((inputs() >= 0) & (inputs() <= 1)).all()
        x = torch.rand(2000, 3).clamp(0.1, 0.9)
        inputs.start_at(x)
        assert 0.005 < float((inputs() - x).detach().std()) < 0.015
        with pytest.raises(DataError, match=r"start at data of shape \(2000, 3\); got \(5, 3\)"):
            inputs.start_at(x[:5])
    real = pv.pairs.vamp_vae(DataSpec("real", (3,), "real"), pseudo_inputs=4, pseudo_mean=-3.0)
    assert (real.model.prior.pseudo_inputs() < -2).all()
    with pytest.raises(ValueError, match="no pseudo_range is called 'tanh'"):
        pv.pairs.vamp_vae(SPEC, pseudo_range="tanh")
    with pytest.raises(ValueError, match="pseudo_inputs is 0; expected a whole number of at least 1"):
        pv.pairs.vamp_vae(SPEC, pseudo_inputs=0)


# ------------------------------------------------------------------------------------------------ the pairs
def test_estimates_of_log_p_agree_with_quadrature():
    pair, x = small()
    truth = quadrature(pair.model, x, {"z": 2})
    importance = pv.log_evidence(pair, x, num_samples=5000)
    assert ((importance.value - truth).abs() < 4.5 * importance.stderr + 1e-3).all()
    assert (importance.elbo < truth + 4.5 * importance.elbo_stderr).all()
    ais = pv.log_evidence(pair, x, method="ais", num_chains=64, num_distributions=50)
    assert ((ais.value - truth).abs() < 4.5 * ais.stderr + 1e-3).all()


@pytest.mark.parametrize("objective", ["elbo", "meanfield"])
def test_a_mixtures_kl_is_sampled_and_can_be_warmed_up(objective):
    """Without an analytic KL, meanfield has the ELBO's value; a KL of weight 0 leaves the prior without a gradient."""
    pair, x = small()
    objective = pv.objectives.get(objective, num_particles=2000)
    traced = objective.trace(Given(pair.model, pair.guide, [{"x": x}]))
    bound = objective.terms(traced).bound
    torch.testing.assert_close(bound, traced.log_weight.mean(0))
    pseudo = pair.model.prior.pseudo_inputs.weight
    for beta in (0.0, 0.5):
        surrogate = objective.terms(traced, {"beta": torch.tensor(beta)}).surrogate
        (grad,) = torch.autograd.grad(surrogate.sum(), pseudo, retain_graph=True)
        assert bool((grad != 0).any()) == (beta > 0)


@pytest.mark.parametrize("objective", ["stl", "dreg"])
def test_gradients_without_the_score_are_unbiased_though_the_encoder_is_shared(objective):
    """What the encoder's parameters do in the prior stays; only the guide's score is left out."""
    pair, x = small()
    usual, other = ("elbo", objective) if objective == "stl" else ("iwae", objective)
    grads = []
    for name in (usual, other):
        torch.manual_seed(0)
        pair.guide.zero_grad(), pair.model.zero_grad()
        count = 30_000 if name in ("elbo", "stl") else 4
        repeated = x if count > 4 else x.repeat(8000, 1)
        loss = pv.objectives.get(name, num_particles=count).differentiable_loss(pair.model, pair.guide, x=repeated)
        (loss / (len(repeated) / len(x))).backward()
        grads.append(torch.cat([p.grad.flatten() for p in parameters(pair.model, pair.guide).values()]))
    assert float((grads[0] - grads[1]).norm() / grads[0].norm()) < 0.03


@pytest.mark.parametrize("name", ["vamp-vae", "hvae"])
def test_pairs_train_by_the_papers_protocol(name):
    """KL warm-up, validation and early stopping; samples come from the prior; active units are there."""
    data = pv.data.load("digits")
    torch.manual_seed(0)
    pair = pv.pairs.get(name).build(data.spec, hidden=(30, 30), latent_dim=4, pseudo_inputs=20)
    pair.model.prior.pseudo_inputs.start_at(data.train["x"][:20])
    options = {"lr": 5e-4, "kl_warmup": 3, "epochs": 4, "patience": 50, "progress": False}
    run = pv.fit(pair, data, "elbo", **options)
    assert run.history["valid"].iloc[-1] > run.history["valid"].iloc[0]
    site = "z" if name == "vamp-vae" else "z2"
    draws = pv.sample(pair, 4000)[site]
    prior = pair.model.prior()
    assert ((draws.mean(0) - prior.mean).abs() < 4.5 * (prior.variance / 4000).sqrt()).all()
    assert len(pv.evaluate(run, data.test.subset(torch.arange(50)), num_samples=10).active_units[site]) == 4


def test_networks_in_bf16_leave_the_prior_in_float32():
    pair, x = small()
    from pyrovae.core.inference import bf16_networks

    with bf16_networks(pair.model, pair.guide):
        traced = trace_pair(pair.model, pair.guide, {"x": x}, 3)
    prior = traced.model_sites["z"]["fn"]
    assert prior.scale.dtype == torch.float32 and traced.log_weight.dtype == torch.float32
    torch.testing.assert_close(prior.scale, pair.model.prior().scale, rtol=0.05, atol=0)
