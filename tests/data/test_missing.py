"""Missing values: refused without the option, kept out of everything with it."""

from __future__ import annotations

import logging

import numpy as np
import pandas
import pytest
import torch
from torch.utils.data import DataLoader

import pyrovae as pv
from pyrovae.data import as_split, load
from pyrovae.errors import DataError, OptionError

RNG = np.random.default_rng(0)
X = RNG.normal(5.0, 1.0, (80, 3)).astype("float32")
SEEN = RNG.random(X.shape) > 0.3
HOLES = np.where(SEEN, X, np.nan).astype("float32")
FORMS = {
    "NaN": HOLES,
    "NaN in a tensor": torch.from_numpy(HOLES),
    "masked array": np.ma.masked_array(np.where(SEEN, X, 1e6), ~SEEN),
    "masked integers": np.ma.masked_array(np.where(SEEN, X.round().astype(int), -(10**6)), ~SEEN),
    "frame": pandas.DataFrame(HOLES, columns=list("abc")),
    "mask beside x": {"x": np.where(SEEN, X, 1e6), "mask": SEEN},
    "mask beside NaN": {"x": HOLES, "mask": SEEN.astype(float)},
}


@pytest.mark.parametrize("form", FORMS)
def test_missing_values_are_refused_or_left_out(form):
    obj = FORMS[form]
    if form != "mask beside x":
        with pytest.raises(DataError, match="missing='mask'"):
            load((obj, obj))
        with pytest.raises(DataError, match="missing='mask'"):
            as_split(obj)
    data = load((obj, obj), missing="mask")
    batch = data.train[:80]
    truth = X.round() if "integers" in form else X
    assert data.spec.roles == {"missing": "mask"} and data.spec.kind == ("count" if "integers" in form else "real")
    assert np.array_equal(batch["mask"].numpy(), SEEN.astype("float32"))
    assert np.array_equal(batch["x"].numpy(), np.where(SEEN, truth, 0))
    np.testing.assert_allclose(data.spec.mean, np.nanmean(np.where(SEEN, truth, np.nan), 0), rtol=1e-5)
    again = as_split(obj, like=data.spec)[:80]  # new data of a pair that knows of missing values
    assert torch.equal(again["x"], batch["x"]) and torch.equal(again["mask"], batch["mask"])


def test_new_rows_that_miss_nothing_get_no_mask():
    spec = load(HOLES, missing="mask").spec
    assert "mask" not in as_split(X, like=spec).keys
    assert (load((X, X), missing="mask").train["mask"] == 1).all()


def test_files_with_missing_values(tmp_path):
    np.savez(tmp_path / "holes.npz", x=HOLES)
    pandas.DataFrame(HOLES, columns=list("abc")).to_csv(tmp_path / "holes.csv", index=False)
    for name in ("holes.npz", "holes.csv"):
        with pytest.raises(DataError, match="NaN"):
            load(tmp_path / name)
        data = load(tmp_path / name, missing="mask")
        assert load(**data.source).fingerprint() == data.fingerprint()
        assert float(1 - data.train["mask"].mean()) == pytest.approx(0.3, abs=0.08)


def test_a_recipe_trained_on_holes_never_sees_what_lies_beneath():
    """The same pair, whatever the values under the mask: parameters, bounds and log p(x_observed) are equal bitwise."""
    figures = []
    for beneath in (0.0, 77.0):
        data = load(({"x": np.where(SEEN, X, beneath), "mask": SEEN},) * 3, missing="mask")
        torch.manual_seed(0)
        pair = pv.pairs.vae(data.spec, latent_dim=1, hidden=[4])
        run = pv.fit(pair, data, epochs=2, progress=False)
        figures.append(pv.log_evidence(run, data.test, num_samples=5).value)
    assert torch.equal(*figures)


def test_a_mask_that_no_option_speaks_of_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING, logger="pyrovae"):
        data = load({"x": X, "mask": SEEN})
    assert "mask is a key like any other" in caplog.text and "observed_part" in caplog.text and not data.spec.roles


def test_what_missing_refuses():
    with pytest.raises(OptionError, match="no way to treat missing values is called 'masks'; did you mean 'mask'"):
        load(HOLES, missing="masks")
    with pytest.raises(DataError, match="every value of x is missing"):
        load(np.full((9, 2), np.nan), missing="mask")
    with pytest.raises(DataError, match="mask has shape"):
        load({"x": X, "mask": SEEN[:, :1]}, missing="mask")
    with pytest.raises(OptionError, match="has no x"):
        load({"a": X}, missing="mask")
    with pytest.raises(DataError, match="c is a masked array"):
        load({"x": X, "c": np.ma.masked_array(X, ~SEEN)}, missing="mask")
    with pytest.raises(OptionError, match="DataLoader"):
        load(DataLoader(torch.from_numpy(X)), missing="mask")
    with pytest.raises(DataError, match="not hidden twice"):
        pv.data.missing(load(HOLES, missing="mask"))


def test_a_run_on_the_observed_part_loads_without_its_pair(tmp_path):
    data = load({"x": np.where(SEEN, X, 0), "mask": SEEN})
    pair = pv.observed_part(pv.pairs.vae(data.spec, latent_dim=1, hidden=[4]))
    assert pv.observed_part(pair) is pair
    run = pv.fit(pair, data, epochs=1, out=tmp_path / "run", progress=False, tensorboard=False)
    truth = pv.log_evidence(run, data.test, num_samples=5).value
    assert torch.equal(pv.log_evidence(pv.load(tmp_path / "run", data=data), data.test, num_samples=5).value, truth)
    assert pv.resume(tmp_path / "run", data=data, epochs=2, progress=False).history["epoch"].max() == 2
