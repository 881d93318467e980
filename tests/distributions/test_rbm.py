"""The restricted Boltzmann machine against the sum over all its values."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.distributions import RBM, BoltzmannMachine
from pyrovae.distributions.divergence import analytic_kl
from pyrovae.errors import OptionError


def machine(sizes, scale=0.8, seed=0, **options):
    torch.manual_seed(seed)
    made = BoltzmannMachine(sizes, **options)
    with torch.no_grad():
        for p in made.parameters():
            p.normal_(0, scale)
    return made.eval()


def all_bits(n):
    return (torch.arange(2**n).unsqueeze(-1) & 2 ** torch.arange(n)).bool().float()


def exact_draws(made, num):
    u = all_bits(made.sizes[0])
    return u[torch.multinomial(made.marginal(u).detach().softmax(0), num, replacement=True)]


@pytest.mark.parametrize("sizes", [(4, 3), (2, 5)])
def test_masses_sum_to_one(sizes):
    prior = RBM(machine(sizes))
    values = prior.enumerate_support(expand=False)
    torch.testing.assert_close(values.sum(0), torch.full((7,), 64.0))
    torch.testing.assert_close(prior.log_prob(values).logsumexp(0), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert prior.log_normalizer().side == "exact"


def test_draws_have_the_masses():
    prior = RBM(machine((3, 2), num_sweeps=20))
    with torch.no_grad():
        drawn = prior.sample((20_000,)) @ (2.0 ** torch.arange(5))
        masses = prior.log_prob(prior.enumerate_support()).exp()
    counts = torch.bincount(drawn.long(), minlength=32)
    z = (counts - 20_000 * masses) / (20_000 * masses * (1 - masses)).sqrt()
    assert float(z.abs().max()) < 4.5


def test_annealing_both_ways_brackets_log_z():
    made = machine((10, 10))
    exact = made.log_normalizer().value
    bits = all_bits(10)
    torch.testing.assert_close(exact, float(made.marginal(bits).detach().double().logsumexp(0)))
    up, down = made.anneal(1000, 300), made.anneal(1000, 300, start=exact_draws(made, 1000), seed=1)
    lower, upper = float(up.mean()), float(down.mean())
    assert exact - 0.05 < lower <= upper < exact + 0.05
    assert lower - 4 * float(up.std()) / 1000**0.5 < exact < upper + 4 * float(down.std()) / 1000**0.5
    made.normalizer, made._found = "ais", None
    found = made.log_normalizer()
    assert found.side == "lower" and 0 < found.stderr < 0.02 and abs(found.value - exact) < 4 * found.stderr
    assert made.log_normalizer() == found  # of the same parameters the same number
    with torch.no_grad():
        made.a.add_(1.0)
    assert made.log_normalizer() != found


def test_kl_of_independent_bits():
    prior = RBM(machine((3, 3)))
    q = dist.Bernoulli(logits=torch.randn(4, 6)).to_event(1)
    values = prior.enumerate_support(expand=False).unsqueeze(1)
    log_q = q.log_prob(values)
    expected = (log_q.exp() * (log_q - prior.log_prob(values))).sum(0)
    torch.testing.assert_close(analytic_kl(q, prior.expand((4,))), expected, rtol=1e-4, atol=1e-5)


def test_the_chains_give_the_gradient_of_log_z():
    made = machine((5, 4)).train()
    bits = all_bits(5)
    expected = torch.autograd.grad(made.marginal(bits).logsumexp(0), list(made.parameters()))
    draws = exact_draws(made, 20_000)
    made.chains, made.log_f = draws, made.marginal(draws).detach()
    found = torch.autograd.grad(made.tracked(), list(made.parameters()))
    for one, other in zip(found, expected, strict=True):
        assert float(((one - other).abs() / (0.25 / 20_000) ** 0.5).max()) < 4.5  # a bit's variance is at most 1/4


def test_bad_machines_are_refused():
    for options, message in (
        ({"sizes": (0, 3)}, "sizes"),
        ({"sizes": (3, 3), "num_chains": 1}, "num_chains"),
        ({"sizes": (3, 3), "normalizer": "guess"}, "normalizer is 'guess'"),
        ({"sizes": (30, 30), "normalizer": "exact"}, r"2\^30 terms; give normalizer='ais'"),
        ({"sizes": (3, 3), "num_distributions": 0}, "num_distributions is 0"),
    ):
        with pytest.raises(OptionError, match=message):
            BoltzmannMachine(**options)


# ------------------------------------------------------------------------------------------------ as a prior
class Model(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.machine = machine((4, 3), **options).train()
        self.decoder = nn.Linear(7, 6)

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", RBM(self.machine))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z)).to_event(1), obs=x)

    @torch.no_grad()
    def log_p(self, x):
        z = all_bits(7)
        prior = self.machine.score(*z.split((4, 3), -1)) - self.machine._exact().value
        joint = prior + dist.Bernoulli(logits=self.decoder(z)).to_event(1).log_prob(x.unsqueeze(1))
        return joint.logsumexp(1)


class Guide(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(6, 7)

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Bernoulli(logits=self.encoder(x)).to_event(1))


X = (torch.rand(200, 6, generator=torch.Generator().manual_seed(1)) < 0.3).float()
X[:, 3] = X[:, 0]


def test_evidence_bears_the_error_of_log_z():
    model = Model()
    pair = pv.Pair(model, Guide())
    expected = model.log_p(X[:20]).detach()
    exact = pv.log_evidence(pair, X[:20], num_samples=3000)
    assert exact.bound == "lower" and "log Z of 'z'" in repr(exact) and "(exact)" in repr(exact)
    assert float(((exact.value - expected).abs() / exact.stderr).max()) < 4.5

    model.machine.normalizer, model.machine._found, model.machine.num_distributions = "ais", None, 10
    found = pv.log_evidence(pair, X[:20], num_samples=3000)
    error = model.machine.log_normalizer().stderr
    assert found.bound == "estimate" and error > 0
    assert bool((found.stderr >= error).all()) and found.mean_mc_stderr >= error and found.mean_stderr >= error
    shift = model.machine.log_normalizer().value - model.machine._exact().value
    torch.testing.assert_close(found.value, exact.value - shift, rtol=0, atol=1e-4)
    assert found.to_json()["normalizers"]["z"]["side"] == "lower"
    assert "lower in expectation" in repr(found)


@pytest.mark.parametrize("backend", [None, "graph"])
def test_training_follows_log_z(backend):
    model = Model(scale=0.1, num_chains=500, num_sweeps=5)
    pair = pv.Pair(model, Guide())
    step = pv.compile_step(pair, {"x": X}, "vimco:num_particles=5", lr=0.02, backend=backend or "graph")
    assert step.reason is None
    before = float(model.log_p(X).mean())
    if backend is None:
        step.backend = "eager"
    for _ in range(150):
        step({"x": X})
    assert abs(float(model.machine.tracked().detach()) - model.machine._exact().value) < 0.3
    assert float(model.log_p(X).mean()) > before + 0.3


def test_in_evaluation_mode_log_z_keeps_its_gradient():
    made = machine((4, 3), num_chains=20_000)
    bits, draws = all_bits(4), exact_draws(made, 20_000)
    made.chains, made.log_f = draws, made.marginal(draws).detach()
    (found,) = torch.autograd.grad(RBM(made).log_prob(torch.zeros(7)), made.a)
    (expected,) = torch.autograd.grad(-made.marginal(bits).logsumexp(0), made.a)
    assert float((found - expected).abs().max()) < 4.5 * (0.25 / 20_000) ** 0.5
    pair = pv.Pair(Model(), Guide())
    pair.model.eval()
    assert "put it into training mode" in pv.compile_step(pair, {"x": X}, "vimco:num_particles=2", backend="graph").reason


def test_runs_resume_bitwise(tmp_path):
    def build(spec):
        return pv.Pair(Model(), Guide(), "vimco:num_particles=3")

    options = {"batch_size": 100, "progress": False, "compile": False, "tensorboard": False}
    whole = pv.fit(build(None), {"x": X}, epochs=4, **options)
    pv.fit(build(None), {"x": X}, epochs=2, out=tmp_path / "run", **options)
    again = pv.resume(tmp_path / "run", pair=build(None), data={"x": X}, epochs=4, progress=False)
    for (name, one), other in zip(whole.model.state_dict().items(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert math.isfinite(whole.records[-1]["train"])
