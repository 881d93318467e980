"""ArviZ: dimensions, round trip, and draws that target the exact posterior from a wrong guide."""

import types
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from pyrovae.data import DataSpec, load
from pyrovae.errors import ContractError, OptionError, PyrovaeError
from pyrovae.pairs import conv_vae, linear_gaussian, vae
from pyrovae.runs.arviz import resample, to_arviz

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # ArviZ announces its own refactoring once a day
    import arviz as az

X = torch.randn(30, 2, generator=torch.Generator().manual_seed(3))


def model(x):
    with pyro.plate("data", x.shape[0], dim=-1):
        z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


def wrong_guide(x):
    """Off the exact posterior N(x / 2, 1 / 2) by 0.4, and too wide."""
    with pyro.plate("data", x.shape[0], dim=-1):
        pyro.sample("z", dist.Normal(x / 2 + 0.4, 1.0).to_event(1))


def other_guide(x):
    with pyro.plate("data", x.shape[0], dim=-1):
        pyro.sample("u", dist.Normal(x, 1.0).to_event(1))


def several_model(x, t, offset):
    with pyro.plate("data", x.shape[0], dim=-1):
        a = pyro.sample("a", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        b = pyro.sample("b", dist.Normal(x.new_zeros(2, 3), 1.0).to_event(2))
        pyro.sample("t", dist.Bernoulli(logits=b.sum((-1, -2))), obs=t)
        pyro.sample("x", dist.Normal(a + offset, 1.0).to_event(1), obs=x)


def several_guide(x):
    with pyro.plate("data", x.shape[0], dim=-1):
        pyro.sample("a", dist.Normal(x, 1.0).to_event(1))
        pyro.sample("b", dist.Normal(x.new_zeros(2, 3), 1.0).to_event(2))


@pytest.fixture(scope="module")
def exported():
    return to_arviz((model, wrong_guide), X, num_samples=200, num_chains=3, seed=1)


def test_resampling_moves_draws_from_the_guide_to_the_posterior(exported):
    guide = to_arviz((model, wrong_guide), X, num_samples=200, num_chains=3, resample=False, seed=1)
    z, q = exported.posterior["z"].values, guide.posterior["z"].values
    assert abs((q - X.numpy() / 2).mean() - 0.4) < 0.02
    assert abs(q.std((0, 1)).mean() - 1.0) < 0.02
    assert abs((z - X.numpy() / 2).mean()) < 0.02
    assert abs(z.std((0, 1)).mean() - 0.5**0.5) < 0.02
    assert "sampling importance resampling" in exported.attrs["posterior_draws"]
    assert guide.attrs["posterior_draws"] == "q(z | x)"
    assert "ess" in exported.sample_stats and "ess" not in guide.sample_stats


def test_groups_dimensions_and_coordinates(exported):
    assert exported.groups() == [
        "posterior",
        "posterior_predictive",
        "log_likelihood",
        "sample_stats",
        "prior",
        "prior_predictive",
        "observed_data",
    ]
    assert exported.posterior["z"].dims == ("chain", "draw", "data", "z_dim")
    assert exported.posterior_predictive["x"].sizes == {"chain": 3, "draw": 200, "data": 30, "x_dim": 2}
    assert exported.prior["z"].sizes == {"chain": 3, "draw": 200, "z_dim": 2}
    assert np.array_equal(exported.posterior["data"], np.arange(30))
    assert np.array_equal(exported.observed_data["x"], X)
    assert exported.attrs["units"] == "nats"


def test_log_likelihood_and_weights_are_those_of_the_draws(exported):
    z, x = torch.as_tensor(exported.posterior["z"].values), X
    log_likelihood = dist.Normal(z, 1.0).log_prob(x).sum(-1)
    log_ratio = dist.Normal(0.0, 1.0).log_prob(z) - dist.Normal(x / 2 + 0.4, 1.0).log_prob(z)
    log_weight = log_likelihood + log_ratio.sum(-1)
    assert np.allclose(exported.log_likelihood["x"], log_likelihood, atol=1e-4)
    assert np.allclose(exported.sample_stats["log_weight"], log_weight, atol=1e-4)
    assert exported.posterior_predictive["x"].std() > 1.2


def test_arviz_reads_it(exported, tmp_path):
    summary = az.summary(exported, var_names=["z"], coords={"data": [0, 1]})
    assert len(summary) == 4
    assert (summary["r_hat"] < 1.05).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pareto k, and ArviZ's own use of xarray
        loo = az.loo(exported)
    assert loo.n_data_points == 30
    path = tmp_path / "idata.nc"
    exported.to_netcdf(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = az.from_netcdf(str(path))
    assert back.groups() == exported.groups()
    assert np.array_equal(back.posterior["z"], exported.posterior["z"])
    assert back.posterior.attrs["posterior_draws"] == exported.attrs["posterior_draws"]


def test_seed_decides_and_the_callers_random_state_stays():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (
        to_arviz((model, wrong_guide), X, num_samples=5, num_chains=2, seed=seed).posterior["z"].values for seed in (0, 0, 1)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(first, second) and not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


def test_several_sites_labels_and_covariates():
    batch = {"x": X, "t": (X[:, 0] > 0).float(), "offset": torch.full((30, 2), 100.0)}
    exported = to_arviz((several_model, several_guide), batch, num_samples=7, num_chains=2, num_data=11)
    assert exported.posterior["b"].dims == ("chain", "draw", "data", "b_dim_0", "b_dim_1")
    assert set(exported.log_likelihood) == set(exported.observed_data) == {"x", "t"}
    assert exported.prior_predictive["t"].dims == ("chain", "draw")
    assert abs(exported.prior_predictive["x"].values.mean() - 100) < 3
    rows = exported.posterior["data"].values
    assert len(set(rows)) == 11 and np.array_equal(exported.observed_data["x"], X.numpy()[rows])


def test_images_have_rows_columns_and_channels():
    binary = (torch.rand(4, 6, 5) > 0.5).float()
    pair = vae(DataSpec("toy", (6, 5), "binary"), latent_dim=2, hidden=(8,))
    exported = to_arviz(pair, binary, num_samples=3, num_chains=1)
    assert exported.posterior_predictive["x"].dims == ("chain", "draw", "data", "x_row", "x_column")
    assert exported.posterior_predictive["x"].dtype == np.uint8
    assert exported.attrs["pair"].startswith('{"name": "vae"')
    pair = conv_vae(DataSpec("toy", (3, 8, 8), "real"), latent_dim=2, channels=(4,), hidden=8)
    exported = to_arviz(pair, torch.randn(4, 3, 8, 8), num_samples=3, num_chains=1)
    assert exported.observed_data["x"].dims == ("data", "x_channel", "x_row", "x_column")


def test_a_run_brings_its_test_data():
    pair = linear_gaussian(DataSpec("toy", (2,), "real"), latent_dim=1)
    run = types.SimpleNamespace(pair=pair, data=load((X, X, X)))
    exported = to_arviz(run, num_samples=10, num_chains=1)
    assert exported.posterior.sizes["data"] == 30
    assert float(exported.sample_stats["ess"].min()) > 199  # the guide is exact: all weights are equal


def test_an_energy_has_no_log_likelihood():
    pair = vae(DataSpec("toy", (3,), "unit"), latent_dim=2, hidden=(8,), likelihood="bernoulli-grey")
    assert "log_likelihood" not in to_arviz(pair, torch.rand(4, 3), num_samples=3, num_chains=1).groups()


def test_refusals(monkeypatch):
    with pytest.raises(OptionError, match="to_arviz needs data"):
        to_arviz((model, wrong_guide))
    with pytest.raises(OptionError, match="num_chains is 0"):
        to_arviz((model, wrong_guide), X, num_chains=0)
    with pytest.raises(ContractError, match="'z'"):
        to_arviz((model, other_guide), X)
    monkeypatch.setattr(az, "__version__", "1.0.0")
    with pytest.raises(PyrovaeError, match=r"0.18 <= arviz < 1"):
        to_arviz((model, wrong_guide), X)


def test_resample_draws_in_proportion_to_the_weights():
    torch.manual_seed(0)
    weight = torch.tensor([[0.1, 0.5], [0.2, 0.5], [0.7, 0.0]])
    index, ess = resample(weight.log() - 1000, 20_000)
    shares = torch.stack([(index == k).float().mean(0) for k in range(3)])
    assert torch.allclose(shares, weight, atol=0.015)
    assert torch.allclose(ess, 1 / weight.double().square().sum(0))
