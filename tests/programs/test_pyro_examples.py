"""Pyro's own examples as they come: checked, trained, evaluated, sampled, and scored as Pyro scores them."""

from __future__ import annotations

import pyro_examples
import pytest
import torch

import pyrovae as pv
from pyrovae.core.contract import check_batch
from pyrovae.core.pair import as_pair
from pyrovae.errors import ContractError

NAMES = list(pyro_examples.EXAMPLES)
GREY = [name for name in NAMES if name in ("vae", "ss_vae", "ss_vae, labels", "cvae")]


def example(name):
    torch.manual_seed(0)
    made = pyro_examples.EXAMPLES[name]()
    return as_pair(pv.Pair(made.model, made.guide, sites=made.sites)), made


@pytest.mark.parametrize("name", NAMES)
def test_check_takes_it_and_says_how(name):
    pair, made = example(name)
    report = check_batch(pair, made.batch)
    assert report.rows == made.rows and ("particles as rows" in str(report)) == made.rows
    assert report.is_density == (name not in GREY)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_elbo_of_one_particle_is_pyros_at_the_same_draws(name, training):
    pair, made = example(name)
    made.model.__self__.train(training)
    check_batch(pair, made.batch)
    torch.manual_seed(1)
    theirs = made.loss.loss(made.model, made.guide, **made.batch)
    torch.manual_seed(1)
    ours = pv.objectives.get("elbo").loss(pair.model, pair.guide, **made.batch)
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_factor_of_the_guide_is_refused_by_bounds_and_left_out_of_weights():
    pair, made = example("scanvi, labels")
    assert "the guide has a factor" in str(check_batch(pair, made.batch))
    with pytest.raises(ContractError, match="pyro.factor, a loss of its own, which IWAE"):
        pv.objectives.get("iwae:num_particles=2").loss(pair.model, pair.guide, **made.batch)
