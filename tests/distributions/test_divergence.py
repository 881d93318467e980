"""KL divergences in closed form against Monte Carlo; those that torch has wrong are not used."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import ContinuousBernoulli, Independent, kl_divergence

from pyrovae.distributions.divergence import WRONG, analytic_kl

ONE = torch.tensor(1.0)
FOLDED, HALF = dist.FoldedDistribution(dist.Normal(0.5, ONE)), dist.HalfNormal(1.8 * ONE)
WRONG_PAIRS = {
    ("ContinuousBernoulli", "Uniform"): (ContinuousBernoulli(0.3 * ONE), dist.Uniform(0 * ONE, 1.0)),
    ("Uniform", "ContinuousBernoulli"): (dist.Uniform(0 * ONE, 1.0), ContinuousBernoulli(0.3 * ONE)),
    ("FoldedDistribution", "TransformedDistribution"): (
        dist.FoldedDistribution(dist.Normal(0.3, ONE)),
        dist.HalfNormal(1.8 * ONE),
    ),
    ("TransformedDistribution", "FoldedDistribution"): (
        dist.HalfNormal(1.8 * ONE),
        dist.FoldedDistribution(dist.Normal(0.5, ONE)),
    ),
    ("MaskedDistribution", "Distribution"): (dist.Normal(0 * ONE, 1.0).mask(True), dist.Normal(ONE, 2.0).mask(False)),
    ("Distribution", "MaskedDistribution"): (dist.Normal(0 * ONE, 1.0).mask(False), dist.Normal(ONE, 2.0).mask(True)),
}
RIGHT = [
    (dist.Normal(0 * ONE, 1.0), dist.Normal(0.5 * ONE, 1.7)),
    (dist.Normal(0 * ONE, 1.0), dist.Laplace(0.5 * ONE, 1.7)),
    (dist.Gamma(2 * ONE, 1.5), dist.Gamma(3 * ONE, 0.8)),
    (dist.Beta(2 * ONE, 3.0), dist.Uniform(0 * ONE, 1.0)),
    (dist.LogNormal(0 * ONE, 0.5), dist.LogNormal(0.3 * ONE, 0.8)),
    (dist.HalfNormal(ONE), dist.HalfNormal(1.8 * ONE)),
    (dist.Dirichlet(torch.tensor([2.0, 3.0, 1.5])), dist.Dirichlet(torch.ones(3))),
    (dist.Exponential(1.5 * ONE), dist.Gamma(3 * ONE, 0.8)),
    (dist.Gumbel(0 * ONE, 1.0), dist.Gumbel(0.5 * ONE, 1.7)),
]


def monte_carlo(q, p):
    """E_q[log q - log p] and its standard error."""
    z = q.sample((40_000,))
    difference = (q.log_prob(z) - p.log_prob(z)).double()
    return float(difference.mean()), float(difference.std() / 200)


def test_the_table_of_wrong_ones_is_tried_in_full_and_torch_still_has_them_wrong():
    torch.manual_seed(0)
    assert {(q.__name__, p.__name__) for q, p, _ in WRONG} == WRONG_PAIRS.keys()
    for names, (q, p) in WRONG_PAIRS.items():
        value, error = monte_carlo(q, p)
        assert not abs(float(torch.as_tensor(kl_divergence(q, p))) - value) < 6 * error, names
        for wrapped in ((q, p), tuple(Independent(each.expand((3,)), 1) for each in (q, p))):
            with pytest.raises(NotImplementedError, match="torch's KL"):
                analytic_kl(*wrapped)


@pytest.mark.parametrize("number", range(len(RIGHT)))
def test_the_others_agree_with_draws(number):
    torch.manual_seed(0)
    q, p = RIGHT[number]
    value, error = monte_carlo(q, p)
    assert abs(float(analytic_kl(q, p)) - value) < 4.5 * error
