"""The exemplar prior by hand: three points, sums in parts, neighbours as a bound, and the memory of codes."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch

import pyrovae as pv
from pyrovae.distributions import ExemplarPrior, Exemplars, exemplars


def build(data):
    torch.manual_seed(0)
    return pv.pairs.get("exemplar-vae").build(data.spec, latent_dim=2, hidden=[8])


def test_a_datum_is_left_out_of_its_own_prior():
    """Codes 0, 1 and 5, s = .5: the prior of the second is half of the others; that of a new datum a third of each."""
    codes, row = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([1, -1])
    fn = Exemplars(codes, torch.tensor(math.log(0.5)), row)
    z = torch.tensor([[0.4], [0.4]])
    each = dist.Normal(codes[:, 0], 0.5).log_prob(torch.tensor(0.4)).exp()
    torch.testing.assert_close(fn.log_prob(z).exp(), torch.stack([(each[0] + each[2]) / 2, each.mean()]))
    assert fn.expand([4, 2]).log_prob(z).shape == (4, 2)


def test_the_sum_in_parts_is_the_whole_with_its_gradient(monkeypatch):
    torch.manual_seed(1)
    codes, row = torch.randn(46, 3), torch.tensor([7, -1, 45])  # the last part is the third datum alone
    found = []
    for chunk in (2**24, 90):
        monkeypatch.setattr(exemplars, "CHUNK", chunk)
        z = torch.linspace(-1, 1, 18).view(2, 3, 3).requires_grad_()
        log_scale = torch.tensor(-0.3, requires_grad=True)
        value = Exemplars(codes, log_scale, row).log_prob(z)
        found.append([value.detach(), *torch.autograd.grad(value.sum(), [z, log_scale])])
    components = dist.Normal(codes, math.exp(-0.3)).to_event(1).log_prob(z.detach().unsqueeze(-2))
    expected = torch.stack([components[:, b, [n for n in range(46) if n != row[b]]].logsumexp(-1) for b in range(3)], 1)
    torch.testing.assert_close(found[0][0], expected - torch.tensor([45.0, 46.0, 45.0]).log())
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(whole, parts)


def test_neighbours_bound_the_sum_and_all_of_them_are_it():
    """With the memory that the present encoder gives."""
    torch.manual_seed(2)
    x, encoder = torch.randn(6, 4), torch.nn.Linear(4, 4)
    prior = ExemplarPrior(encoder, 6, 2)
    prior.codes.copy_(encoder(x)[:, :2].detach())
    row, z = torch.arange(6), torch.randn(6, 2)
    others = torch.stack([x[[n for n in range(6) if n != b]] for b in range(6)])
    exact = prior.eval()(x, others, row).log_prob(z)
    torch.testing.assert_close(prior.train()(x, others, row).log_prob(z), exact)
    assert (prior(x, others[:, :3], row).log_prob(z) < exact).all()


def test_the_memory_is_of_the_codes_that_training_saw():
    """A step without learning writes the encoder's means of its rows; other parts of the data write nothing."""
    data = pv.data.load("digits", transforms=["neighbours:num=3"], binarization="threshold")
    pair = build(data)
    pv.fit(pair, data, epochs=1, lr=1e-30, progress=False)
    prior = pair.model.prior
    torch.testing.assert_close(prior.codes, prior.encoder(data.train["x"])[:, :2].detach())
    batch = data.test[:5]
    assert (batch["row"] == -1).all() and torch.equal(prior.written(batch["row"], torch.ones(5, 2)), prior.codes)


def test_evaluation_is_of_one_model_whatever_neighbours_come_with_a_datum():
    data = pv.data.load("digits", transforms=["neighbours:num=3"])
    pair = build(data)
    batch = data.test[:4]
    found = [pv.log_evidence(pair, keys, num_samples=20, seed=0).value for keys in (dict(batch), {"x": batch["x"]})]
    assert torch.equal(*found)
