"""Pairs of many structures: every method within its error, every side kept."""

from __future__ import annotations

import pytest
from structures import BY_NAME, STRUCTURES

from pyrovae.evidence import gaps

CONTINUOUS = [structure.name for structure in STRUCTURES if not structure.discrete]
METHODS = {
    "ais": {"method": "ais", "num_chains": 100, "num_distributions": 10, "num_leapfrog": 2},
    "ais from the prior": {"method": "ais", "num_chains": 100, "num_distributions": 10, "num_leapfrog": 2, "start": "prior"},
    "smc": {"method": "smc", "num_chains": 100, "num_distributions": 10, "num_leapfrog": 2},
    "bridge": {"method": "bridge", "num_draws": 24, "num_warmup": 24, "num_leapfrog": 3, "num_steps": 40},
}
ROTATED = [(name, [*METHODS, "sides", "gaps"][i % 6]) for i, name in enumerate(CONTINUOUS)]


@pytest.mark.parametrize("name", BY_NAME)
def test_importance_sampling_plain_and_defensive(name):
    for defensive in (0.0, 0.2):
        z, _ = BY_NAME[name].method("importance", num_samples=3000, defensive=defensive)
        assert z.abs().max() < 4


@pytest.mark.parametrize(("name", "how"), ROTATED)
def test_moves_through_every_structure(name, how):
    structure = BY_NAME[name]
    if how == "sides":
        lower, upper, gap = structure.sides(100, num_chains=4, num_distributions=10, num_leapfrog=2)
        assert lower < 4 and upper < 4 and gap < 1
    elif how == "gaps":
        found = gaps(
            structure.pair(), structure.x, 500, num_steps=40, ais={"num_distributions": 4, "num_chains": 2, "num_leapfrog": 1}
        )
        assert ((found.refined.value - structure.log_p()) / found.refined.stderr).abs().max() < 4
        assert (found.refined.elbo < structure.log_p() + 4 * found.refined.elbo_stderr).all()
    else:
        z, evidence = structure.method(**METHODS[how])
        assert z.abs().max() < 4 and evidence.stderr.max() < 0.2


@pytest.mark.parametrize("name", [structure.name for structure in STRUCTURES if structure.discrete])
def test_sums_are_exact(name):
    z, evidence = BY_NAME[name].method("exact")
    assert (z * 1e-6).abs().max() < 1e-4 and evidence.bound == "exact"
