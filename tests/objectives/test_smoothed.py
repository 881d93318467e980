"""The bound of smoothed bits: value and whole gradient against enumeration of z and quadrature over zeta and y."""

from __future__ import annotations

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from quadrature import of_a_group
from torch import nn
from torch.nn.functional import softplus

import pyrovae as pv
from pyrovae.core.parameters import parameters
from pyrovae.distributions import RBM, BoltzmannMachine, Exponential, SmoothedBernoulli, SmoothedBits, SpikeExponential
from pyrovae.errors import ContractError, OptionError
from pyrovae.nets import loc_and_scale
from pyrovae.objectives import Given

SPEC = pv.data.DataSpec("toy", (3,), "binary")
X = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)


def all_bits(n):
    return (torch.arange(2**n).unsqueeze(-1) & 2 ** torch.arange(n)).bool().double()


def enumerated(machine):
    """The machine with chains at every value, by which log Z and its gradient are exact in training mode."""
    machine.chains = all_bits(machine.sizes[0])
    machine.log_f, machine.log_z = (
        torch.zeros(len(machine.chains)).double(),
        torch.tensor(math.log(len(machine.chains))).double(),
    )
    return machine


def toy(name, scale=0.5, **options):
    torch.manual_seed(0)
    pair = pv.pairs.get(name).build(SPEC, num_chains=10, num_sweeps=1, hidden=[], **options)
    with torch.no_grad():
        for p in parameters(pair.model, pair.guide).values():
            p.copy_(scale * torch.randn_like(p))
    pair.model.double(), pair.guide.double()
    enumerated(pair.model.machine)
    return pair


# ------------------------------------------------------------------------------------------------ the truth
def exact(pair, num, num_y=6):
    """The ELBO and log p(x) of the one datum, differentiable."""
    model, guide = pair.model, pair.guide
    z, zeta, log_q, log_r = torch.zeros(1, 0).double(), [], torch.zeros(1).double(), torch.zeros(1).double()
    for size, encoder in zip(model.sizes, guide.encoders, strict=True):
        new_z, new_zeta, weight = of_a_group(model.smoothing, size, num)
        logits = encoder(X.expand(len(z), -1), *[2 * each - 1 for each in zeta]).unsqueeze(1)
        log_q = (log_q.unsqueeze(1) + (new_z * logits - softplus(logits)).sum(-1)).flatten()
        log_r = (log_r.unsqueeze(1) + weight).flatten()
        zeta = [*(each.repeat_interleave(len(new_z), 0) for each in zeta), new_zeta.repeat(len(z), 1)]
        z = torch.cat([z.repeat_interleave(len(new_z), 0), new_z.repeat(len(z), 1)], -1)
    machine, seen = model.machine, 2 * torch.cat(zeta, -1) - 1
    log_p = machine.score(*z.split(machine.sizes, -1)) - machine.marginal(all_bits(machine.sizes[0])).logsumexp(0)
    if not len(model.layers):
        likelihood = whole = model.likelihood(model.decoder(seen)).log_prob(X)
    else:  # one layer of one number
        nodes, weights = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(num_y))
        loc, scale = loc_and_scale(guide.layers[0](X.expand(len(z), -1), seen))
        y = (loc + scale * nodes).unsqueeze(-1)
        terms = model.likelihood(model.decoder(seen.unsqueeze(1), y)).log_prob(X)
        terms = terms + dist.Normal(*loc_and_scale(model.layers[0](seen))).log_prob(y.squeeze(-1))
        terms = terms - dist.Normal(loc, scale).log_prob(y.squeeze(-1))
        share = weights / weights.sum()
        likelihood, whole = (share * terms).sum(-1), (share.log() + terms).logsumexp(-1)
    elbo = ((log_q + log_r).exp() * (likelihood + log_p - log_q)).sum()
    return elbo, (log_r + log_p + whole).logsumexp(0)


def drawn(pair, objective, rows, repeats):
    """Means over the rows of value and gradient, (R,) and (R, P)."""
    params = list(parameters(pair.model, pair.guide).values())
    values, grads = [], []
    for _ in range(repeats):
        given = Given(pair.model, pair.guide, [{"x": X.expand(rows, -1)}])
        terms = objective.terms(objective.trace(given))
        found = torch.autograd.grad(terms.surrogate.mean(), params)
        values.append(terms.bound.mean().detach())
        grads.append(torch.cat([each.flatten() for each in found]))
    return torch.stack(values), torch.stack(grads)


def scores_of(found, truth):
    return (found.mean(0) - truth) / (found.std(0) / len(found) ** 0.5).clamp_min(1e-6)


def assert_exact(pair, num, objective="smoothed", rows=2000, repeats=40, told=5):
    torch.manual_seed(1)
    values, grads = drawn(pair, pv.objectives.get(objective), rows, repeats)
    elbo, log_p = exact(pair, num)
    params = list(parameters(pair.model, pair.guide).values())
    truth = torch.cat([each.flatten() for each in torch.autograd.grad(elbo, params)])
    elbo, log_p = elbo.detach(), log_p.detach()
    assert float(elbo) < float(log_p) - 0.05
    assert abs(float(values.mean() - elbo)) < 4.5 * float(values.std()) / repeats**0.5 + 1e-6
    z = scores_of(grads, truth)
    assert float(z.abs().max()) < 5, z
    errors = (grads.std(0) / repeats**0.5).clamp_min(1e-6)
    assert float((truth.abs() / errors).median()) > told  # which are small enough to tell
    return log_p, truth


def test_the_discrete_vae_of_4_and_4_bits_is_exact_and_the_boundary_counts(monkeypatch):
    pair = toy("discrete-vae", num_bits=8, latent_dim=1)
    with torch.no_grad():
        pair.model.machine.weight.mul_(4)  # so that pairs of bits count
    log_p, truth = assert_exact(pair, num=3)
    found = pv.log_evidence(pair, X, num_samples=5000, seed=0)
    assert abs(float(found.value[0] - log_p)) < 4.5 * float(found.stderr[0]) and found.bound == "lower"
    # without the boundary's term the same test fails
    monkeypatch.setattr(SpikeExponential, "bits", lambda self, logits, zeta: (zeta > 0).to(zeta.dtype))
    _, grads = drawn(pair, pv.objectives.get("smoothed"), 2000, 20)
    assert float(scores_of(grads, truth).abs().max()) > 10


@pytest.mark.parametrize(
    ("smoothing", "beta", "num_groups", "objective"),
    [
        ("exponential", 4.0, 2, "smoothed"),
        ("uniform-exponential", 4.0, 1, "smoothed"),
        ("power", 3.0, 2, "smoothed:num_particles=2"),
        ("spike-exponential", 3.0, 3, "smoothed"),
        ("spike-exponential", 3.0, 2, "elbo"),  # by the score of zeta
        ("exponential", 4.0, 2, "elbo"),  # by the score of z alone
    ],
)
def test_smoothed_bits_of_a_machine_are_exact(smoothing, beta, num_groups, objective):
    pair = toy("rbm-vae", num_bits=4, smoothing=smoothing, beta=beta, num_groups=num_groups)
    log_p, _ = assert_exact(pair, 4, objective, told=2 if objective == "elbo" else 5)
    found = pv.log_evidence(pair, X, num_samples=20_000, seed=0)
    assert abs(float(found.value[0] - log_p)) < 4.5 * float(found.stderr[0])
    assert found.normalizers["z"].side == "exact" and pair.objective == "smoothed"


def test_the_gaussian_integrals_bound_is_exact():
    pair = toy("rbm-vae", num_bits=2, smoothing="gaussian-integral", beta=8.0)
    assert pair.objective == {"name": "iwae", "num_particles": 5}
    step = torch.linspace(-2.5, 3.5, 241, dtype=torch.float64)
    zeta = torch.cartesian_prod(step, step)
    area = float(step[1] - step[0]) ** 2
    traced = pv.objectives.get("elbo").trace(Given(pair.model, pair.guide, [{"x": X}]))
    log_q = traced.guide_sites["zeta"]["fn"].log_prob(zeta.unsqueeze(1))[:, 0]
    log_prior = traced.model_sites["zeta"]["fn"].log_prob(zeta.unsqueeze(1).unsqueeze(1))[:, 0, 0]
    log_joint = log_prior + pair.model.likelihood(pair.model.decoder(2 * zeta - 1)).log_prob(X)
    assert float((log_q.exp().sum() * area).detach()) == pytest.approx(1, abs=1e-6)
    assert float((log_prior.exp().sum() * area).detach()) == pytest.approx(1, abs=1e-6)
    elbo, log_p = (log_q.exp() * (log_joint - log_q)).sum() * area, float(log_joint.detach().logsumexp(0)) + math.log(area)
    params = list(parameters(pair.model, pair.guide).values())
    truth = torch.cat([each.flatten() for each in torch.autograd.grad(elbo, params)])
    torch.manual_seed(1)
    values, grads = drawn(pair, pv.objectives.get("iwae:num_particles=1"), 2000, 40)
    assert abs(float(values.mean() - elbo.detach())) < 4.5 * float(values.std()) / 40**0.5
    assert float(scores_of(grads, truth).abs().max()) < 5
    found = pv.log_evidence(pair, X, num_samples=20_000, seed=0)
    assert abs(float(found.value[0]) - log_p) < 4.5 * float(found.stderr[0]) and found.normalizers["zeta"].side == "exact"


def test_the_weight_of_the_kl_changes_what_is_trained_alone():
    pair, found = toy("discrete-vae", num_bits=4, latent_dim=2), []
    for beta in (0.0, 0.25, 1.0):
        torch.manual_seed(2)
        objective = pv.objectives.get("smoothed")
        traced = objective.trace(Given(pair.model, pair.guide, [{"x": X}]))
        found.append(objective.terms(traced, {"beta": torch.tensor(beta)}))
    likelihood, some, whole = found
    torch.testing.assert_close(likelihood.bound, whole.surrogate)
    torch.testing.assert_close(some.surrogate, 0.75 * likelihood.surrogate + 0.25 * whole.surrogate)
    assert pv.objectives.get("smoothed:beta=0.25").weights == {"beta": 0.25}


# ------------------------------------------------------------------------------------------------ what it refuses
class Model(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.machine, self.decoder = kind, BoltzmannMachine((2, 2), 10, 1), nn.Linear(4, 3)

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", RBM(self.machine))
            r = SmoothedBits(z, Exponential(5.0 if self.kind == "beta" else 4.0))
            zeta = pyro.sample("zeta", r)
            if self.kind == "counts":
                pyro.sample("y", dist.Poisson(torch.ones(1)).to_event(1))
            if self.kind == "y":
                pyro.sample("y", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            seen = z if self.kind == "x" else zeta
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(seen)).to_event(1), obs=x)


class Guide(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.encoder = kind, nn.Linear(3, 4)

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            q_zeta = SmoothedBernoulli(self.encoder(x), Exponential(4.0))
            zeta = pyro.sample("zeta", q_zeta)
            logits = q_zeta.posterior_logits(zeta)
            z = pyro.sample("z", dist.Bernoulli(logits=logits.flip(-1) if self.kind == "order" else logits).to_event(1))
            if self.kind == "counts":
                pyro.sample("y", dist.Poisson(torch.ones(1)).to_event(1))
            if self.kind == "y":
                pyro.sample("y", dist.Normal(z[..., :1], 1.0).to_event(1))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("right", None),
        ("x", "site 'x' of the model depends on the bits 'z', .* for what sees zeta alone; use 'vimco' or 'nvil'"),
        ("y", "site 'y' of the guide depends on the bits 'z'"),
        ("order", "the logits of site 'z' are not those of the bits given zeta, in this order"),
        ("beta", "site 'zeta' of the model is SmoothedBits.*; expected SmoothedBits of the guide's smoothing"),
        ("counts", "site 'y' is drawn without reparameterization, .* use 'nvil'"),
    ],
)
def test_pairs_of_another_form_are_refused(kind, message):
    torch.manual_seed(0)
    given = Given(Model(kind), Guide(kind), [{"x": X.float().expand(5, -1)}])
    if message is None:
        pv.objectives.get("smoothed").trace(given)
        return
    with pytest.raises(ContractError, match=message):
        pv.objectives.get("smoothed").trace(given)


def test_pairs_without_smoothed_bits_are_refused():
    pair = pv.pairs.vae(SPEC, latent_dim=2, hidden=[4])
    with pytest.raises(ContractError, match="here are 0 of the one and 0 of the others: use 'elbo' or 'iwae'"):
        pv.objectives.get("smoothed").trace(Given(pair.model, pair.guide, [{"x": X.float()}]))
    with pytest.raises(OptionError, match="num_groups is 2; expected 1 with smoothing 'gaussian-integral'"):
        pv.pairs.rbm_vae(SPEC, num_bits=4, smoothing="gaussian-integral", num_groups=2)
    with pytest.raises(OptionError, match="option beta of pair rbm-vae goes with smoothing"):
        pv.pairs.rbm_vae(SPEC, num_bits=4, beta=3.0)
    with pytest.raises(OptionError, match="num_groups is 5; expected at most as many as bits, 4"):
        pv.pairs.discrete_vae(SPEC, num_bits=4, num_groups=5)


@pytest.mark.parametrize("smoothing", ["spike-exponential", "power"])
def test_methods_that_move_through_densities_refuse_points_of_mass(smoothing):
    pair = toy("rbm-vae", num_bits=4, smoothing=smoothing)
    with pytest.raises(ContractError, match=r"site 'zeta1' \(SmoothedBits\) .*it has mass at the points .*; use method 'imp"):
        pv.log_evidence(pair, X, "ais")
