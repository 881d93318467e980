"""Four codes by hand: the mixture, what a told neighbour costs, the bound between; a table of codes as training saw them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.data import DataSpec, KeySpec
from pyrovae.distributions import CodeMixture, NeighbourPrior, code_mixture
from pyrovae.errors import OptionError

CODES = torch.tensor([[-1.0], [0.5], [2.0], [4.0]], dtype=torch.float64)


def network(c):
    """p(z | c) = N(c / 2, exp(c / 4)^2)."""
    return c / 2, (c / 4).exp()


def density(z, c):
    return math.exp(-0.5 * ((z - c / 2) / math.exp(c / 4)) ** 2) / math.exp(c / 4) / math.sqrt(2 * math.pi)


def test_the_mixture_of_four_codes_by_hand():
    row = torch.tensor([1, -1])
    z = torch.tensor([[0.3], [0.3]], dtype=torch.float64)
    each = [density(0.3, float(c)) for c in CODES]
    expected = torch.tensor([(sum(each) - each[1]) / 3, sum(each) / 4], dtype=torch.float64).log()
    fn = CodeMixture(CODES, network, row)
    torch.testing.assert_close(fn.log_prob(z), expected)
    assert fn.expand([5, 2]).log_prob(z).shape == (5, 2)
    grid = torch.linspace(-30, 30, 20001, dtype=torch.float64)
    mass = CodeMixture(CODES, network).log_prob(grid.unsqueeze(-1)).exp().sum() * (grid[1] - grid[0])
    assert float(mass) == pytest.approx(1, abs=1e-9)


def test_the_bound_of_told_neighbours_is_their_mean_cost_and_lies_below_the_mixture_by_less_than_log_n():
    row, near = torch.tensor([1, -1]), torch.tensor([[0, 2], [1, 2]])
    z = torch.tensor([[0.3], [0.3]], dtype=torch.float64)
    told = CodeMixture(CODES, network, row, near)
    cost = torch.tensor([-sum(math.log(density(0.3, float(CODES[n]))) for n in ns) / 2 for ns in near.tolist()])
    torch.testing.assert_close(told.cost(z), cost.double())
    others = torch.tensor([3.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(told.log_prob(z), -cost.double() - (others / 2).log())
    exact = CodeMixture(CODES, network, row).log_prob(z)
    assert (told.log_prob(z) <= exact).all() and (-told.cost(z) - exact <= others.log()).all()


def test_the_sum_in_parts_is_the_whole_with_its_gradient(monkeypatch):
    torch.manual_seed(0)
    codes, row, found = torch.randn(37, 2), torch.tensor([3, -1, 36]), []
    for chunk in (2**24, 40):
        monkeypatch.setattr(code_mixture, "CHUNK", chunk)
        z = torch.linspace(-1, 1, 12).view(2, 3, 2).requires_grad_()
        value = CodeMixture(codes, network, row).log_prob(z)
        found.append([value.detach(), *torch.autograd.grad(value.sum(), [z])])
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(whole, parts)


def test_draws_are_of_the_mixture():
    torch.manual_seed(0)
    drawn = CodeMixture(CODES, network).sample(torch.Size([40000]))
    mean = float((CODES / 2).mean())
    variance = float(((CODES / 4).exp() ** 2 + (CODES / 2) ** 2).mean()) - mean**2
    assert float(drawn.mean()) == pytest.approx(mean, abs=4 * math.sqrt(variance / 40000))
    assert float(drawn.var()) == pytest.approx(variance, rel=0.05)


def test_neighbours_are_the_nearest_codes_and_never_the_datum_itself():
    prior = NeighbourPrior(nn.Identity(), nn.Identity(), network, 4, 1, num_neighbours=2).double()
    prior.codes.copy_(CODES)
    found = prior.nearest(torch.tensor([[0.4], [0.4]], dtype=torch.float64), torch.tensor([1, -1]))
    assert [set(ns) for ns in found.tolist()] == [{0, 2}, {0, 1}]
    fn = prior.train()(torch.tensor([[0.4], [9.0]], dtype=torch.float64), torch.tensor([2, -1]))
    (written,) = fn.next_state(None).values()
    assert written.flatten().tolist() == [-1.0, 0.5, 0.4, 4.0]  # the row of training alone


@pytest.fixture(scope="module")
def numbered(digits):
    return pv.data.transform(digits, "row-numbers")


def test_the_table_is_of_the_codes_that_training_saw_and_its_bound_is_below_the_exact_one(numbered):
    torch.manual_seed(0)
    pair = pv.pairs.acn(numbered.spec, latent_dim=2, hidden=[8], prior_hidden=[8])
    data = pv.data.transform(pv.data.load("digits", binarization="threshold"), "row-numbers")
    pv.fit(pair, data, epochs=1, lr=1e-30, progress=False)
    prior = pair.model.prior
    torch.testing.assert_close(prior.codes, prior.encoder(data.train["x"]).detach())
    batch = data.train[:40]
    z = torch.randn(40, 2)
    assert (prior.train()(batch["x"], batch["row"]).log_prob(z) <= prior.eval()(batch["x"], batch["row"]).log_prob(z)).all()


def test_a_masked_decoder_scores_each_pixel_given_those_before_and_the_code():
    torch.manual_seed(0)
    spec = DataSpec("toy", (4, 4), "binary", keys={"row": KeySpec((), "category", size=9)})
    options = {"latent_dim": 2, "hidden": [8], "prior_hidden": [8], "decoder": "convolution", "channels": 4}
    pair = pv.pairs.acn(spec, **options)
    batch = {"x": (torch.rand(8, 4, 4) < 0.5).float(), "row": torch.arange(8)}
    assert pv.check(pair, batch).is_density
    traced = trace_pair(pair.model.eval(), pair.guide, batch, 3)
    fn, x = traced.model_sites["x"]["fn"], batch["x"]
    first = fn.conditionals(x).base_dist.logits
    other = fn.conditionals(torch.cat([x[:, :2], 1 - x[:, 2:]], 1)).base_dist.logits
    torch.testing.assert_close(other[..., :9, :], first[..., :9, :])  # two rows, and the first pixel of the third
    assert not torch.allclose(other[..., 9:, :], first[..., 9:, :])
    assert not torch.allclose(first[0], first[1])  # of other codes
    assert fn.sample().shape == (3, 8, 4, 4)


def test_what_it_cannot_serve_is_refused(digits, numbered):
    with pytest.raises(OptionError, match="digits has no numbers of its training rows"):
        pv.pairs.acn(digits.spec)
    grey = pv.data.load("digits", binarization="none", transforms=["row-numbers"])
    with pytest.raises(OptionError, match=r"masked convolutions do not score levels data of shape \(8, 8\)"):
        pv.pairs.acn(grey.spec, decoder="convolution")
    with pytest.raises(OptionError, match="num_neighbours is 2000; expected fewer than the 1297 training data"):
        pv.pairs.acn(numbered.spec, num_neighbours=2000)
    with pytest.raises(OptionError, match="option channels of pair acn goes with decoder='convolution'"):
        pv.pairs.acn(numbered.spec, channels=8)
