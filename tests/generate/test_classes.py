"""Grids of classes and styles."""

from __future__ import annotations

import pytest
import torch

import pyrovae as pv
from pyrovae.data import DataSpec
from pyrovae.errors import ContractError

SPEC = DataSpec("toy", (4,), "binary", classes=3)


def build(name, **options):
    torch.manual_seed(0)
    return pv.pairs.get(name).build(SPEC, latent_dim=2, hidden=[6], **options)


def test_m2s_grids_are_its_decoder_at_each_class():
    pair = build("m2")
    x = torch.bernoulli(torch.full((5, 4), 0.5))
    grid = pv.analogies(pair, x)
    with torch.no_grad():
        guessed = torch.eye(3)[pair.guide.classifier(x).argmax(-1)]
        z = pair.guide.encoder(x, guessed).chunk(2, -1)[0]
        for c in range(3):
            expected = pair.model.decoder(z, torch.eye(3)[c].expand(5, 3)).squeeze(-2).sigmoid()
            torch.testing.assert_close(grid[:, c], expected)
    drawn = pv.class_samples(pair, 6, like={"x": x[:1]})
    assert drawn.shape == (3, 6, 4) and (drawn[0] != drawn[1]).any() and (drawn[:, 0] != drawn[:, 1]).any()


def test_what_depends_on_the_class_moves_with_it():
    """In M1+M2 x sees y through z1 only, in SDGM through a also: held at the datum's own, classes would not show."""
    x = torch.bernoulli(torch.full((5, 4), 0.5))
    for name, options in (("m1-m2", {"feature_dim": 3, "feature_hidden": [6]}), ("sdgm", {"auxiliary_dim": 2})):
        pair = build(name, **options)
        grid = pv.analogies(pair, x)
        assert grid.shape == (5, 3, 4) and (grid[:, 0] - grid[:, 1]).abs().min() > 1e-6
    with torch.no_grad():
        pair = build("m1-m2", feature_dim=3, feature_hidden=[6])
        drawn = pv.class_samples(pair, 4, like={"x": x[:1]})
    assert (drawn[0] - drawn[1]).abs().min() > 1e-6


def test_it_needs_a_class():
    pair = pv.pairs.vae(SPEC, latent_dim=2)
    with pytest.raises(ContractError, match="no latent site 'y'"):
        pv.analogies(pair, torch.zeros(2, 4))


@pytest.mark.parametrize(
    ("options", "values"), [({"num_variables": 2, "num_classes": 3}, 6), ({"num_variables": 3, "num_classes": 2}, 6)]
)
def test_each_variable_of_a_code_goes_through_its_values_and_the_others_stay(options, values):
    torch.manual_seed(0)
    pair = pv.pairs.categorical_vae(SPEC, hidden=[6], **options)
    torch.manual_seed(1)
    grid = pv.class_samples(pair, 4, site="z")
    torch.manual_seed(1)
    z = pv.sample(pair, 4)["z"]
    assert grid.shape == (values, 4, 4)
    classes = options["num_classes"]
    for value in range(values):
        n, c = divmod(value, classes)
        at = z.clone()
        at[:, n] = c if classes == 2 else torch.eye(3)[c]
        torch.testing.assert_close(grid[value], pv.decode(pair, {"z": at}))
    with pytest.raises(ContractError, match=r"site 'z' \(CodebookPrior\) has no classes to show"):
        pv.class_samples(pv.pairs.vq_vae(SPEC, num_places=2), site="z")
