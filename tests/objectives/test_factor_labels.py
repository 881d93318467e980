"""S2-VAE's objective: R by hand, the ridge solution, and labels hidden in rows."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

import pyrovae as pv
from pyrovae.objectives import S2, Given
from pyrovae.objectives.factor_labels import Scale
from pyrovae.objectives.moves import prepare_objective

FACTORS = {"shape": 3, "scale": 6}


@pytest.fixture
def labelled():
    torch.manual_seed(1)
    x = torch.randn(12, 5)
    y = {name: torch.randint(0, size, (12,)) for name, size in FACTORS.items()}
    rows = torch.arange(12) % 3 != 0  # known
    return {"x": x, **{name: torch.where(rows, value, -1) for name, value in y.items()}}, rows


def penalty_of(objective, batch, codes):
    return objective.penalty(codes, objective.labels(batch))


def test_each_form_is_its_formula_over_the_rows_with_labels(labelled):
    batch, rows = labelled
    codes = torch.randn(12, 4)
    mu, y = codes[rows, :2], torch.stack([batch[name][rows] for name in FACTORS], 1).float()
    covariance = (codes[rows] - codes[rows].mean(0)).T @ (y - y.mean(0)) / int(rows.sum())
    off = covariance.square().sum() - covariance[0, 0] ** 2 - covariance[1, 1] ** 2
    assert penalty_of(S2(FACTORS, "cov"), batch, codes) == pytest.approx(float(off), rel=1e-5)
    for reduce, divisor in (("sum", 1), ("mean", int(rows.sum()))):
        xent = binary_cross_entropy_with_logits(mu, y / torch.tensor([3.0, 6.0]), reduction="sum") / divisor
        assert penalty_of(S2(FACTORS, reduce=reduce), batch, codes) == pytest.approx(float(xent), rel=1e-5)
        l2 = S2(FACTORS, "l2", reduce=reduce)
        l2.networks = Scale()
        with torch.no_grad():
            l2.networks.scale.fill_(2.0)
        squares = (2 * mu - y).square().sum() / divisor
        assert penalty_of(l2, batch, codes).item() == pytest.approx(float(squares), rel=1e-5)
    embed = S2(FACTORS, "embed", temperature=0.5)
    pair = pv.pairs.vae(pv.data.DataSpec("d", (5,), "real"), latent_dim=4, hidden=[3], likelihood="gaussian")
    prepare_objective(embed, pair.model, pair.guide, batch)
    by_hand = sum(
        cross_entropy(-2 * (mu[:, j, None] - places.detach()).square(), y[:, j].long(), reduction="sum")
        for j, places in enumerate(embed.networks.values)
    )
    assert penalty_of(embed, batch, codes).item() == pytest.approx(float(by_hand), rel=1e-5)


def test_with_a_linear_encoder_and_l2_the_stationary_point_is_ridge_regression():
    """mean(mu^2 / 2 + w (b mu - y)^2), mu = (X, 1) v, is least where (1 + 2 w b^2) v is 2 w b times the least squares of y."""
    torch.manual_seed(0)
    x, y = torch.randn(50, 3), torch.randint(0, 6, (50,))
    data = {"x": x, "scale": y}
    pair = pv.pairs.vae(pv.data.DataSpec("d", (3,), "real"), latent_dim=1, hidden=[], likelihood="gaussian", scale=1.0)
    weight, scale = 3.0, 2.0
    objective = S2({"scale": 6}, "l2", weight=weight, reduce="mean")
    prepare_objective(objective, pair.model, pair.guide, data)
    encoder = next(layer for layer in pair.guide.modules() if isinstance(layer, torch.nn.Linear))
    with torch.no_grad():
        for p in pair.model.parameters():
            p.zero_()  # x then tells nothing of z
        objective.networks.scale.fill_(scale)
        inputs = torch.cat([x, torch.ones(50, 1)], 1)
        least_squares = torch.linalg.lstsq(inputs, y.float().unsqueeze(1)).solution[:, 0]
        ridge = least_squares * 2 * weight * scale / (1 + 2 * weight * scale**2)
        encoder.weight[0], encoder.bias[0] = ridge[:3], ridge[3]
    update = next(objective.updates(Given(pair.model, pair.guide, [data])))
    grads = torch.autograd.grad(update.loss, [encoder.weight, encoder.bias])
    assert grads[0][0].abs().max() < 1e-4 and grads[1][0].abs() < 1e-4


def test_the_elbo_is_trained_on_rows_without_labels_where_there_are_any(labelled):
    batch, _ = labelled
    pair = pv.pairs.vae(pv.data.DataSpec("d", (5,), "real"), latent_dim=2, hidden=[3], likelihood="gaussian")
    objective = S2(FACTORS, weight=0.0, beta=3.0)
    torch.manual_seed(3)
    update = next(objective.updates(Given(pair.model, pair.guide, [batch])))
    torch.manual_seed(3)
    plain = next(pv.objectives.get("meanfield", beta=3.0).updates(Given(pair.model, pair.guide, [batch])))
    assert torch.allclose(update.bound, plain.bound)
    every = {name: value.clamp(min=0) if name != "x" else value for name, value in batch.items()}
    torch.manual_seed(3)
    whole = next(objective.updates(Given(pair.model, pair.guide, [every])))
    assert whole.loss.item() == pytest.approx(plain.loss.item(), rel=1e-5)
    assert update.loss.item() != pytest.approx(plain.loss.item())


def test_few_labels_hide_factors_in_the_same_rows_and_refuse_others():
    data = pv.data.load("xys", transforms=["few-labels:num_labels=40,keys=[scale,posX],share=0.25"])
    known = torch.stack([data.train[name] >= 0 for name in ("scale", "posX")])
    assert torch.equal(known[0], known[1]) and int(known[0].sum()) == 40
    assert (data.train["posY"] >= 0).all() and (data.test["scale"] >= 0).all()
    batch = next(iter(data.train.epoch(16, seed=0, epoch=0)))
    assert (batch["scale"][:4] >= 0).all() and (batch["scale"][4:] < 0).all()
    with pytest.raises(ValueError, match="no key of classes in keys is called 'size'"):
        pv.data.load("xys", transforms=["few-labels:num_labels=40,keys=[size]"])
    with pytest.raises(ValueError, match="num_labels is 5000; expected fewer than"):
        pv.data.load("xys", transforms=["few-labels:num_labels=5000,keys=[scale]"])


def test_what_s2_lacks_is_said(labelled):
    batch, _ = labelled
    pair = pv.pairs.vae(pv.data.DataSpec("d", (5,), "real"), latent_dim=1, hidden=[3], likelihood="gaussian")
    with pytest.raises(ValueError, match="there are 1 codes and 2 factors"):
        prepare_objective(S2(FACTORS), pair.model, pair.guide, batch)
    with pytest.raises(ValueError, match="needs the factor 'hue' in the batch"):
        prepare_objective(S2({"hue": 3}), pair.model, pair.guide, batch)
    with pytest.raises(ValueError, match="s2 has no factors"):
        prepare_objective(S2(), pair.model, pair.guide, batch)
    with pytest.raises(ValueError, match=r"factor 'scale' has the value 5; expected 0..2: say its size"):
        prepare_objective(S2({"scale": 3}), pair.model, pair.guide, {**batch, "scale": torch.full((12,), 5)})
    for bad in ({}, {"y": 1}, ["y"], {"y": 2.0}):
        with pytest.raises(ValueError, match="factors"):
            S2(bad)
