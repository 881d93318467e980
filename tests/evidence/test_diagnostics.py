"""What an estimate says of itself where it is not to be trusted: chains apart, float32's ends, one ancestor."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

import pyrovae as pv
from pyrovae.errors import ContractError
from pyrovae.evidence import gaps
from pyrovae.evidence.chains import Moments, split_rhat
from pyrovae.evidence.weights import effective

SHORT = {"num_steps": 30, "num_draws": 20, "num_warmup": 20}


def parabola(x):
    """x ~ N(z^2, 0.09): two modes where x is far above 0, which HMC does not join."""
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(x.new_zeros(len(x)), 2.0))
        pyro.sample("x", dist.Normal(z.square().unsqueeze(-1), 0.3).to_event(1), obs=x)


def one_branch(x):
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.Normal(x[:, 0].clamp_min(0.1).sqrt(), 0.1))


def beta(a):
    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Beta(x.new_full((len(x),), a), a))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1), 0.5).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Beta(a + 0.3 * x[:, 0].sigmoid(), x.new_full((len(x),), a + 0.1)))

    return model, guide


def test_a_bridge_whose_chains_stay_in_their_modes_says_so():
    x = torch.tensor([[4.0], [9.0]])
    z = torch.linspace(-12, 12, 24_001, dtype=torch.float64).unsqueeze(1)
    joint = dist.Normal(0.0, 2.0).log_prob(z) + dist.Normal(z.square(), 0.3).log_prob(x[:, 0].double())
    truth = joint.logsumexp(0) + math.log(24 / 24_000)
    evidence = pv.log_evidence((parabola, one_branch), x, method="bridge", **SHORT)
    assert (evidence.value - truth).abs().max() > 0.2  # a half of the mass is hard to find
    assert (evidence.rhat > 2).all()
    assert "split R-hat > 1.2 for 2 of 2 data" in repr(evidence) and evidence.to_json()["max_rhat"] > 2
    smc = pv.log_evidence((parabola, one_branch), x, method="smc", start="prior", num_distributions=40)  # what it advises
    assert ((smc.value - truth).abs() < 4 * smc.stderr).all()


def test_split_rhat_is_that_of_the_formula_and_near_one_for_chains_that_mix():
    torch.manual_seed(0)
    draws = torch.randn(50, 8, 3, 2)
    halves = Moments(), Moments()
    for t, step in enumerate(draws):
        halves[t >= 25].add(step)
    split = torch.cat([draws[:25], draws[25:]], 1).double()  # (25, 16, 3, 2)
    within, between = split.var(0).mean(0), split.mean(0).var(0)
    torch.testing.assert_close(split_rhat(*halves), ((24 / 25 * within + between) / within).sqrt().amax(-1))
    assert (split_rhat(*halves) < 1.1).all()
    assert split_rhat(Moments(), halves[0]).isnan().all()


def test_mass_beyond_float32_is_refused_and_none_where_it_ends_within():
    x = torch.tensor([[0.2], [0.9], [-0.3]])
    for call in (
        lambda: pv.log_evidence(beta(0.1), x, method="ais", start="prior"),
        lambda: pv.log_evidence(beta(0.1), x, method="bridge"),
        lambda: gaps(beta(0.1), x, num_samples=10),
    ):
        with pytest.raises(ContractError, match="draws of site 'z' lie where float32 ends"):
            call()
    grid = torch.linspace(-40, 40, 40_001, dtype=torch.float64)
    log_z, log_rest = (torch.nn.functional.logsigmoid(sign * grid) for sign in (1, -1))
    joint = (log_z + log_rest).unsqueeze(1) + dist.Normal(log_z.exp().unsqueeze(1), 0.5).log_prob(x[:, 0].double())
    evidence = pv.log_evidence(beta(1.0), x, method="ais", num_chains=64, num_distributions=10)
    assert ((evidence.value - joint.logsumexp(0) - math.log(80 / 40_000)).abs() < 4 * evidence.stderr).all()


def test_chains_of_one_first_ancestor_have_no_error_and_the_estimate_says_so():
    kin = effective(torch.zeros(5, 2, dtype=torch.float64), torch.tensor([[0, 0], [0, 1], [0, 2], [0, 3], [0, 4]]))
    assert kin["stderr"].isnan().tolist() == [True, False]
    pair = (parabola, one_branch)
    lost = pv.log_evidence(pair, torch.tensor([[9.0]]), method="smc", start="prior", num_chains=3, num_distributions=40)
    assert lost.stderr.isnan().all() and lost.to_json()["mean_mc_stderr"] is None
    assert "all chains of 1 of 1 data come from one first draw, so no error is known" in repr(lost)
