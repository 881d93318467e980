"""Gradient estimators: unbiased against exact or reference gradients (z-scores), with the variance they promise."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import exact
import pyro
import pyro.distributions as dist
import pyro.infer
import pytest
import torch
import walks
from relaxed_pairs import tiny_pair
from repeats import joined, repeat_loss
from torch import nn

import pyrovae as pv
from pyrovae import objectives
from pyrovae.core.parameters import parameters
from pyrovae.core.program import inputs
from pyrovae.core.trace import trace_pair
from pyrovae.data import DataSpec, KeySpec
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import bounds

SEEDS = 800


def flat_gradient(pair, objective, seed, batch=None):
    """The gradient of the loss, flattened, and the loss."""
    params = {n: p for n, p in parameters(pair.model, pair.guide).items() if p.requires_grad}
    torch.manual_seed(seed)
    loss = objective.differentiable_loss(pair.model, pair.guide, **(batch or pair.batch))
    grads = torch.autograd.grad(loss, list(params.values()), allow_unused=True)
    parts = {n: (torch.zeros_like(p) if g is None else g).flatten() for (n, p), g in zip(params.items(), grads, strict=True)}
    return float(loss.detach()), parts


def estimates(pair, objective, number=SEEDS, select=""):
    """(R, P) gradients of the parameters whose names start with ``select``."""
    return joined(repeat_loss(objective, pair, number)[1], select)


def assert_same_mean(first, second):
    """Equal expectations, by the largest of P z-scores."""
    error = (first.var(0) / len(first) + second.var(0) / len(second)).sqrt()
    z = (first.mean(0) - second.mean(0)) / error.clamp_min(1e-5)
    assert z.abs().max() < 5, z
    assert (first.mean(0).abs() > 1e-3).any()


def assert_mean_is(draws, truth):
    z = (draws.mean(0) - truth) / (draws.std(0) / len(draws) ** 0.5).clamp_min(1e-5)
    assert z.abs().max() < 5, z


WRONG = ["linear-gaussian 2x4 wrong", "sigmoid-decoder 2d", "chain wrong", "gaussian-mixture summed"]


@pytest.mark.parametrize("name", [*WRONG, "gaussian-mixture enumerated"])
@pytest.mark.parametrize(
    ("estimator", "of"),
    [("stl:num_particles=2", "elbo:num_particles=2"), ("dreg:num_particles=5", "iwae:num_particles=5")],
)
def test_stl_and_dreg_are_unbiased_for_their_bounds(name, estimator, of):
    pair = exact.PAIRS[name]()
    ours, plain = (objectives.get(text) for text in (estimator, of))
    assert flat_gradient(pair, ours, 3)[0] == pytest.approx(flat_gradient(pair, plain, 3)[0], rel=1e-5)
    assert_same_mean(estimates(pair, ours), estimates(pair, plain))


def test_stl_has_no_variance_at_the_exact_posterior_and_the_plain_gradient_has():
    for name in ("linear-gaussian 3x5 exact", "chain exact", "gamma-poisson exact"):
        pair = exact.PAIRS[name]()
        pair = replace(pair, guide=copy.deepcopy(pair.guide))  # the guide's parameters become its own
        spread = [estimates(pair, objectives.get(text), 50, "guide").var(0).sum() for text in ("stl", "elbo")]
        assert spread[0] < 1e-5 and spread[1] > 0.1, name


def test_dreg_of_one_particle_is_stl_and_its_guide_gradient_has_less_variance_than_the_iwaes():
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    one, stl = (flat_gradient(pair, objectives.get(text), 1)[1] for text in ("dreg:num_particles=1", "stl"))
    for parameter in one:
        torch.testing.assert_close(one[parameter], stl[parameter])
    dreg, iwae = (estimates(pair, objectives.get(f"{n}:num_particles=50"), 200, "guide") for n in ("dreg", "iwae"))
    assert dreg.var(0).sum() < 0.5 * iwae.var(0).sum()


def test_piwae_gives_the_model_the_iwaes_and_the_guide_the_miwaes_gradient():
    for name in ("sigmoid-decoder 2d", "chain wrong"):
        pair = exact.PAIRS[name]()
        ours = objectives.get("piwae:num_particles=8,num_groups=4")
        for part, of in (("model", "iwae:num_particles=8"), ("guide", "miwae:num_particles=8,num_groups=4")):
            for seed in range(3):  # the same draws, so not only in expectation
                mine, reference = (flat_gradient(pair, o, seed)[1] for o in (ours, objectives.get(of)))
                for parameter in (n for n in mine if n.startswith(part)):
                    torch.testing.assert_close(mine[parameter], reference[parameter], rtol=1e-4, atol=1e-5)
        assert -ours.loss(pair.model, pair.guide, **pair.batch) > -flat_gradient(pair, objectives.ELBO(8), 0)[0] - 5


def test_mixtures_of_bounds_lie_between_elbo_and_iwae():
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    with torch.no_grad():
        log_w = trace_pair(pair.model, pair.guide, pair.batch, 64).log_weight
    assert (bounds.elbo(log_w) <= bounds.miwae(log_w, 8)).all() and (bounds.miwae(log_w, 8) <= bounds.iwae(log_w)).all()
    torch.testing.assert_close(bounds.miwae(log_w, 64), bounds.elbo(log_w))
    torch.testing.assert_close(bounds.miwae(log_w, 1), bounds.iwae(log_w))
    torch.testing.assert_close(bounds.ciwae(log_w, 0.25), 0.25 * bounds.elbo(log_w) + 0.75 * bounds.iwae(log_w))


def test_the_gap_of_the_iwae_falls_as_one_over_k():
    """E[log p - L_K] ~ Var(w) / (2 K E[w]^2): the slope of the log gap in log K is -1."""
    pair = exact.PAIRS["linear-gaussian 2x4 wrong"]()
    truth = pair.log_evidence().detach()
    many, ks = {"x": pair.batch["x"].repeat(1500, 1)}, torch.tensor([8.0, 16.0, 32.0, 64.0])
    with torch.no_grad():
        gaps = torch.stack(
            [truth.mean() - bounds.iwae(trace_pair(pair.model, pair.guide, many, int(k)).log_weight).mean() for k in ks]
        )
    x, y = ks.log() - ks.log().mean(), gaps.log() - gaps.log().mean()
    assert -1.25 < float((x * y).sum() / x.square().sum()) < -0.75


# ------------------------------------------------------------------------------------------------ enumeration
def registered(label, program):
    def run(**batch):
        pyro.module(label, program)
        return program(**inputs(program, batch))

    return run


@pytest.mark.parametrize("how", ["enumerated", "summed"])
@pytest.mark.parametrize("ours", ["elbo", "enum"])
def test_value_and_gradient_of_trace_enum_elbo_on_the_same_seed(how, ours):
    pair = exact.gaussian_mixture(how)
    params = parameters(pair.model, pair.guide)
    results = []
    for objective in (objectives.get(ours), pyro.infer.TraceEnum_ELBO(max_plate_nesting=1)):
        for p in params.values():
            p.grad = None
        torch.manual_seed(2)
        pyro.clear_param_store()
        loss = objective.loss_and_grads(registered("model", pair.model), registered("guide", pair.guide), **pair.batch)
        results.append((loss, {n: None if p.grad is None else p.grad.clone() for n, p in params.items()}))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    for name, grad in results[0][1].items():
        torch.testing.assert_close(grad, results[1][1][name], rtol=1e-4, atol=1e-5)


def test_enum_marks_what_the_user_did_not_and_equals_the_exact_elbo():
    pair = exact.bernoulli_mixture(0.7)
    x = pair.batch["x"]
    joint, log_q = pair.model.joint(x), (pair.model.joint(x) + pair.guide.error).log_softmax(1)
    truth = (log_q.exp() * (joint - log_q)).sum()
    loss = objectives.get("enum").differentiable_loss(pair.model, pair.guide, x=x)
    assert float(-loss.detach()) == pytest.approx(float(truth.detach()), rel=1e-5)
    ours = torch.autograd.grad(-loss, [pair.guide.error, pair.model.theta])
    for grad, expected in zip(ours, torch.autograd.grad(truth, [pair.guide.error, pair.model.theta]), strict=True):
        torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "objective",
    [
        "iwae:num_particles=3",
        "dreg:num_particles=3",
        "vimco:num_particles=2",
        "miwae:num_particles=4,num_groups=2",
        "renyi:alpha=0.5",
        "rws:num_particles=2",
    ],
)
def test_with_all_sites_enumerated_an_importance_weighted_bound_is_log_p(objective):
    pair = exact.marked_mixture(0.7)
    loss = objectives.get(objective).loss(pair.model, pair.guide, **pair.batch)
    assert -loss == pytest.approx(float(pair.log_evidence().sum().detach()), rel=1e-5)


@pytest.mark.parametrize("how", ["enumerated", "summed", "drawn"])
def test_bounds_of_a_class_and_a_continuous_latent_rise_to_log_p(how):
    """L_1 <= L_5 <= L_200 <= log p(x), y proposed and enumerated, summed out per z, or drawn."""
    pair = exact.gaussian_mixture(how)
    truth = float(pair.log_evidence().mean().detach())
    means, errors, many = [], [], {"x": pair.batch["x"].repeat(400, 1)}
    for k in (1, 5, 200):
        with torch.no_grad():
            bound = bounds.iwae(trace_pair(pair.model, pair.guide, many, k).log_weight).reshape(400, -1).mean(1)
        means.append(float(bound.mean()))
        errors.append(float(bound.std() / 20))
    for low, high, error in zip(means, (*means[1:], truth), errors, strict=True):
        assert low <= high + 4 * error
    assert means[0] < truth - 0.05 and truth - means[2] < 0.2


def test_meanfield_with_an_enumerated_site_is_the_elbo_with_less_noise():
    pair = exact.gaussian_mixture("enumerated")
    values, grads = {}, {}
    for name in ("elbo", "meanfield"):
        values[name], grads[name] = repeat_loss(objectives.get(name), pair, SEEDS)
    z = (values["elbo"].mean() - values["meanfield"].mean()) / (
        (values["elbo"].var() + values["meanfield"].var()) / SEEDS
    ).sqrt()
    assert abs(z) < 4 and values["meanfield"].var() < values["elbo"].var()
    assert_same_mean(joined(grads["meanfield"]), joined(grads["elbo"]))


# ------------------------------------------------------------------------------------------------ drawn discrete sites
@pytest.mark.parametrize("estimator", ["vimco:num_particles=4", "nvil:baseline=none", "nvil:baseline=average", "nvil"])
def test_discrete_estimators_are_unbiased_by_enumeration_of_all_draws(estimator):
    pair = exact.bernoulli_mixture(0.7)
    x = pair.batch["x"][:3]
    objective = objectives.get(estimator)
    k = objective.num_particles
    joint, log_q = pair.model.joint(x), (pair.model.joint(x) + pair.guide.error).log_softmax(1)
    draws = torch.cartesian_prod(*[torch.arange(4)] * k).reshape(-1, k)
    value = bounds.iwae((joint - log_q)[:, draws].permute(2, 0, 1))
    expected = -(log_q[:, draws].sum(-1).exp() * value).sum()
    truth = torch.autograd.grad(expected, [pair.guide.error, pair.model.theta])
    if not objective.lacks_networks:
        losses, grads = repeat_loss(objective, pair, 2000, {"x": x})
        assert_mean_is(grads["guide.error"], truth[0])
        assert_mean_is(grads["model.theta"], truth[1].flatten())
    else:  # the signal is divided by its running scale, so the direction is right and the size is not
        runs = [flat_gradient(pair, objective, s, {"x": x.repeat(40, 1)}) for s in range(50)]
        losses = torch.tensor([loss / 40 for loss, _ in runs])
        mean = torch.stack([g["guide.error"] for _, g in runs]).mean(0)
        assert torch.nn.functional.cosine_similarity(mean, truth[0], dim=0) > 0.9
    assert abs(losses.mean() - expected.detach()) < 5 * losses.std() / len(losses) ** 0.5


def test_vimco_and_baselines_lower_the_variance():
    pair = exact.bernoulli_mixture(0.7)
    iwae, vimco = (estimates(pair, objectives.get(f"{n}:num_particles=5"), 300, "guide.error") for n in ("iwae", "vimco"))
    assert vimco.var(0).sum() < 0.5 * iwae.var(0).sum()
    plain, average = (objectives.get(f"nvil:baseline={b}") for b in ("none", "average"))
    centred = torch.stack([flat_gradient(pair, average, seed)[1]["guide.error"] for seed in range(300)])
    assert centred[100:].var(0).sum() < 0.5 * estimates(pair, plain, 400, "guide.error").var(0).sum()


def test_pyros_renyi_elbo_gives_no_gradient_where_iwae_and_vimco_do():
    pair = exact.bernoulli_mixture(0.7)
    pyro.clear_param_store()
    stock = pyro.infer.RenyiELBO(0.0, num_particles=5, vectorize_particles=True, max_plate_nesting=1)
    frozen = exact.bernoulli_mixture(0.7)
    for p in frozen.model.train(False).parameters():
        p.requires_grad_(False)
    frozen.guide.eval()
    frozen.guide.error.grad = None
    stock.loss_and_grads(registered("model", frozen.model), registered("guide", frozen.guide), **frozen.batch)
    assert frozen.guide.error.grad is None or frozen.guide.error.grad.abs().max() == 0
    for name in ("iwae", "vimco"):
        assert flat_gradient(pair, objectives.get(f"{name}:num_particles=5"), 0)[1]["guide.error"].abs().max() > 0.01


def test_rws_with_enumerated_draws_has_the_exact_gradients():
    """Weights are the posterior: the model's gradient is that of log p(x), the guide's that of E_p(y|x)[log q(y|x)]."""
    pair = exact.marked_mixture(0.7)
    x, inner = pair.batch["x"], pair.guide
    loss = objectives.RWS(2).differentiable_loss(pair.model, inner, x=x)
    error = next(p for n, p in pair.model.named_parameters() if n == "theta")
    (ours,) = torch.autograd.grad(-loss, [error])
    with torch.no_grad():
        posterior = pair.model.joint(x).softmax(1)
    # the guide of this pair reads theta too, so the truth has both parts
    free = exact.bernoulli_mixture(0.7)
    log_q = (pair.model.joint(x) + free.guide.error.detach()).log_softmax(1)
    truth = torch.autograd.grad(pair.log_evidence().sum() + (posterior * log_q).sum(), [error])[0]
    torch.testing.assert_close(ours, truth, rtol=1e-3, atol=1e-4)


def test_the_sleep_phase_is_unbiased_by_enumeration_of_all_data():
    pair = exact.bernoulli_mixture(0.7)
    for p in pair.model.parameters():
        p.requires_grad_(False)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6)
    log_q = (pair.model.joint(every) + pair.guide.error).log_softmax(1)
    rows = len(pair.batch["x"])
    truth = torch.autograd.grad(-rows * (pair.model.joint(every).exp() * log_q).sum(), [pair.guide.error])[0]
    assert_mean_is(estimates(pair, objectives.get("wake-sleep"), 2000, "guide.error"), truth)


# ------------------------------------------------------------------------------------------------ weights on the KL
def test_beta_free_bits_and_capacity_change_the_surrogate_as_their_papers_say():
    pair = exact.linear_gaussian(2, 4, guide="wrong")
    torch.manual_seed(0)
    traced = trace_pair(pair.model, pair.guide, pair.batch)
    plain = objectives.MeanField().terms(traced)
    likelihood = traced.log_p["x"].mean(0)
    kl = likelihood - plain.bound
    per_dim = objectives.MeanField().kl_per_dimension(traced, "z")
    torch.testing.assert_close(per_dim.sum(1), kl)
    for name, expected in [
        ("meanfield:beta=4", likelihood - 4 * kl),
        ("meanfield:free_bits=100", likelihood - 100),
        ("meanfield:free_bits=1e-6", likelihood - kl),
        ("meanfield:free_bits=100,free_bits_per=dimension", likelihood - 200),
        ("meanfield:capacity=0,gamma=3", likelihood - 3 * kl.mean()),
        ("meanfield:capacity=50", likelihood - (kl.mean() - 50).abs()),
    ]:
        terms = objectives.get(name).terms(traced)
        torch.testing.assert_close(terms.surrogate, expected)
        torch.testing.assert_close(terms.bound, plain.bound)
    half = objectives.get("meanfield:capacity=50").terms(traced, {"capacity": torch.tensor(25.0)})
    torch.testing.assert_close(half.surrogate, likelihood - (kl.mean() - 25).abs())
    sampled = objectives.get("elbo:beta=4").terms(traced)
    torch.testing.assert_close(sampled.surrogate, likelihood - 4 * (traced.log_q["z"] - traced.log_p["z"]).mean(0))


def test_beta_with_a_drawn_discrete_site_is_unbiased():
    pair = exact.bernoulli_mixture(0.7)
    x = pair.batch["x"]
    log_q = (pair.model.joint(x) + pair.guide.error).log_softmax(1)
    prior = pair.model.pi.log_softmax(0)
    cost = (pair.model.joint(x) - prior) + 3 * (prior - log_q)
    truth = torch.autograd.grad(-(log_q.exp() * cost).sum(), [pair.guide.error])[0]
    assert_mean_is(estimates(pair, objectives.get("elbo:beta=3"), 2000, "guide.error"), truth)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: objectives.get("iwae:beta=2"), OptionError, "no option of objective iwae"),
        (lambda: objectives.get("elbo:capacity=5,beta=2"), OptionError, "takes the place of beta"),
        (lambda: objectives.get("elbo:free_bits=-1"), OptionError, "free_bits is -1"),
        (lambda: objectives.get("miwae:num_particles=10,num_groups=4"), OptionError, "a multiple of num_groups"),
        (lambda: objectives.get("vimco:num_particles=1"), OptionError, "at least 2"),
        (lambda: objectives.get("ciwae:beta=2"), OptionError, "from 0 to 1"),
        (lambda: objectives.get("nvil:baseline=mean"), OptionError, "'none', 'average' or 'network'"),
        (lambda: loss_of("dreg", "bernoulli-mixture error 0.7"), ContractError, "use 'vimco' or 'iwae'"),
        (lambda: loss_of("stl", "bernoulli-mixture error 0.7"), ContractError, "use 'elbo'"),
        (lambda: loss_of("piwae", "bernoulli-mixture error 0.7"), ContractError, "use 'vimco' or 'iwae'"),
        (lambda: loss_of("piwae", "gaussian-mixture enumerated"), ContractError, "use 'iwae', 'miwae' or 'dreg'"),
        (lambda: loss_of("nvil", "sigmoid-decoder 1d"), ContractError, "use 'elbo'"),
        (lambda: loss_of("meanfield", "gaussian-mixture summed"), ContractError, "summed out in the model"),
        (lambda: loss_of("elbo:beta=2", "gaussian-mixture summed"), ContractError, "cannot be weighted"),
        (
            lambda: loss_of("meanfield:free_bits=1,free_bits_per=dimension", "linear-gaussian 3x5 exact"),
            ContractError,
            "no product over its dimensions",
        ),
        (lambda: loss_of("elbo:free_bits=1", "bernoulli-mixture error 0.7"), ContractError, "enumerate it"),
        (lambda: loss_of("wake-sleep", "gaussian-mixture enumerated"), ContractError, "draws its latent sites"),
    ],
)
def test_what_a_combination_cannot_do_is_refused_with_the_mend(make, error, message):
    with pytest.raises(error, match=message):
        make()


def loss_of(objective, name):
    pair = exact.PAIRS[name]()
    return objectives.get(objective).loss(pair.model, pair.guide, **pair.batch)


# ------------------------------------------------------------------------------------------------ in use
TRAINS = dict.fromkeys(objectives.OBJECTIVES, "sigmoid-decoder 1d") | {
    "nvil": "bernoulli-mixture error 0.7",
    "vimco": "bernoulli-mixture error 0.7",
    "enum": "gaussian-mixture drawn",
}


def sigmoid_codes():
    """A sparse autoencoder, whose codes lie in (0, 1)."""
    torch.manual_seed(0)
    pair = pv.pairs.sparse_ae(pv.data.DataSpec("toy", (4,), "real"), latent_dim=3, hidden=[8], penalty="kl-to-rate")
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": torch.randn(9, 4)})


def codewords():
    """A VQ-VAE of binary data."""
    torch.manual_seed(0)
    spec = pv.data.DataSpec("toy", (4,), "binary")
    pair = pv.pairs.vq_vae(spec, num_places=2, num_codes=4, code_dim=2, hidden=[8])
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": (torch.rand(9, 4) > 0.3).float()})


def labelled_codes():
    """A VAE of data with classes, which it does not look at."""
    pair = pv.pairs.vae(pv.data.DataSpec("toy", (4,), "binary"), latent_dim=2, hidden=[8])
    batch = {"x": (torch.rand(9, 4) > 0.3).float(), "y": torch.arange(9) % 3}
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch=batch)


def smoothed_bits():
    """Four bits of a Boltzmann machine, seen as spike and exponential."""
    torch.manual_seed(0)
    pair = pv.pairs.rbm_vae(
        pv.data.DataSpec("toy", (4,), "binary"), num_bits=4, num_chains=20, smoothing="spike-exponential", num_groups=2
    )
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": (torch.rand(9, 4) > 0.3).float()})


def walk_in_steps():
    """A random walk whose guide sees one step at a time."""
    pair = walks.walk()
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": walks.draw(9, 4)})


def compared_by_features():
    """A VAE that sees data through a discriminator, which stands still."""
    torch.manual_seed(0)
    spec = pv.data.DataSpec("toy", (4, 4), "binary")
    pair = pv.pairs.vae_gan(spec, latent_dim=2, channels=[3], hidden=8, layer=1, discriminator="first")
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": (torch.rand(9, 4, 4) > 0.3).float()})


BITS = dict.fromkeys(("rebar", "relax", "arm", "gumbel-kl"), lambda: tiny_pair(num_classes=2, scale=0.3))


def moved_images():
    data = pv.data.load("digits", binarization="none", transforms=["affine:source=true"])
    pair = pv.pairs.flow_field_vae(data.spec, latent_dim=2, hidden=[8])
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={key: data.test[:6][key] for key in ("x", "source")})


def clamped_groups():
    keys = {"x": KeySpec((3, 4, 4), "binary"), "varied": KeySpec((3,), "binary")}
    pair = pv.pairs.clamped_dc_ign(DataSpec("toy", keys=keys), rest_dim=1, channels=[2], hidden=6)
    x = (torch.rand(6, 3, 4, 4) > 0.7).float()
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": x, "varied": torch.eye(3).repeat(2, 1)})


def shared_factors():
    keys = {"x": KeySpec((4,), "binary"), **{key: KeySpec((), "category", size=3) for key in ("row", "column")}}
    pair = pv.pairs.fvae(DataSpec("toy", keys=keys), latent_dim=2, hidden=[6])
    batch = {"x": (torch.rand(6, 4) > 0.7).float(), "row": torch.arange(6) % 3, "column": torch.arange(6) // 2}
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch=batch)


def short_codes():
    """A regularized autoencoder, whose codes are no draws of its prior."""
    torch.manual_seed(0)
    pair = pv.pairs.rae(pv.data.DataSpec("toy", (4,), "real"), latent_dim=2, hidden=[8], prior="normal")
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": torch.randn(9, 4)})


def codes_to_draw():
    """Codes, and a mixture of Gaussians to draw them from."""
    torch.manual_seed(0)
    pair = pv.pairs.rae(pv.data.DataSpec("toy", (4,), "real"), latent_dim=2, hidden=[8], num_components=2)
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch={"x": torch.randn(9, 4)})


def soft_classes():
    """Classes and styles told by two discriminators."""
    torch.manual_seed(0)
    pair = pv.pairs.aae_semi(pv.data.DataSpec("toy", (4,), "binary", classes=3), latent_dim=2, hidden=[8])
    batch = {"x": (torch.rand(9, 4) > 0.3).float(), "y": torch.arange(9) % 4 - 1}
    return SimpleNamespace(model=pair.model, guide=pair.guide, batch=batch)


class Twice(nn.Module):
    """z ~ N(0, I), x ~ Bernoulli(f(z)), and once more by a likelihood that is no part of log p(x)."""

    def __init__(self):
        super().__init__()
        self.decoder, self.beside = nn.Linear(2, 4), nn.Linear(2, 4)

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z)).to_event(1), obs=x)
            pyro.sample("x_aux", dist.Bernoulli(logits=self.beside(z)).to_event(1), obs=x, infer={"auxiliary": True})


def seen_twice():
    torch.manual_seed(0)
    guide = pv.pairs.vae(pv.data.DataSpec("toy", (4,), "binary"), latent_dim=2, hidden=[8]).guide
    return SimpleNamespace(model=Twice(), guide=guide, batch={"x": (torch.rand(9, 4) > 0.3).float()})


OWN = {
    "vq": codewords,
    "s2": labelled_codes,
    "sparsity": sigmoid_codes,
    "fivo": walk_in_steps,
    "smoothed": smoothed_bits,
    "feature-elbo": compared_by_features,
    "smoothness": moved_images,
    "clamped": clamped_groups,
    "map": shared_factors,
    "weight-decay": short_codes,
    "code-density": codes_to_draw,
    "aae-classes": soft_classes,
    "auxiliary": seen_twice,
}
MAKES = {**BITS, **OWN, "semisupervised": exact.labelled_mixture}
TOLD = {"tc": {"data_size": 1000}, "map": {"data_size": 1000}, "s2": {"factors": {"y": 3}}}  # which fit tells them


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_every_objective_trains_through_fit_and_through_svi(name, tmp_path):
    pair = MAKES[name]() if name in MAKES else exact.PAIRS[TRAINS[name]]()
    batch = {key: torch.cat([value] * 20) for key, value in pair.batch.items()}
    run = pv.fit(
        (pair.model, pair.guide), (batch, batch), name, epochs=6, lr=0.02, batch_size=20, progress=False, out=tmp_path / "run"
    )
    if name not in ("vae-gan", "code-density"):  # whose features move with what is reported, or which begins at its best
        assert run.history["valid"].iloc[-1] > run.history["valid"].iloc[0]
    longer = pv.resume(tmp_path / "run", pair=(pair.model, pair.guide), data=(batch, batch), epochs=7, progress=False)
    assert len(longer.history) == 7
    loss = objectives.get(name, **TOLD.get(name, {}))
    adam = pyro.optim.Adam({"lr": 0.01})
    svi = pyro.infer.SVI(registered("model", pair.model), registered("guide", pair.guide), adam, loss=loss)
    if len(loss.moves) > 1:
        with pytest.raises(ContractError, match="made of several updates, and SVI makes one"):
            svi.step(**batch)
    elif name in ("weight-decay", "code-density"):  # likewise, no decoder and no prior
        pair.model.train(False), pair.guide.train(False)  # in training Pyro warns of parameters that stand still
        with pytest.raises(ContractError, match=r"has no (decoder|learned prior)"):
            svi.step(**batch)
        assert math.isfinite(loss.loss(pair.model, pair.guide, **batch))
    elif name in ("smoothness", "clamped", "map"):  # of programs that others are wrapped around, no method is known
        with pytest.raises(ContractError, match=r"has no (flow|varies|log_prior)\("):
            svi.step(**batch)
        assert math.isfinite(loss.loss(pair.model, pair.guide, **batch))
    elif name in ("fivo", "feature-elbo"):  # of programs that others are wrapped around, no step or part is known
        pair.model.train(False)  # in training Pyro warns of parameters that stand still
        with pytest.raises(ContractError, match=r"give a pair of step modules, unroll\(model, guide\)|needs a model with a"):
            svi.step(**batch)
        assert math.isfinite(loss.loss(pair.model, pair.guide, **batch))
    else:
        assert all(math.isfinite(svi.step(**batch)) for _ in range(3))


def test_a_refused_combination_leaves_no_run_folder(tmp_path):
    pair = exact.bernoulli_mixture(0.7)
    with pytest.raises(ContractError, match="use 'vimco' or 'iwae'"):
        pv.fit((pair.model, pair.guide), pair.batch["x"].repeat(9, 1), "dreg", out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_the_logged_iwae_bound_is_the_evaluations():
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    x = pair.batch["x"].repeat(50, 1)
    run = pv.fit((pair.model, pair.guide), (x, x), "dreg:num_particles=20", epochs=3, lr=1e-9, progress=False)
    runs = torch.tensor([pv.log_evidence(pair, x, num_samples=20, seed=s).mean for s in range(10)])
    assert (
        abs(run.history["valid"].iloc[-1] - runs.mean()) < 5 * runs.std()
        and abs(run.history["train"].iloc[-1] - runs.mean()) < 5 * runs.std()
    )


def test_the_state_of_baselines_is_saved_and_resumed_bitwise(tmp_path):
    states = []
    for epochs in ((4,), (2, 4)):
        pair = exact.bernoulli_mixture(0.7)
        x = pair.batch["x"].repeat(20, 1)
        torch.manual_seed(0)
        folder = tmp_path / str(len(epochs))
        pv.fit((pair.model, pair.guide), (x, x), "nvil", epochs=epochs[0], batch_size=30, progress=False, out=folder)
        if len(epochs) > 1:
            torch.manual_seed(99)
            pv.resume(folder, pair=(pair.model, pair.guide), data=(x, x), epochs=4, progress=False)
        states.append({n: p.detach().clone() for n, p in parameters(pair.model, pair.guide).items()})
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name]), name


def test_evidence_sums_enumerated_sites_exactly():
    truth = exact.gaussian_mixture("enumerated").log_evidence().detach()
    spread = {}
    for how in ("drawn", "enumerated", "summed"):
        pair = exact.gaussian_mixture(how)
        evidence = pv.log_evidence(pair, pair.batch, num_samples=3000)
        assert ((evidence.value - truth) / evidence.stderr).abs().max() < 5
        spread[how] = evidence.mean_mc_stderr
    assert spread["enumerated"] < spread["drawn"]
