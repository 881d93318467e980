"""Tables: log p(x) by enumeration, quadrature and closed form, units of the user, gaps, warnings."""

from __future__ import annotations

import math

import numpy as np
import pandas
import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.nn.functional import linear

import pyrovae as pv
from pyrovae.data import DataSpec, KeySpec, Split
from pyrovae.data.changes import log_jacobian
from pyrovae.data.store import Arrays
from pyrovae.errors import DataError, OptionError

REAL = KeySpec((), "real", changes=({"name": "standardize", "loc": 0.0, "scale": 1.0},))
PET = KeySpec((), "category", size=3, labels=("cat", "dog", "owl"))
KEYS = {"x": KeySpec((2,), "table", columns={"height": REAL, "pet": PET})}
WHOLE = DataSpec("people", keys=KEYS)
GAPS = DataSpec("people", keys={**KEYS, "mask": KeySpec((2,), "binary")}, roles={"missing": "mask"})
X = torch.tensor([[0.3, 0.0], [-1.2, 2.0], [2.0, 1.0]])


class Affine(nn.Module):
    """A linear decoder of one real column and one of three classes."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(4, 1)), nn.Parameter(torch.randn(4))

    def forward(self, z):
        return linear(z, self.weight, self.bias).unsqueeze(-2)


def linear_pair(spec):
    torch.manual_seed(3)
    pair = pv.pairs.table_vae(spec, latent_dim=1, hidden=[6])
    model = pair.model if spec is WHOLE else pair.model.program
    model.decoder = Affine()
    return pair, model


def exact_scores(model, x, seen):
    """log p(z) + log p(x_seen | z) on a grid of z, in float64, and the logits of the classes there."""
    z = torch.linspace(-9, 9, 2001, dtype=torch.float64).reshape(-1, 1)
    h = linear(z, model.decoder.weight.double(), model.decoder.bias.double())
    scale = model.likelihood.columns[0].log_scale.double().exp() + 1e-3
    height, pet = Normal(h[:, :1], scale).log_prob(x[:, 0].double()), h[:, 1:].log_softmax(-1)
    joint = Normal(0, 1).log_prob(z) + height * seen[:, 0] + pet[:, x[:, 1].long()] * seen[:, 1]
    return joint + math.log(18 / 2000), pet


@torch.no_grad()
def test_log_p_is_that_of_quadrature_and_its_sum_over_classes_the_closed_form_of_the_real_column():
    pair, model = linear_pair(WHOLE)
    found = pv.log_evidence(pair, {"x": X}, num_samples=5_000, defensive=0.2)
    exact = exact_scores(model, X, torch.ones(3, 2))[0].logsumexp(0)
    torch.testing.assert_close(found.value.double(), exact, rtol=0, atol=float(5 * found.stderr.max()))
    every = torch.tensor([[0.3, float(c)] for c in range(3)])
    summed = exact_scores(model, every, torch.ones(3, 2))[0].logsumexp(0).logsumexp(0)
    scale = model.likelihood.columns[0].log_scale.double().exp() + 1e-3
    spread = (model.decoder.weight[0].double() ** 2 + scale**2).sqrt()
    closed = Normal(model.decoder.bias[0].double(), spread).log_prob(torch.tensor(0.3)).squeeze()
    torch.testing.assert_close(summed, closed, rtol=0, atol=1e-6)


@torch.no_grad()
def test_what_is_missing_is_left_out_whatever_stands_there():
    pair, model = linear_pair(GAPS)
    mask = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    options = {"num_samples": 5_000, "seed": 0, "defensive": 0.2}
    found, other = (pv.log_evidence(pair, {"x": x, "mask": mask}, **options) for x in (X, X.where(mask.bool(), 2.0)))
    assert torch.equal(found.value, other.value)
    exact = exact_scores(model, X, mask.double())[0].logsumexp(0)
    torch.testing.assert_close(found.value.double(), exact, rtol=0, atol=float(5 * found.stderr.max()) + 1e-6)


@torch.no_grad()
def test_imputations_are_the_posteriors_mean_and_most_probable_class():
    pair, model = linear_pair(GAPS)
    heights = torch.linspace(-3, 3, 7)
    x = torch.stack([heights, torch.zeros(7)], -1)
    seen = torch.tensor([[1.0, 0.0]]).expand(7, 2)
    scores, pet = exact_scores(model, x, seen.double())
    weights = scores.softmax(0)
    right = torch.einsum("zb,zc->bc", weights, pet.exp()).argmax(-1)
    rows = Split(Arrays.read({"x": x, "mask": seen}, "rows"), GAPS)
    frame = pv.impute_table(pair, rows, num_samples=5_000)
    assert frame["pet"].tolist() == [PET.labels[c] for c in right]
    assert len(set(right.tolist())) > 1


# ------------------------------------------------------------------------------------------------ from a DataFrame and back
def people(rows=60, scale=1.0):
    rng = np.random.default_rng(0)
    pet, mood = rng.integers(0, 3, rows), np.array(["low", "fair", "good"])
    frame = pandas.DataFrame(
        {
            "height": scale * rng.normal(170 + 10 * pet, 5),
            "pet": np.array(["cat", "dog", "owl"])[pet],
            "visits": rng.poisson(3, rows),
            "pay": rng.lognormal(3, 1, rows),
            "share": rng.beta(2, 2, rows),
            "mood": pandas.Categorical(mood[rng.integers(0, 3, rows)], mood, ordered=True),
        }
    )
    for column in ("height", "pet", "mood"):
        frame.loc[rng.choice(rows, 8, replace=False), column] = None
    return frame


def load(frame, *transforms):
    kinds = {"pay": "positive", "share": "unit"}
    return pv.data.load(frame, missing="mask", kinds=kinds, transforms=["standardize", *transforms])


def test_log_p_changes_by_the_logarithm_of_a_columns_scale_and_by_nothing_else():
    tables = [load(people(scale=scale)) for scale in (1.0, 100.0)]
    torch.manual_seed(0)
    pair = pv.pairs.table_vae(tables[0].spec, latent_dim=2, hidden=[8])
    found = [pv.log_evidence_table(pair, data.train, num_samples=20, seed=0)["log_p"].to_numpy() for data in tables]
    seen = tables[0].train["mask"][:, 0].numpy()
    assert 0 < seen.sum() < len(seen)
    np.testing.assert_allclose(found[0] - found[1], math.log(100) * seen, atol=1e-4)


def test_the_slopes_of_all_changes_of_a_column_are_counted():
    data = load(people(), {"name": "log1p", "columns": ["pay"]}, {"name": "standardize", "columns": ["pay"]})
    batch = data.train[:20]
    pay = pv.data.as_frame(batch["x"], data.spec)["pay"].to_numpy()
    height, second = (data.spec.keys["x"].columns[name].changes[-1]["scale"] for name in ("height", "pay"))
    right = -np.log1p(pay) - math.log(second) - math.log(height) * batch["mask"][:, 0].numpy()
    np.testing.assert_allclose(log_jacobian(batch["x"], data.spec, batch["mask"]).numpy(), right, rtol=1e-5)


def test_a_frame_comes_back_as_it_was():
    frame, data = people(), load(people(), {"name": "log1p", "columns": ["pay"]})
    again = pv.data.as_frame(data.train["x"], data.spec, data.train["mask"])
    assert list(again) == list(frame)
    nearest = [int((frame["pay"] - pay).abs().argmin()) for pay in again["pay"]]
    before = frame.iloc[nearest].reset_index(drop=True)
    for name in frame:
        if name in ("pet", "mood"):
            assert again[name].where(again[name].notna(), "-").tolist() == before[name].astype(object).fillna("-").tolist()
        else:
            np.testing.assert_allclose(again[name].astype(float), before[name].astype(float), rtol=1e-5)


def test_draws_reconstructions_and_imputations_are_frames_in_the_users_units(tmp_path):
    people().to_csv(tmp_path / "people.csv", index=False)
    kinds = {"pay": "positive", "share": "unit", "visits": "count"}
    data = pv.data.load(tmp_path / "people.csv", missing="mask", kinds=kinds, transforms=["standardize"])
    pair = pv.pairs.table_vae(data.spec, latent_dim=2, hidden=[8])
    run = pv.fit(pair, data, steps=30, progress=False, compile=False, tensorboard=False, out=tmp_path / "run")
    again = pv.load(tmp_path / "run")
    assert again.data.spec == data.spec
    first, second = (pv.log_evidence_table(each, num_samples=5, seed=0) for each in (run, again))
    pandas.testing.assert_frame_equal(first, second)
    drawn, rebuilt, filled = pv.sample_table(run, 40), pv.reconstruct_table(again), pv.impute_table(run, num_samples=10)
    for frame in (drawn, rebuilt, filled):
        assert list(frame) == list(people()) and not frame.isna().any(axis=None)
        assert set(frame["pet"]) <= {"cat", "dog", "owl"} and set(frame["mood"]) <= {"low", "fair", "good"}
        assert frame["height"].between(100, 250).all() and (frame["pay"] > 0).all() and frame["share"].between(0, 1).all()
    seen = pv.data.as_frame(data.test["x"], data.spec, data.test["mask"])
    assert (filled == seen).to_numpy()[seen.notna().to_numpy()].all()
    assert (drawn["visits"] == drawn["visits"].round()).all()


def test_distances_are_of_what_is_seen_and_refused_of_names():
    pair, _ = linear_pair(GAPS)
    with pytest.raises(OptionError, match="x holds names .*between which there is no distance"):
        pv.reconstruction_error(pair, {"x": X, "mask": torch.ones(3, 2)})
    spec = DataSpec("rows", keys={"x": KeySpec((2,), "real"), "mask": KeySpec((2,), "binary")}, roles={"missing": "mask"})
    vae = pv.pairs.vae(spec, latent_dim=1, hidden=[4])
    mask = torch.tensor([[1.0, 0.0]] * 3)
    found = pv.reconstruction_error(vae, {"x": X, "mask": mask}, num_samples=500).squared
    again = pv.reconstruct(vae, {"x": X, "mask": mask}, num_samples=500)
    torch.testing.assert_close(found, (X - again)[:, 0].square().double(), rtol=0.2, atol=0.02)


def test_options_and_data_that_do_not_fit_are_refused_and_plain_units_warned_of(caplog):
    pv.pairs.table_vae(pv.data.load(people(), missing="mask").spec)
    assert "columns height, pay, share are not standardized; give transforms" in caplog.text
    data = load(people())
    caplog.clear()
    pv.pairs.table_vae(data.spec, likelihoods={"height": "student-t", "visits": "poisson"})
    assert not caplog.text
    with pytest.raises(OptionError, match="no column is called 'hight'; did you mean 'height'"):
        pv.pairs.table_vae(data.spec, likelihoods={"hight": "gaussian"})
    with pytest.raises(OptionError, match="likelihood 'poisson' does not score column 'height', which is real"):
        pv.pairs.table_vae(data.spec, likelihoods={"height": "poisson"})
    with pytest.raises(OptionError, match="column 'pet' is category; standardize takes"):
        pv.data.standardize(data, columns=["pet"])
    with pytest.raises(DataError, match="one value only, and no scale"):
        pv.data.standardize(pv.data.load(torch.tensor([[1.0, 2.5]] * 20)))
    with pytest.raises(OptionError, match="does not describe a table"):
        pv.sample_table(pv.pairs.table_vae(data.spec))
