"""A constraint on the distortion: its multiplier by hand, and where it settles."""

from __future__ import annotations

import math

import exact
import pytest
import torch
from steppers import assert_same_steps, steppers

import pyrovae as pv
from pyrovae.errors import OptionError
from pyrovae.objectives import Constrained, Given, Nested
from pyrovae.objectives.constrained import Multiplier
from pyrovae.objectives.moves import prepare_objective
from pyrovae.objectives.objective import commit, finish


def test_the_multiplier_waits_for_the_constraint_falls_above_it_and_goes_to_1_below():
    multiplier, history = Multiplier(0.5), []
    for distortion in (12.0, 8.0, -500.0, 100.0, 100.0):
        beta, state = multiplier.moved(torch.tensor(distortion), 10.0, rate=0.1, slope=2.0, decay=0.99)
        commit(state)
        history.append(float(beta))
    averages = [12.0]
    for distortion in (8.0, -500.0, 100.0, 100.0):
        averages.append(0.99 * averages[-1] + 0.01 * distortion)
    assert averages[1] > 10 > averages[2] and averages[4] < 10
    assert history[:2] == [0.5, 0.5]
    beta = 0.5
    for average, found in zip(averages[2:], history[2:], strict=True):
        beta *= math.exp(0.1 * math.tanh(2 * (beta - 1)) * (average - 10))
        assert found == pytest.approx(beta, rel=1e-5) and found < 1
    above, _ = multiplier.moved(torch.tensor(2000.0), 10.0, rate=0.1, slope=2.0, decay=0.99)
    assert float(above) == pytest.approx(beta * math.exp(-0.1 * (0.99 * averages[-1] + 20 - 10)), rel=1e-5)


@pytest.mark.parametrize(("share", "settles"), [(1.2, 1.0), (0.9, None)])
def test_a_constraint_that_the_bound_meets_ends_at_the_bound_and_a_tighter_one_at_itself(share, settles):
    """The distortion of the exact posterior of a linear-Gaussian pair, more of it, and less."""
    known = exact.linear_gaussian(2, 4, rows=60)
    free = -float(
        pv.objectives.get("elbo:num_particles=500")
        .trace(Given(known.model, known.pair.guide, [known.batch]))
        .log_likelihood.mean()
        .detach()
    )
    guide = exact.Affine(4, 2)
    objective = Constrained({"name": "meanfield", "num_particles": 8}, distortion=share * free, rate=0.1, decay=0.5)
    prepare_objective(objective, known.model, guide, known.batch)
    optimizer, history = torch.optim.Adam(guide.parameters(), lr=0.05), []
    torch.manual_seed(0)
    for _ in range(400):
        updates = objective.updates(Given(known.model, guide, [known.batch]))
        update = next(updates)
        optimizer.zero_grad()
        update.loss.backward()
        optimizer.step()
        commit(finish(updates, objective))
        history.append([float(update.figures["distortion"]), float(update.figures["beta"])])
    distortion, beta = torch.tensor(history[-100:]).mean(0).tolist()
    if settles is None:
        assert distortion == pytest.approx(share * free, rel=0.01) and beta < 0.9
    else:
        assert beta == pytest.approx(settles, abs=0.01) and distortion == pytest.approx(free, rel=0.02)


def test_it_weighs_the_nested_bounds_kl_and_a_compiled_step_is_the_eager_one(digits):
    torch.manual_seed(0)
    pair = pv.pairs.vhp_vae(digits.spec, latent_dim=3, upper_dim=2, hidden=[16], upper_hidden=[8])
    batch, base = digits.train[torch.arange(20)], {"name": "nested", "site": "z2", "num_nested": 4}
    objective = Constrained(base, distortion=30.0, start=0.25)
    prepare_objective(objective, pair.model, pair.guide, batch)
    torch.manual_seed(1)
    (update,) = list(objective.updates(Given(pair.model, pair.guide, [batch])))
    torch.manual_seed(1)
    (weighted,) = list(Nested("z2", 4, beta=0.25).updates(Given(pair.model, pair.guide, [batch])))
    torch.testing.assert_close(update.loss, weighted.loss, atol=1e-3, rtol=0)
    assert_same_steps(*steppers(pair.model, pair.guide, batch, Constrained(base, distortion=90.0, rate=0.01)), batch)


def test_a_base_that_weighs_its_own_kl_is_refused():
    for option in ("beta", "capacity", "free_bits"):
        with pytest.raises(OptionError, match=f"{option} of the base weighs its KL"):
            Constrained({"name": "meanfield", option: 2.0})
