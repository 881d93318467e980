"""Counts given their size: the size scales the mean, limits of the likelihoods, log p(x) against quadrature."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal

import pyrovae as pv
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program
from pyrovae.data import DataSpec, KeySpec
from pyrovae.errors import ContractError, OptionError

GENES = 6
SPEC = DataSpec("genes", (GENES,), "count").with_keys({"size": KeySpec((), "real")})


def small(**options):
    """A pair of one latent whose decoder is far from flat, and counts of several sizes."""
    torch.manual_seed(1)
    pair = pv.pairs.count_vae(SPEC, latent_dim=1, hidden=[8], **options)
    for parameter in pair.model.decoder.parameters():
        parameter.data.mul_(1.5)
    size = torch.tensor([20.0, 50.0, 200.0, 7.0])
    x = torch.poisson(size.unsqueeze(-1) * torch.rand(4, GENES).softmax(-1)).long()
    return pair, {"x": x, "size": size}


def likelihood(pair, batch, z):
    replay = latents_trace({"z": z})
    return sample_sites(run_program(pair.model, batch, len(z), replay=replay))["x"]["fn"]


@pytest.mark.parametrize("name", ["negative-binomial", "zero-inflated-negative-binomial", "poisson"])
def test_the_size_scales_the_mean(name):
    pair, batch = small(likelihood=name)
    z = torch.randn(1, 4, 1)
    mean = likelihood(pair, batch, z).mean
    tripled = likelihood(pair, {**batch, "size": 3 * batch["size"]}, z).mean
    torch.testing.assert_close(tripled, 3 * mean)
    if not name.startswith("zero"):
        torch.testing.assert_close(mean.sum(-1), batch["size"].unsqueeze(0))


def test_a_large_dispersion_is_a_poisson():
    counts, batch = small(likelihood="negative-binomial:dispersion=1e7")
    poisson, _ = small(likelihood="poisson")
    poisson.model.decoder.load_state_dict(counts.model.decoder.state_dict())
    z = torch.randn(1, 4, 1)
    found, right = (likelihood(pair, batch, z).log_prob(batch["x"]) for pair in (counts, poisson))
    torch.testing.assert_close(found, right, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_log_p_x_given_the_size_is_that_of_quadrature():
    pair, batch = small()
    grid = torch.linspace(-8, 8, 801).reshape(-1, 1, 1).expand(801, 4, 1)
    scores = likelihood(pair, batch, grid).log_prob(batch["x"]) + Normal(0, 1).log_prob(grid.squeeze(-1))
    exact = scores.logsumexp(0) + torch.tensor(16 / 800).log()
    found = pv.log_evidence(pair, batch, num_samples=4000, defensive=0.1)
    torch.testing.assert_close(found.value.double(), exact.double(), rtol=0, atol=float(5 * found.stderr.max() + 1e-3))
    assert "log p(x | size)" in str(pv.evaluate(pair, batch, num_samples=5))


def test_what_cannot_be_done_is_refused():
    with pytest.raises(OptionError, match=r"has no size.*transforms=\['library-size'\]"):
        pv.pairs.count_vae(DataSpec("genes", (GENES,), "count"))
    with pytest.raises(OptionError, match="scores counts given their total"):
        pv.pairs.count_vae(SPEC, likelihood="multinomial")
    with pytest.raises(OptionError, match="does not score real data"):
        pv.pairs.count_vae(DataSpec("genes", (GENES,), "real", covariates={"size": ()}))
    pair, batch = small()
    with pytest.raises(ContractError, match="reads 'size'"):
        pv.sample(pair, 3)
    drawn = pv.sample(pair, 2000, like={"size": batch["size"][:1]})["x"]
    assert abs(float(drawn.sum(-1).mean()) / 20 - 1) < 0.1


@pytest.mark.parametrize("name", ["vae", "hvae", "two-layer-vae", "flow-vae"])
@pytest.mark.parametrize("chosen", ["poisson", "multinomial", None])
def test_other_recipes_take_counts_by_their_likelihood(name, chosen):
    batch = {"x": small()[1]["x"]}
    small_layers = {"hidden": [8, 8]} if name == "hvae" else {}
    pair = pv.pairs.get(name)(DataSpec("genes", (GENES,), "count"), likelihood=chosen, **small_layers)
    pv.check(pair, batch)
    assert torch.isfinite(pv.log_evidence(pair, batch, num_samples=3).value).all()
    assert pv.reconstruct(pair, batch).shape == pv.sample(pair, 4)["x"].shape == (4, GENES)
