"""The categorical VAE: its sites, its log p(x) by enumeration, and that it trains by the relaxation to a better hard bound."""

from __future__ import annotations

import math

import pytest
import torch

import pyrovae as pv
from pyrovae.errors import OptionError


@pytest.mark.parametrize(("options", "shape"), [({"num_classes": 3}, (2, 3)), ({"num_classes": 2}, (2,))])
def test_log_p_is_the_sum_over_all_values(digits, options, shape):
    torch.manual_seed(0)
    pair, x = pv.pairs.categorical_vae(digits.spec, num_variables=2, hidden=[16], **options), digits.test["x"][:5]
    classes = options["num_classes"]
    index = torch.cartesian_prod(torch.arange(classes), torch.arange(classes))
    values = index.float() if classes == 2 else torch.eye(classes)[index].flatten(1)
    with torch.no_grad():
        likelihood = pair.model.likelihood(pair.model.decoder(values).unsqueeze(1)).log_prob(x)
    truth = likelihood.logsumexp(0) - 2 * math.log(classes)
    found = pv.log_evidence(pair, x, num_samples=4000, seed=0)
    assert bool(((found.value - truth).abs() < 5 * found.stderr).all())
    assert pv.sample(pair, 3)["z"].shape[-len(shape) :] == shape
    for walk in (
        lambda: pv.traverse(pair, x[:1]),
        lambda: pv.interpolate(pair, x[:1], x[1:2], site="z"),
        lambda: pv.manifold(pair),
    ):
        with pytest.raises(OptionError, match="site 'z' is discrete, and nothing lies between its values"):
            walk()


def test_training_by_the_relaxation_raises_the_bound_of_the_discrete_pair(digits):
    torch.manual_seed(0)
    pair = pv.pairs.categorical_vae(digits.spec, num_variables=4, num_classes=4, hidden=[32])
    before = pv.log_evidence(pair, digits.test, num_samples=50, seed=0).mean
    schedule = {"temperature": "linear:start=1,end=0.5,epochs=8"}
    run = pv.fit(pair, digits, epochs=8, lr=2e-2, seed=0, progress=False, schedule=schedule)
    assert pv.log_evidence(pair, digits.test, num_samples=50, seed=0).mean > before + 1
    assert run.history["temperature"].iloc[-1] < run.history["temperature"].iloc[0]


def test_fewer_than_two_classes_are_refused(digits):
    with pytest.raises(OptionError, match="expected at least 2"):
        pv.pairs.categorical_vae(digits.spec, num_classes=1)
