"""Each of the six rules on a run that breaks it and on one that does not."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.errors import OptionError


class Line(nn.Module):
    """z ~ N(0, 1), x ~ N(w z, 1) in three columns."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), float(weight)))

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1) * self.weight, 1.0).to_event(1), obs=x)


class Posterior(nn.Module):
    """q(z | x), exact where its scale is the posterior's."""

    def __init__(self, weight, times):
        super().__init__()
        variance = 1 / (1 + 3 * weight**2)
        self.slope = nn.Parameter(torch.full((3,), weight * variance))
        self.scale = times * variance**0.5

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x @ self.slope, self.scale))


def rows(num=300, weight=1.0, by=1.0, seed=0):
    noise = torch.Generator().manual_seed(seed)
    x = torch.randn(num, 1, generator=noise) * weight + torch.randn(num, 3, generator=noise)
    return x * torch.tensor([1.0, 1.0, by])


def trained(weight=1.0, times=1.0, by=1.0, num=300, **options):
    """A run of 12 epochs, at a rate of 0 where none is given: the pair is what it was."""
    data = {"train": rows(num, by=by), "valid": rows(60, by=by, seed=1), "test": rows(60, by=by, seed=2)}
    pair = pv.Pair(Line(weight), Posterior(weight, times))
    return pv.fit(pair, data, **{"epochs": 12, "lr": 1e-12, "batch_size": 100, "progress": False, **options})


@pytest.fixture(scope="module")
def good():
    return trained()


def test_an_exact_pair_is_trusted(good):
    found = pv.verdict(good)
    assert found.trusted and [each.rule for each in found.findings if each.kept] == [
        "scale",
        "early stop",
        "overfit",
        "collapse",
        "k-hat",
        "gap",
    ]
    assert str(found) == "Nothing speaks against this fit (asked: scale, early stop, overfit, collapse, k-hat, gap)."


BROKEN = {
    "scale": lambda: trained(by=50.0),
    "early stop": lambda: trained(by=5.0, lr=0.02),  # far from its end
    "overfit": lambda: trained(num=1, lr=0.1, epochs=40),  # on one row
    "collapse": lambda: trained(weight=0.01),
    "k-hat": lambda: trained(times=0.15),
    "gap": lambda: trained(times=0.15),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_is_broken_by_a_run_of_its_own(rule):
    found = pv.verdict(BROKEN[rule]())
    assert found[rule].kept is False and not found.trusted
    assert found[rule].figure in str(found) or rule in str(found)
    assert str(found).startswith("Do not trust this fit yet: ") and str(found).count(". ") == 0


def test_a_run_that_ends_under_its_warmup_is_told_so():
    found = pv.verdict(trained(epochs=3, kl_warmup=5.0))
    assert found["early stop"].kept is False and "under the warmup" in found["early stop"].figure
    assert found["overfit"].kept is None


def test_the_best_epochs_parameters_are_not_overfitted(good):
    run = BROKEN["overfit"]()
    run.weights = "best"
    assert pv.verdict(run)["overfit"].kept is True


def test_an_evaluation_of_ones_own_is_judged(good):
    own = pv.evaluate(good, num_samples=100)
    assert pv.verdict(good, own).to_json()["k-hat"]["kept"] is True
    by_ais = pv.evaluate(good, good.data.test.subset(torch.arange(2)), method="ais", num_chains=2, num_distributions=3)
    with pytest.raises(OptionError, match="importance sampling"):
        pv.verdict(good, by_ais)
    with pytest.raises(OptionError, match="run"):
        pv.verdict(good.pair)
