"""A class that is given and a style: analogies, log p(y) in what is reported, rows without a label refused."""

from __future__ import annotations

import math

import pytest
import torch

import pyrovae as pv
from pyrovae.errors import PyrovaeError
from pyrovae.objectives import Given
from pyrovae.objectives.moves import prepare_objective


def pair_of(data):
    torch.manual_seed(0)
    return pv.pairs.aae_style(data.spec, latent_dim=2, hidden=[12], discriminator_hidden=6)


def test_analogies_are_the_style_of_a_datum_in_every_class(digits):
    pair, rows = pair_of(digits), digits.test[:4]
    sheet = pv.analogies(pair, rows)
    z = pv.encode(pair, rows)["z"]
    with torch.no_grad():
        expected = pair.model.likelihood(pair.model.decoder(z.unsqueeze(1), torch.eye(10))).mean
    torch.testing.assert_close(sheet, expected)
    styles = pv.class_samples(pair, 3)
    assert styles.shape == (10, 3, 8, 8)
    assert not torch.equal(styles[0], styles[1]) and not torch.equal(styles[:, 0], styles[:, 1])


def test_what_is_reported_scores_the_class_too_and_draws_have_one(digits):
    pair, batch = pair_of(digits), digits.train[:20]
    objective = pv.objectives.get(pair.objective)
    prepare_objective(objective, pair.model, pair.guide, batch)
    with torch.no_grad():
        reported = objective.value(Given(pair.model, pair.guide, [batch]))
        z = pv.encode(pair, batch)["z"]
        pixels = pair.model.likelihood(pair.model.decoder(z, torch.eye(10)[batch["y"]])).log_prob(batch["x"])
    torch.testing.assert_close(reported, pixels - math.log(10))
    torch.manual_seed(0)
    assert len(pv.sample(pair, 50)["y"].unique()) > 5
    threes = pv.sample(pair, 5, given={"y": 3})
    assert threes["x"].shape == (5, 8, 8)


def test_rows_without_a_label_are_refused(digits):
    few = pv.data.load("digits", transforms=["few-labels:num_labels=100"])
    with pytest.raises(PyrovaeError, match="observed 'y' leaves the support"):
        pv.fit(pair_of(few), few, epochs=1, progress=False)
