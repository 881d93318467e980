"""Groups: the corrected product is a linear-Gaussian model's posterior, the published one is not; one alone is a VAE."""

from __future__ import annotations

import pytest
import torch

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.errors import OptionError
from pyrovae.guides import ContentStyle


def test_the_corrected_product_is_the_posterior_of_a_group_and_the_published_one_counts_the_prior_n_times():
    """x_i = c + noise of variance v0: each alone has the posterior of precision 1 + 1/v0."""
    torch.manual_seed(0)
    x, noise = torch.randn(6, 5, 3, dtype=torch.float64), 0.7
    exact_precision = 1 + 5 / noise
    exact_mean = x.sum(1) / noise / exact_precision
    alone = x / noise / (1 + 1 / noise)
    log_extra = torch.full_like(x, -0.5 * torch.tensor(1 / noise).log())
    mean, scale = ContentStyle(None, 3, 2, prior_correction=True).content(alone, log_extra)
    torch.testing.assert_close(mean, exact_mean)
    torch.testing.assert_close(scale, torch.full_like(scale, exact_precision**-0.5))
    log_scale = torch.full_like(x, -0.5 * torch.tensor(1 + 1 / noise).log())
    mean, scale = ContentStyle(None, 3, 2).content(alone, log_scale)
    torch.testing.assert_close(scale**-2, torch.full_like(scale, exact_precision + 4), rtol=1e-6, atol=1e-6)
    mean, scale = ContentStyle(None, 3, 2, "average").content(alone, log_scale)
    torch.testing.assert_close(mean, alone.mean(1))
    torch.testing.assert_close(scale, log_scale[:, 0].exp())


@pytest.mark.parametrize("recipe", [pv.pairs.ml_vae, pv.pairs.gvae])
def test_a_group_of_one_is_a_vae(digits, recipe):
    torch.manual_seed(0)
    data = pv.data.transform(digits, "groups:size=1")
    pair = recipe(data.spec, content_dim=2, style_dim=3, hidden=[8])
    batch = data.test[:6]
    traced = trace_pair(pair.model, pair.guide, batch, 4)
    c, s = traced.latents["c"], traced.latents["s"].squeeze(-2)
    loc, log_scale, style, style_log_scale = pair.guide.encoder(batch["x"][:, 0]).split([2, 2, 3, 3], -1)
    q = torch.distributions.Normal(torch.cat([loc, style], -1), torch.cat([log_scale, style_log_scale], -1).exp())
    z = torch.cat([c, s], -1)
    prior = torch.distributions.Normal(0.0, 1.0)
    likelihood = pair.model.likelihood(pair.model.decoder(z)).log_prob(batch["x"][:, 0])
    expected = likelihood + prior.log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
    torch.testing.assert_close(traced.log_weight, expected, rtol=1e-5, atol=1e-4)


def test_it_trains_on_groups_of_a_class_and_content_tells_it_where_style_does_not(digits):
    data = pv.data.transform(digits, "groups:size=6")
    torch.manual_seed(0)
    pair = pv.pairs.ml_vae(data.spec, content_dim=4, style_dim=2, hidden=[64])
    run = pv.fit(pair, data, epochs=15, lr=5e-3, batch_size=100, seed=0, progress=False)
    assert run.records[-1]["valid"] > run.records[0]["valid"] + 10
    figures = pv.evaluate(run, data.test[:50], num_samples=5).to_json()
    assert len(figures["kl_per_dim"]["s"]) == figures["latent_dims"]["s"] == 6 * 2
    means = pv.evaluation.posterior_moments(run, data.train), pv.evaluation.posterior_moments(run, data.test)
    labels = data.train["y"], data.test["y"]
    accuracy = {}
    for site in ("c", "s"):
        train, test = (each[site].mean.reshape(len(each[site].mean), -1)[:, : 4 if site == "c" else 2] for each in means)
        nearest = torch.cdist(test, torch.stack([train[labels[0] == k].mean(0) for k in range(10)])).argmin(1)
        accuracy[site] = float((nearest == labels[1]).float().mean())
    assert accuracy["c"] > 0.85 and accuracy["s"] < 0.5, accuracy


def test_what_is_no_group_is_refused():
    flat = pv.data.DataSpec("toy", (4,), "binary")
    with pytest.raises(OptionError, match=r"toy has no groups: x of a group is \(n, \*shape\)"):
        pv.pairs.ml_vae(flat)
