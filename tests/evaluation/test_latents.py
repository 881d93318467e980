"""Posterior moments, active units and KL against closed forms."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyrovae.data import DataSpec
from pyrovae.evaluation.latents import active_units, kl_per_dim, posterior_moments
from pyrovae.pairs import linear_gaussian, vae

X = torch.randn(230, 3, generator=torch.Generator().manual_seed(0))


def gaussian_model(x):
    with pyro.plate("data", x.shape[0], dim=-1):
        z = pyro.sample("z", dist.Normal(x.new_zeros(3), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


def gaussian_guide(x):
    scale = torch.tensor([0.5, 1.0, 2.0])
    with pyro.plate("data", x.shape[0], dim=-1):
        pyro.sample("z", dist.Normal(x * torch.tensor([1.0, 0.0, 2.0]), scale).to_event(1))


def full_guide(x):
    tril = torch.tensor([[0.5, 0.0, 0.0], [0.3, 0.7, 0.0], [0.1, -0.4, 0.9]])
    with pyro.plate("data", x.shape[0], dim=-1):
        pyro.sample("z", dist.MultivariateNormal(x, scale_tril=tril))


def laplace_guide(x):
    with pyro.plate("data", x.shape[0], dim=-1):
        pyro.sample("z", dist.Laplace(x, 1.0).to_event(1))


def shifted_guide(x):
    """Without closed mean: 1 + 2 N(x, 1)."""
    with pyro.plate("data", x.shape[0], dim=-1):
        q_z = dist.TransformedDistribution(dist.Normal(x, 1.0), dist.transforms.AffineTransform(1.0, 2.0))
        pyro.sample("z", q_z.to_event(1))


def chain_model(x):
    with pyro.plate("data", x.shape[0], dim=-1):
        top = pyro.sample("z2", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
        z = pyro.sample("z1", dist.Normal(top, 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z.expand(*z.shape[:-1], 3), 1.0).to_event(1), obs=x)


def chain_guide(x):
    with pyro.plate("data", x.shape[0], dim=-1):
        z = pyro.sample("z1", dist.Normal(x[:, :1], 0.6).to_event(1))
        pyro.sample("z2", dist.Normal(0.5 * z, 0.4).to_event(1))


def closed_kl(x):
    loc, scale = x * torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.5, 1.0, 2.0])
    return (0.5 * (loc.square() + scale.square() - 1) - scale.log()).mean(0)


def test_kl_per_dim_is_the_closed_form_and_sums_to_the_total():
    kl = kl_per_dim((gaussian_model, gaussian_guide), {"x": X}, batch_size=100)["z"]
    assert kl.closed_form and not kl.marginal
    assert torch.allclose(kl.per_dim.float(), closed_kl(X), atol=1e-5)
    assert abs(float(kl.per_dim.sum()) - kl.total) < 1e-4


def test_kl_of_a_guide_with_correlations_is_of_its_marginals():
    torch.manual_seed(0)
    kl = kl_per_dim((gaussian_model, full_guide), {"x": X}, num_samples=200)["z"]
    tril = torch.tensor([[0.5, 0.0, 0.0], [0.3, 0.7, 0.0], [0.1, -0.4, 0.9]])
    variance = tril.square().sum(-1)
    marginal = (0.5 * (X.square() + variance - 1) - 0.5 * variance.log()).mean(0)
    exact = 0.5 * (X.square().sum(-1).mean() + variance.sum() - 3) - tril.diagonal().log().sum()
    assert kl.marginal
    assert torch.allclose(kl.per_dim.float(), marginal, atol=1e-5)
    assert abs(kl.total - float(exact)) < 0.05
    assert float(kl.per_dim.sum()) < float(exact)


def test_kl_without_a_closed_form_is_sampled():
    torch.manual_seed(0)
    kl = kl_per_dim((gaussian_model, shifted_guide), {"x": X}, num_samples=500)["z"]
    exact = (0.5 * ((1 + 2 * X).square() + 4 - 1) - torch.tensor(2.0).log()).mean(0)
    assert not kl.closed_form
    assert (kl.per_dim.float() - exact).abs().max() < 0.08
    assert abs(float(kl.per_dim.sum()) - kl.total) < 1e-3


def test_kl_of_a_site_with_parents_averages_over_the_guide():
    torch.manual_seed(0)
    kl = kl_per_dim((chain_model, chain_guide), {"x": X}, num_samples=500)
    assert set(kl) == {"z1", "z2"}
    second = 0.25 * (X[:, :1].square() + 0.36).mean()
    exact = float(0.5 * (second + 0.16 - 1) - torch.tensor(0.4).log())
    assert kl["z2"].closed_form
    assert abs(kl["z2"].total - exact) < 0.02


def test_kl_leaves_undivided_sites_whole():
    def model(x):
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.MultivariateNormal(torch.zeros(3), torch.eye(3)))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    kl = kl_per_dim((model, full_guide), {"x": X})["z"]
    assert kl.per_dim is None and kl.closed_form


def test_masked_data_count_nothing():
    keep = torch.arange(len(X)) < 115

    def masked(program):
        def run(x):
            with pyro.poutine.mask(mask=keep):
                program(x)

        return run

    whole = kl_per_dim((gaussian_model, gaussian_guide), {"x": X[:115]})["z"]
    half = kl_per_dim((masked(gaussian_model), masked(gaussian_guide)), {"x": X})["z"]
    assert torch.allclose(half.per_dim, whole.per_dim / 2)
    assert abs(half.total - whole.total / 2) < 1e-5


def test_moments_in_closed_form_whatever_the_batches():
    moments = posterior_moments((gaussian_model, gaussian_guide), {"x": X}, batch_size=37)["z"]
    assert torch.allclose(moments.mean, X * torch.tensor([1.0, 0.0, 2.0]))
    assert torch.allclose(moments.scale, torch.tensor([0.5, 1.0, 2.0]).expand(230, 3))


def test_moments_of_the_exact_posterior():
    pair = linear_gaussian(DataSpec("toy", (3,), "real"), latent_dim=2)
    moments = posterior_moments(pair, X)["z"]
    with torch.no_grad():
        loc, tril = pair.model.factor_analysis.posterior(X)
    assert torch.allclose(moments.mean, loc, atol=1e-5)
    assert torch.allclose(moments.scale, tril.square().sum(-1).sqrt().expand(230, 2), atol=1e-5)


@pytest.mark.parametrize("guide, mean, scale", [(laplace_guide, X, 2**0.5), (shifted_guide, 1 + 2 * X, 2.0)])
def test_moments_of_other_laws(guide, mean, scale):
    torch.manual_seed(0)
    moments = posterior_moments((gaussian_model, guide), {"x": X})["z"]
    assert ((moments.mean - mean) / (scale / 8)).abs().max() < 5
    assert abs(float(moments.scale.mean()) - scale) < 0.03


def test_moments_of_a_dependent_site_are_marginal():
    torch.manual_seed(0)
    moments = posterior_moments((chain_model, chain_guide), {"x": X})["z2"]
    assert abs(float((moments.mean - 0.5 * X[:, :1]).mean())) < 0.02
    assert abs(float(moments.scale.mean()) - (0.16 + 0.25 * 0.36) ** 0.5) < 0.01


def test_active_units():
    means = posterior_moments((gaussian_model, gaussian_guide), {"x": X})["z"].mean
    assert active_units(means).tolist() == [True, False, True]
    assert active_units(means, threshold=2.0).tolist() == [False, False, True]


def test_modules_go_back_to_training():
    pair = vae(DataSpec("toy", (3,), "real"), latent_dim=2)
    pair.guide.encoder.mlp.append(nn.Dropout(0.5))
    first, second = (posterior_moments(pair, X)["z"].mean for _ in range(2))
    assert torch.equal(first, second)
    assert pair.guide.training
