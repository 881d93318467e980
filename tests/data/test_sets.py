"""Sets and functions by rule: moments, densities, covariances; contexts, ragged sets, what comes after a grouping."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pyrovae as pv
from pyrovae.data import gp_functions, load, set_families, spatial_digits, sprite_factors, sprite_pictures, transform
from pyrovae.data.families import FAMILIES
from pyrovae.data.functions import NOISE, rbf
from pyrovae.data.named import NAMED
from pyrovae.data.spec import KeySpec
from pyrovae.errors import DataError, OptionError


def test_families_have_the_mean_variance_and_kurtosis_of_their_name():
    x, family = set_families(8, size=40_000, seed=3)
    standard = (x[..., 0] - x.mean(1)) / x[..., 0].std(1, keepdims=True)
    assert np.abs(x.mean(1)).max() < 1.03 and (x.var(1) > 0.48).all() and (x.var(1) < 2.1).all()
    for name, skew, kurtosis in (("exponential", 2, 9), ("gaussian", 0, 3), ("laplace", 0, 6), ("uniform", 0, 1.8)):
        some = standard[family == FAMILIES.index(name)]
        np.testing.assert_allclose((some**3).mean(1), skew, atol=0.2)
        np.testing.assert_allclose((some**4).mean(1), kurtosis, atol=1.2)
    assert np.array_equal(set_families(4, size=5, seed=3)[0], set_families(4, size=5, seed=3)[0])


def test_points_of_a_digit_lie_in_its_pixels_in_proportion_to_their_brightness():
    image = np.zeros((2, 4, 4))
    image[0, 0, 3], image[0, 2, 1], image[1, 3, 0] = 3.0, 1.0, 9.0
    x = spatial_digits(image, size=8000, seed=1)
    corner = (x[0] > 0.5).all(1)
    assert corner.mean() == pytest.approx(0.75, abs=0.02)  # upper right
    assert (np.abs(x[0][~corner] - [-0.25, -0.25]) <= 0.25).all()
    assert (x[1] < -0.5).all() and np.abs(x[1].mean(0) + 0.75).max() < 0.01
    with pytest.raises(DataError, match="expected .* of values from 0 up, none of them all 0"):
        spatial_digits(np.zeros((1, 2, 2)))


def test_functions_have_the_covariance_of_their_process():
    u, x = gp_functions(4000, size=3, seed=2)
    covariance = rbf(u.astype(float), u.astype(float)) + NOISE**2 * np.eye(3)
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), x.astype(float))[..., 0]
    np.testing.assert_allclose(whitened.T @ whitened / 4000, np.eye(3), atol=0.08)
    np.testing.assert_allclose(rbf(np.zeros((1, 2)), np.array([[0.3, 0.4]])), np.exp(-0.5), rtol=1e-12)


def test_pictures_of_a_table_are_of_their_style_and_time():
    style, time = sprite_factors(5, 6)
    x = sprite_pictures(style, time[:5]) / 255
    at = np.arange(16) + 0.5
    centre = np.stack([(x.sum(1) * at).sum(1), (x.sum(2) * at).sum(1)], -1) / x.sum((1, 2))[:, None]
    np.testing.assert_allclose(centre, time[:5], atol=0.35)  # but for what the frame cuts off
    np.testing.assert_allclose(x.max((1, 2)), style[:, 1], atol=0.05)


def test_named_sets_say_that_they_are_sets_and_it_is_written_and_read():
    keys = load("set-families").spec.keys
    assert keys["x"].is_set and not keys["y"].is_set and keys["y"].labels == FAMILIES
    assert KeySpec.from_json(keys["x"].to_json()) == keys["x"] and "is_set" not in keys["y"].to_json()
    assert NAMED["gp-functions"].sets == ("x", "condition")


@pytest.fixture(scope="module")
def functions(digits):
    return transform(transform(digits, "pixels"), "context:least=2,most=9")


def test_pixels_are_at_their_places(digits, functions):
    images, batch = digits.test[:3], functions.test[:3]
    u = batch["condition"]
    column, row = ((u[..., 0] + 1) * 4 - 0.5).long(), ((1 - u[..., 1]) * 4 - 0.5).long()
    rows = torch.arange(3).unsqueeze(1)
    assert torch.equal(images["x"][rows, row, column], batch["x"][..., 0])
    torch.testing.assert_close(functions.spec.mean[:, 0].view(8, 8), digits.spec.mean)
    shuffled = transform(transform(digits, "pixels"), "subsets:size=5").test[:3]
    place = (((1 - shuffled["condition"][..., 1]) * 4 - 0.5).long(), ((shuffled["condition"][..., 0] + 1) * 4 - 0.5).long())
    assert torch.equal(images["x"][rows, place[0], place[1]], shuffled["x"][..., 0])


def test_a_context_is_of_each_size_and_point_as_often_and_new_in_every_epoch(functions):
    counts = torch.zeros(64)
    sizes = []
    for epoch in range(3):
        for batch in functions.train.epoch(500, seed=0, epoch=epoch):
            assert torch.equal(batch["c"], batch["x"] * batch["given"])
            counts += batch["given"][..., 0].sum(0)
            sizes.append(batch["given"].sum((1, 2)))
    sizes = torch.cat(sizes)
    assert sizes.unique().tolist() == list(range(2, 10))
    assert (torch.bincount(sizes.long())[2:] / len(sizes) - 1 / 8).abs().max() < 0.03
    expected = sizes.sum() / 64
    assert ((counts - expected).abs() < 6 * expected.sqrt()).all()
    assert torch.equal(functions.test[:5]["given"], functions.test[:5]["given"])


def test_what_changes_sets_after_they_are_grouped_changes_the_groups(digits):
    """A subset of a group is of its data, not of the rows of each image; ragged groups have their own lengths."""
    grouped = transform(digits, "groups:size=4")
    few = transform(grouped, "subsets:size=2")
    whole, batch = grouped.test[:20], few.test[:20]
    assert batch["x"].shape == (20, 2, 8, 8) and batch["y"].shape == (20,)
    same = (batch["x"].unsqueeze(2) == whole["x"].unsqueeze(1)).all(-1).all(-1)
    assert same.any(2).all() and few.spec.keys["x"].is_set
    lengths = transform(grouped, "ragged:least=2").train[:400]["lengths"]
    assert lengths.unique().tolist() == [2, 3, 4]
    with pytest.raises(OptionError, match="least is 5; expected at most 4"):
        transform(grouped, "ragged:least=5")


def test_rows_are_numbered_in_training_alone(digits):
    data = transform(digits, "row-numbers")
    assert torch.equal(data.train[[7, 3]]["row"], torch.tensor([7, 3])) and (data.valid["row"] == -1).all()
    assert data.train.subset([9, 4]).store.columns["row"].tolist() == [9, 4]
    with pytest.raises(DataError, match="digits has a key 'row' already"):
        transform(data, "row-numbers")


def test_characters_are_split_by_alphabet(tmp_path):
    rng = np.random.default_rng(0)
    bits = rng.random((16, 105, 105)) < 0.5
    bits[0] = False
    (tmp_path / "OmniglotSmall").mkdir()
    columns = {"alphabet": np.arange(16, dtype=np.uint8) // 2, "character": np.arange(16, dtype=np.uint16) % 2}
    packed = np.packbits(bits.reshape(16, -1), axis=1)
    np.savez(tmp_path / "OmniglotSmall/omniglot_small.npz", images=packed, drawer=columns["alphabet"], **columns)
    data = pv.data.load("omniglot-small", root=tmp_path)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [10, 2, 4]
    assert data.train["x"][0].sum() == 0 and data.spec.shape == (28, 28) and data.spec.kind == "binary"
    assert data.test["y"].tolist() == [12, 13, 14, 15] and data.test["alphabet"].tolist() == [6, 6, 7, 7]
