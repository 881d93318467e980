"""What follows a beginning, what is missing, what comes one step ahead, and what was: of steps, against Kalman's answers."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from walks import A, C, Filtering, Q, R, Walk, draw, walk

import pyrovae as pv
from pyrovae.errors import ContractError

X = draw(4, 5, seed=3)
SPEC = pv.data.DataSpec("toy", (5, 3), "binary", keys={"lengths": pv.data.KeySpec((), "count")})


def joint(steps):
    """Covariances of z, and of z with x, and of x, of the walk."""
    lags = np.subtract.outer(np.arange(1, steps + 1), np.arange(1, steps + 1))
    low = np.minimum.outer(np.arange(1, steps + 1), np.arange(1, steps + 1))
    z = Q * A ** abs(lags) * (1 - A ** (2 * low)) / (1 - A**2)
    return z, C * z, C**2 * z + R * np.eye(steps)


def given_some(target, cross, x_cov, x, seen):
    """Mean and covariance of a Gaussian target, (n,), given some values of x, whose indices are ``seen``."""
    gain = cross[:, seen] @ np.linalg.inv(x_cov[np.ix_(seen, seen)])
    return gain @ x[seen], target - gain @ cross[:, seen].T


def test_smoothing_draws_have_the_moments_of_the_exact_smoother():
    z_cov, cross, x_cov = joint(5)
    drawn = pv.smooth(walk(), X, num_samples=1500, num_particles=1500)["z"][..., 0]
    assert drawn.shape == (1500, 4, 5)
    for row in range(4):
        mean, covariance = given_some(z_cov, cross, x_cov, X[row, :, 0].numpy(), np.arange(5))
        scale = np.sqrt(np.diag(covariance))
        assert (abs(drawn[:, row].mean(0).numpy() - mean) < 0.2 * scale).all()
        assert (abs(drawn[:, row].std(0).numpy() / scale - 1) < 0.15).all()
        assert abs(np.cov(drawn[:, row, 2].numpy(), drawn[:, row, 3].numpy())[0, 1] - covariance[2, 3]) < 0.08


def test_means_one_step_ahead_are_kalmans():
    _, _, x_cov = joint(5)
    found = pv.one_step_ahead(walk(), X, num_particles=4000)[..., 0]
    for row in range(4):
        for t in range(5):
            mean, _ = given_some(x_cov, x_cov, x_cov, X[row, :, 0].numpy(), np.arange(t))
            assert abs(float(found[row, t]) - mean[t]) < 0.1


def test_missing_values_have_the_means_of_kalmans_smoother():
    _, _, x_cov = joint(5)
    mask = torch.ones_like(X)
    mask[0, 2:4], mask[1, 0], mask[2, 4], mask[3, :] = 0, 0, 0, 0
    unseen = X.where(mask.bool(), torch.tensor(99.0))
    pair = pv.unroll(Walk(), Filtering(1.3))  # wide enough where nothing is seen
    found = pv.impute(pair, {"x": unseen, "mask": mask}, num_samples=20_000)
    assert torch.equal(found[mask.bool()], X[mask.bool()])
    for row in range(4):
        seen = mask[row, :, 0].nonzero()[:, 0].numpy()
        mean, _ = given_some(x_cov, x_cov, x_cov, X[row, :, 0].numpy(), seen)
        assert (abs(found[row, :, 0].numpy() - mean)[mask[row, :, 0].numpy() == 0] < 0.13).all()


class Echo(nn.Module):
    """x_t ~ N(.8 x_t-1 + z_t, .5^2), z_t ~ N(0, .5^2): the next state is what was observed."""

    def init(self, x):
        return {"last": x.new_zeros(len(x), 1)}

    def step(self, state, x):
        z = pyro.sample("z", dist.Normal(x.new_zeros(1), 0.5).to_event(1))
        return {"last": pyro.sample("x", dist.Normal(0.8 * state["last"] + z, 0.5).to_event(1), obs=x)}


class Wide(nn.Module):
    def init(self, x):
        return {}

    def step(self, state, x):
        pyro.sample("z", dist.Normal(x.new_zeros(1), 0.7).to_event(1))
        return {}


def test_missing_values_that_the_model_goes_on_from_are_imputed_with_what_follows():
    x = torch.tensor([[[1.0], [0.0], [2.0]]])
    mask = torch.tensor([[[1.0], [0.0], [1.0]]])
    found = pv.impute(pv.unroll(Echo(), Wide()), {"x": x, "mask": mask}, num_samples=40_000)
    # x_2 ~ N(.8, .5) and x_3 ~ N(.8 x_2, .5): the mean is (.8 + .8 * 2) / (1 + .64)
    assert abs(float(found[0, 1, 0]) - 2.4 / 1.64) < 0.05


def test_continuations_have_the_moments_of_the_exact_prediction():
    _, _, x_cov = joint(7)
    found = pv.continuations(walk(), X, num_samples=3000, num_steps=2, num_particles=3000)
    assert found["x"].shape == (3000, 4, 2, 1) and found["z"].shape == (3000, 4, 2, 1)
    for row in range(4):
        x = np.concatenate([X[row, :, 0].numpy(), np.zeros(2)])
        mean, covariance = given_some(x_cov, x_cov, x_cov, x, np.arange(5))
        drawn = found["x"][:, row, :, 0]
        assert (abs(drawn.mean(0).numpy() - mean[5:]) < 0.15).all()
        assert (abs(drawn.var(0).numpy() / np.diag(covariance)[5:] - 1) < 0.15).all()


def test_each_datum_goes_on_from_its_own_end():
    x, lengths = X.clone(), torch.tensor([5, 2, 1, 3])
    _, _, x_cov = joint(6)
    found = pv.continuations(walk(), {"x": x, "lengths": lengths}, 4000, num_steps=1, num_particles=4000)["x"]
    for row, length in enumerate(lengths.tolist()):
        seen, whole = np.arange(length), np.append(X[row, :, 0].numpy(), 0)
        mean, _ = given_some(x_cov, x_cov, x_cov, whole, seen)
        assert abs(float(found[:, row].mean()) - mean[length]) < 0.12


def test_without_a_beginning_the_steps_are_the_models_and_have_no_end():
    drawn = torch.stack([step["x"][:, 0, 0] for step in islice(pv.stream(named(walk()), num_samples=4000), 9)], 1)
    _, _, x_cov = joint(9)
    assert (abs(drawn.var(0).numpy() / np.diag(x_cov) - 1) < 0.12).all()
    assert torch.is_grad_enabled()


def named(pair):
    pv.check(pair, {"x": X})
    return pair


def test_streams_are_steps_and_take_short_beginnings():
    pair = pv.pairs.vrnn(SPEC, latent_dim=2, recurrent_dim=6, hidden=[7])
    x = torch.bernoulli(torch.full((2, 3, 3), 0.5))
    torch.manual_seed(0)
    steps = list(pv.stream(pair, x, num_samples=4, num_steps=3, num_particles=10))
    torch.manual_seed(0)
    whole = pv.continuations(pair, {"x": x}, 4, num_steps=3, num_particles=10)
    assert torch.equal(torch.stack([step["x"] for step in steps], 2), whole["x"])
    assert whole["x"].shape == (4, 2, 3, 3) and set(whole["x"].unique().tolist()) <= {0.0, 1.0}


class Careless(Walk):
    """Reads its argument in place of what was drawn."""

    def step(self, state, x):
        super().step(state, x)
        return {"z": 0.5 * x + 0 * state["z"]}


class Guided(nn.Module):
    def init(self, x):
        return {}

    def step(self, state, x):
        pyro.sample("z", dist.Normal(x, 1.0).to_event(1))
        return {}


def test_what_cannot_go_on_is_refused(digits):
    with pytest.raises(ContractError, match="reads its argument beside what pyro.sample returns"):
        pv.continuations(pv.unroll(Careless(), Guided()), X)
    vae = pv.pairs.vae(digits.spec, latent_dim=2, hidden=[5])
    for verb in (pv.continuations, pv.smooth, pv.one_step_ahead):
        with pytest.raises(ContractError, match="VAE is not in steps"):
            verb(vae, digits.test[:2])


RECIPES = {
    "dmm": {"latent_dim": 2, "transition_dim": 4, "recurrent_dim": 5, "hidden": [4], "num_flows": 1, "flow_hidden": [4]},
    "srnn": {"latent_dim": 2, "transition_dim": 4, "recurrent_dim": 3, "smoother_dim": 5, "hidden": [4]},
    "kalman_vae": {"latent_dim": 2, "state_dim": 3, "num_dynamics": 2, "recurrent_dim": 4, "hidden": [4]},
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_of_steps_goes_on_and_is_filled_whatever_lies_beyond_its_lengths(name):
    pair, found = getattr(pv.pairs, name)(SPEC, **RECIPES[name]), []
    x = torch.bernoulli(torch.full((2, 5, 3), 0.5), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([5, 3])
    mask = torch.ones_like(x)
    mask[0, 1], mask[1, 2] = 0, 0
    for fill in (0.0, 1.0):
        whole = x.clone()
        whole[1, 3:], whole[mask == 0] = fill, fill
        batch = {"x": whole, "lengths": lengths}
        torch.manual_seed(0)
        filled = pv.impute(pair, {**batch, "mask": mask}, num_samples=20)
        assert torch.equal(filled[mask == 1], whole[mask == 1]) and (filled[mask == 0] > 0).all() and (filled <= 1).all()
        batch["x"] = whole.where(mask == 1, x)
        torch.manual_seed(0)
        more = pv.continuations(pair, batch, 2, num_steps=3, num_particles=7)
        ahead = pv.one_step_ahead(pair, batch, num_particles=7)
        found.append([filled[mask == 0], more["x"], ahead[0], ahead[1, :3]])
    assert all(torch.equal(*both) for both in zip(*found, strict=True))


def test_what_is_observed_as_a_whole_does_not_go_on():
    draws = pv.pairs.draw(pv.data.DataSpec("image", (4, 4), "binary"), latent_dim=2, num_steps=2, recurrent_dim=3)
    with pytest.raises(ContractError, match="DRAW observes whole keys"):
        pv.continuations(draws, torch.zeros(2, 4, 4))
    vrae = pv.pairs.vrae(SPEC, latent_dim=2, recurrent_dim=3)
    with pytest.raises(ContractError, match="VRAE is not in steps"):
        pv.smooth(vrae, torch.zeros(2, 5, 3))
