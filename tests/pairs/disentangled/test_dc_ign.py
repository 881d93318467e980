"""Groups that vary in one factor: which they are, the shared codes as a VAE's, the clamped slope as it is published."""

from __future__ import annotations

import pytest
import torch
from making import made
from torch.distributions import Normal, kl_divergence

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.data import transform
from pyrovae.errors import ContractError, DataError, OptionError
from pyrovae.objectives import Given

NAMES = ("scale", "posX", "posY")
SMALL = {"rest_dim": 2, "channels": [2], "hidden": 8}


@pytest.fixture(scope="module")
def xys():
    return pv.data.load("xys")


def values_of(batch):
    return torch.stack([batch[name] for name in NAMES], -1)


# ------------------------------------------------------------------------------------------------ groups
def test_a_group_differs_in_the_one_factor_that_it_says(xys):
    data = transform(xys, "varying:size=5,factors=[posX,posY],rest_weight=2")
    train = data.train
    batch = next(train.epoch(600, seed=0, epoch=0))
    assert batch["x"].shape == (600, 5, 32, 32) and batch["varied"].shape == (600, 3)
    differs = (values_of(batch) != values_of(batch)[:, :1]).any(1)[:, [1, 2, 0]]
    assert torch.equal(differs.float(), batch["varied"])
    share = batch["varied"].mean(0)
    assert (share - torch.tensor([0.25, 0.25, 0.5])).abs().max() < 5 * (0.25 / 600) ** 0.5
    rows = {tuple(v): i for i, v in enumerate(torch.stack([xys.train[n] for n in NAMES], -1).tolist())}
    for i in range(10):
        for each, image in zip(values_of(batch)[i].tolist(), batch["x"][i], strict=True):
            assert torch.equal(image, xys.train[[rows[tuple(each)]]]["x"][0])
    again = next(transform(xys, "varying:size=5,factors=[posX,posY],rest_weight=2").train.epoch(600, seed=0, epoch=0))
    assert all(torch.equal(batch[key], again[key]) for key in batch)


def test_all_others_of_a_class_are_drawn_alike_and_a_row_alone_comes_again(xys):
    data = transform(xys, "varying:size=2,factors=[posX]")
    gather, plain = data.train.gather, xys.train
    own = torch.stack([plain[name] for name in NAMES], -1)
    mates = ((own == own[0]) | torch.tensor([False, True, False])).all(1).nonzero()[1:, 0].tolist()
    u = torch.stack([torch.full((len(mates),), 0.1), (torch.arange(len(mates)) + 0.5) / len(mates)], 1)
    drawn = gather.members(torch.zeros(len(mates), dtype=torch.int64), lambda shape: u)[:, 1]
    assert sorted(drawn.tolist()) == sorted(mates)
    one = pv.data.load({"x": torch.rand(20, 4, 4), "a": torch.arange(20), "b": torch.arange(20)},
                       kinds={"a": "category:20", "b": "category:20"})  # fmt: skip
    batch = transform(one, "varying:size=3,factors=[a]").train[:4]
    assert torch.equal(batch["x"], batch["x"][:, :1].expand_as(batch["x"])) and (batch["varied"] == torch.tensor([0, 1])).all()


def test_what_is_no_group_is_refused(digits, xys):
    with pytest.raises(DataError, match="no factors of variation"):
        transform(digits, "varying")
    for option, word in (
        ("size=0", "size"),
        ("factors=[posx]", "posX"),
        ("rest_weight=nan", "rest_weight"),
        ("factors=[]", "fac"),
    ):
        with pytest.raises(OptionError, match=word):
            transform(xys, f"varying:{option}")
    with pytest.raises(OptionError, match="varying:size=4"):
        pv.pairs.dc_ign(xys.spec)
    data = transform(xys, "varying:size=2")
    plain = made("ada_gvae", data.spec, latent_dim=3, hidden=[4])
    with pytest.raises(ContractError, match=r"has no varies\(varied\)"):
        pv.objectives.get("clamped").value(Given(plain.model, plain.guide, [data.test[:2]]))


# ------------------------------------------------------------------------------------------------ shared codes
@pytest.mark.parametrize("recipe", ["dc_ign", "clamped_dc_ign"])
def test_a_group_of_one_is_a_plain_vae(xys, recipe):
    data = transform(xys, "varying:size=1,factors=[posX,posY]")
    pair = made(recipe, data.spec, **SMALL)
    batch = {**data.test[:6], "varied": torch.eye(3).repeat(2, 1)}  # whatever it is said to vary in
    with torch.no_grad():
        loc, raw = pair.guide.encoder(batch["x"][:, 0]).chunk(2, -1)
        traced = trace_pair(pair.model, pair.guide, batch, 4)
        q = Normal(loc, torch.nn.functional.softplus(raw) + 1e-3)
        z = traced.latents["z"]
        if recipe == "dc_ign":
            v, varies = traced.latents["v"].squeeze(-2), batch["varied"][:, [0, 1, 2, 2]].bool()
            z = torch.where(varies, v, z)
        else:
            z = z.squeeze(-2)
        expected = pair.model.likelihood(pair.model.decoder(z)).log_prob(batch["x"][:, 0])
        expected = expected + (Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(-1)
    torch.testing.assert_close(traced.log_weight, expected, rtol=1e-5, atol=1e-3)


def test_shared_codes_are_the_average_and_the_others_each_datums_own(xys):
    data = transform(xys, "varying:size=3,factors=[posX,posY]")
    pair = made("dc_ign", data.spec, **SMALL)
    batch = {**data.test[:3], "varied": torch.eye(3)}
    with torch.no_grad():
        sites = trace_pair(pair.model, pair.guide, batch, 1).guide_sites
        loc, raw = pair.guide.encoder(batch["x"]).chunk(2, -1)
    scale = torch.nn.functional.softplus(raw) + 1e-3
    for row, varies in enumerate(([0], [1], [2, 3])):
        z, v = (sites[name]["fn"].base_dist for name in ("z", "v"))
        for j in range(4):
            one = (0.0, 1.0) if j in varies else (loc[row, :, j].mean(), scale[row, :, j].square().mean().sqrt())
            torch.testing.assert_close(torch.stack([z.loc[..., row, j].flatten()[0], z.scale[..., row, j].flatten()[0]]),
                                       torch.tensor(one))  # fmt: skip
            each = (loc[row, :, j], scale[row, :, j]) if j in varies else (torch.zeros(3), torch.ones(3))
            torch.testing.assert_close(v.loc[..., row, :, j].flatten(), each[0])
            torch.testing.assert_close(v.scale[..., row, :, j].flatten(), each[1])


# ------------------------------------------------------------------------------------------------ the clamped slope
@pytest.mark.parametrize("clamp", ["mean", "first"])
@pytest.mark.parametrize("strength", [0.0, 0.01, 3.0])
def test_the_slope_at_a_clamped_code_is_the_pull_and_at_the_others_the_likelihoods(xys, clamp, strength):
    data = transform(xys, "varying:size=4,factors=[posX,posY]")
    pair = made("clamped_dc_ign", data.spec, clamp=clamp, **SMALL)
    batch = {**data.test[:3], "varied": torch.eye(3)}
    objective, given = pv.objectives.Clamped(strength), Given(pair.model, pair.guide, [batch])
    torch.manual_seed(5)
    traced = objective.trace(given)
    z = traced.latents["z"]
    bound = objective.elbo.terms(traced).bound
    loss = (strength * objective.pull(traced, objective.varies(given, batch)) - bound).sum()
    slope = torch.autograd.grad(loss, z, retain_graph=True)[0][0]
    varies = batch["varied"][:, None, [0, 1, 2, 2]].bool().expand(3, 4, 4)
    value = z.detach()[0]
    pull = strength * (value - value.mean(1, keepdim=True))
    assert (slope - pull)[~varies].abs().max() < 1e-6
    free = value.clone().requires_grad_()
    level = value[:, :1] if clamp == "first" else value.mean(1, keepdim=True)
    codes = torch.where(varies, free, level)
    log_p = pair.model.likelihood(pair.model.decoder(codes)).log_prob(batch["x"]).sum()
    torch.testing.assert_close(slope[varies], -torch.autograd.grad(log_p, free)[0][varies], rtol=1e-5, atol=1e-6)
    loc, raw = pair.guide.encoder(batch["x"]).chunk(2, -1)
    kl = kl_divergence(Normal(loc, torch.nn.functional.softplus(raw) + 1e-3), Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(bound.sum(), log_p - kl)  # the ELBO of the clamped model
    torch.manual_seed(5)
    update = next(objective.updates(given))
    torch.testing.assert_close(update.loss, loss / 3)
    torch.testing.assert_close(update.bound, bound)


def test_strength_is_refused_where_it_is_none():
    for strength in (-1.0, float("nan"), True):
        with pytest.raises(OptionError, match="strength"):
            pv.objectives.Clamped(strength)
