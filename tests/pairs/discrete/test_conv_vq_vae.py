"""The second stage of a VQ-VAE: a learned prior of codewords, by enumeration, on a first stage that stands still."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

import pyrovae as pv
from pyrovae.distributions import CodebookPrior
from pyrovae.errors import OptionError


def made(spec, name="vq-vae", **options):
    torch.manual_seed(0)
    sizes = {"num_codes": 3, "code_dim": 2}
    own = {"num_places": 3, "hidden": [16], "prior": "recurrent"} if name == "vq-vae" else {"channels": [4, 4, 4]}
    return pv.pairs.get(name).build(spec, **{**sizes, **own, **options})


@pytest.mark.parametrize(("name", "options"), [("vq-vae", {}), ("conv-vq-vae", {"prior": "convolution"})])
def test_the_bound_with_the_learned_prior_is_one_term_of_the_sum_over_codewords(digits, name, options):
    pair = made(digits.spec, name, **options)
    book, places, x = pair.model.codebook, pair.model.num_places, digits.test["x"][:4]
    every = torch.tensor(list(itertools.product(range(3), repeat=places))).unsqueeze(-1)
    with torch.no_grad():
        prior = CodebookPrior(book, places, network=pair.model.prior)
        words = book.words(every)
        mass = prior.log_prob(words)
        assert float(mass.logsumexp(0)) == pytest.approx(0, abs=1e-5)
        assert float(mass.std()) > 1e-3
        likelihood = pair.model.likelihood(pair.model.decoder(words.flatten(-2)).unsqueeze(1)).log_prob(x)
        terms = likelihood + mass.unsqueeze(1)
        own = book.nearest(pair.guide.encoder(x).unflatten(-1, (places, -1)))
        place = [(every == index).all(-1).all(-1).nonzero().item() for index in own]
        bound = pv.objectives.get("elbo").evaluate(pair.model, pair.guide, {"x": x})
        drawn = book.nearest(prior.expand([3000]).sample())[..., 0, 0]
    torch.testing.assert_close(bound, terms[place, range(4)])
    assert bool((bound < terms.logsumexp(0)).all())
    first = torch.stack([mass[every[:, 0, 0] == k].exp().sum() for k in range(3)])
    counts = torch.stack([(drawn == k).float().mean() for k in range(3)])
    assert bool(((counts - first).abs() < 4 * (first * (1 - first) / 3000).sqrt()).all())


def test_the_second_stage_learns_the_prior_and_leaves_the_first_bit_for_bit_alone(digits, tmp_path):
    pair = made(digits.spec, num_codes=8, num_places=4)
    first = pair.stages[0]
    run = pv.fit_stages(
        pair, digits, epochs=6, lr=5e-3, seed=0, progress=False, stage_options={"epochs": 4}, out=tmp_path / "run"
    )
    kept = pv.load(tmp_path / "run-stage-1").pair.state_dict()
    for name, value in first.state_dict().items():
        assert torch.equal(value, kept[name]), name
    uniform = pv.objectives.get("elbo").evaluate(first.model, first.guide, {"x": digits.test["x"]}).mean()
    learned = pv.log_evidence(run, digits.test, num_samples=1, seed=0)
    assert learned.mean > float(uniform.detach()) + 0.3 and learned.bound == "lower"
    again = pv.load(tmp_path / "run")
    assert torch.equal(again.model.codebook.codes, run.model.codebook.codes)
    assert float(run.model.codebook.counts.sum()) > 0


def test_what_no_network_of_places_serves_is_refused(digits):
    with pytest.raises(OptionError, match="2 quantizers, whose sums do not tell their numbers"):
        pair = made(digits.spec, num_quantizers=2)
        pv.check(pair, digits)
    with pytest.raises(OptionError, match="'convolution' is for places of a grid"):
        made(digits.spec, prior="convolution")
    with pytest.raises(OptionError, match="prior_hidden is 5, and the uniform prior has no network"):
        made(digits.spec, prior="uniform", prior_hidden=5)
    with pytest.raises(OptionError, match="convolutional networks need images"):
        made(pv.data.DataSpec("toy", (4,), "binary"), "conv-vq-vae")


def test_the_grid_has_a_place_for_every_four_pixels(digits):
    pair = made(digits.spec, "conv-vq-vae", channels=[4, 4], prior="uniform")
    assert pair.model.num_places == 4 and math.prod(pair.guide.encoder.grid) == 4
