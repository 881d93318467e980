"""ControlVAE's objective: its weight by hand, and where the KL settles."""

from __future__ import annotations

import math

import exact
import pytest
import torch
from steppers import assert_same_steps, steppers

import pyrovae as pv
from pyrovae.errors import OptionError
from pyrovae.objectives import Control, Given, MeanField
from pyrovae.objectives.moves import prepare_objective
from pyrovae.objectives.objective import commit, finish


def test_the_weight_is_that_of_the_algorithm_and_its_integral_stays_in_range(digits):
    torch.manual_seed(0)
    pair, batch = pv.pairs.vae(digits.spec, latent_dim=3, hidden=[16]), digits.train[torch.arange(20)]
    objective = Control(capacity=0.1, proportional=0.3, integral=0.2, least=0.5, most=1.0)
    prepare_objective(objective, pair.model, pair.guide, batch)
    total = 0.0
    for capacity in (0.1, 0.1, 0.1, 30.0, 30.0):
        torch.manual_seed(1)
        given = Given(pair.model, pair.guide, [batch], {"capacity": torch.tensor(capacity)})
        updates = objective.updates(given)
        update = next(updates)
        commit(finish(updates, objective))
        error = capacity - float(update.figures["kl"])
        total = min(max(total - 0.2 * error, 0.0), 0.5)
        beta = min(0.5 + 0.3 / (1 + math.exp(error)) + total, 1.0)
        assert float(update.figures["beta"]) == pytest.approx(beta, abs=1e-5)
        torch.manual_seed(1)
        (weighted,) = list(MeanField(beta=beta).updates(Given(pair.model, pair.guide, [batch])))
        torch.testing.assert_close(update.loss, weighted.loss)
        torch.testing.assert_close(update.bound, weighted.bound)
    assert float(objective.networks.total) == 0.0  # and not far below


def test_the_kl_of_a_linear_gaussian_pair_settles_at_the_set_point():
    known = exact.linear_gaussian(2, 4, rows=60)
    free = pv.evaluation.kl_per_dim(known.pair, known.batch["x"])["z"].total  # at the exact posterior
    guide = exact.Affine(4, 2)
    objective = Control(capacity=0.6 * free, proportional=1.0, integral=0.2, num_particles=8)
    prepare_objective(objective, known.model, guide, known.batch)
    optimizer = torch.optim.Adam(guide.parameters(), lr=0.05)
    history = []
    torch.manual_seed(0)
    for _ in range(250):
        updates = objective.updates(Given(known.model, guide, [known.batch]))
        update = next(updates)
        optimizer.zero_grad()
        update.loss.backward()
        optimizer.step()
        commit(finish(updates, objective))
        history.append([float(update.figures["kl"]), float(update.figures["beta"])])
    kl, beta = torch.tensor(history[-100:]).T
    assert float(kl.mean()) == pytest.approx(0.6 * free, rel=0.01) and float(kl.std()) < 0.03 * free
    assert 1 < float(beta.mean()) < 10 and float(beta.std()) < 0.1


def test_a_compiled_step_is_the_eager_one_and_bad_options_are_refused(digits):
    torch.manual_seed(0)
    pair, batch = pv.pairs.vae(digits.spec, latent_dim=3, hidden=[16]), digits.train[torch.arange(20)]
    assert_same_steps(*steppers(pair.model, pair.guide, batch, Control(capacity=2.0, integral=0.1)), batch)
    with pytest.raises(OptionError, match="most is 1.0; expected a number above least"):
        Control(least=1.0, most=1.0)
    with pytest.raises(OptionError, match="capacity is nan"):
        Control(capacity=math.nan)
