"""Pairs that differ in few factors: what is shared is put together, by formula."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.errors import OptionError
from pyrovae.guides import AdaptiveGaussian


def made(combine):
    torch.manual_seed(0)
    spec = pv.data.DataSpec("toy", (2, 6), "binary")
    recipe = pv.pairs.ada_gvae if combine == "average" else pv.pairs.ada_ml_vae
    return recipe(spec, latent_dim=4, hidden=[8]), torch.bernoulli(torch.full((9, 2, 6), 0.5))


@pytest.mark.parametrize("combine", ["average", "product"])
def test_shared_dimensions_are_put_together_and_the_others_stay(combine):
    pair, x = made(combine)
    loc, log_scale = pair.guide.encoder(x).chunk(2, -1)
    scale = log_scale.exp()
    fn = trace_pair(pair.model, pair.guide, {"x": x}, 1).guide_sites["z"]["fn"].base_dist
    for row in range(9):
        one, other = Normal(loc[row, 0], scale[row, 0]), Normal(loc[row, 1], scale[row, 1])
        distance = (kl_divergence(one, other) + kl_divergence(other, one)) / 2
        shared = distance < (distance.max() + distance.min()) / 2
        assert bool(shared.any()) and not bool(shared.all())
        precision = scale[row] ** -2
        if combine == "average":
            mean, width = loc[row].mean(0), scale[row].square().mean(0).sqrt()
        else:
            mean, width = (precision * loc[row]).sum(0) / precision.sum(0), precision.sum(0).rsqrt()
        for i in range(2):
            torch.testing.assert_close(fn.loc[0, row, i], torch.where(shared, mean, loc[row, i]))
            torch.testing.assert_close(fn.scale[0, row, i], torch.where(shared, width, scale[row, i]))


def test_a_pair_of_one_image_twice_shares_all_but_what_is_equal():
    loc, scale = torch.tensor([[[0.0, 1.0, 5.0], [0.0, 1.1, -5.0]]]), torch.ones(1, 2, 3)
    assert AdaptiveGaussian.shared(loc, scale).flatten().tolist() == [True, True, False]


def test_it_needs_pairs(digits):
    with pytest.raises(OptionError, match=r"x of a pair is \(2, \*shape\), and here \(8, 8\)"):
        pv.pairs.ada_gvae(digits.spec)
    data = pv.data.load("xys", transforms=["pairs"])
    pair = pv.pairs.ada_gvae(data.spec, latent_dim=3, hidden=[8])
    assert len(pv.fit(pair, data, steps=2, batch_size=20, progress=False).records) >= 1
