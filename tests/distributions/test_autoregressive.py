"""Autoregressive distributions: mass one, causality, draws, lengths, contexts."""

from __future__ import annotations

import math

import pytest
import torch

from pyrovae.distributions import AutoregressiveBernoulli, AutoregressiveCategorical, AutoregressiveGaussian
from pyrovae.nets import MADE, CausalConv, CausalRNN, MaskedConv

BITS = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6)


def network(name, out=1, context_dim=0):
    """Of 6 steps of one number, with weights far from zero."""
    torch.manual_seed(0)
    made = {
        "made": lambda: MADE(6, [11, 7], out, context_dim),
        "convolution": lambda: MaskedConv((2, 3), 5, out, context_dim, layers=1),
        "recurrent": lambda: CausalRNN(1, 5, out, context_dim),
        "causal convolution": lambda: CausalConv(1, 5, out, context_dim, layers=2),
    }[name]()
    for parameter in made.parameters():
        parameter.data.mul_(2.0)
    return made


NETWORKS = ["made", "convolution", "recurrent", "causal convolution"]


@pytest.mark.parametrize("name", NETWORKS)
def test_mass_is_one_and_draws_have_it(name):
    fn = AutoregressiveBernoulli(network(name), (2, 3))
    mass = fn.log_prob(BITS.reshape(-1, 2, 3)).exp().detach()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-5)
    assert mass.std() > 0.2 * mass.mean()  # the network does something
    torch.manual_seed(0)
    drawn = fn.sample(torch.Size([20_000])).flatten(1)
    counts = torch.zeros(64).index_add(0, (drawn @ 2 ** torch.arange(5.0, -1, -1)).long(), torch.ones(20_000))
    assert float(((counts - 20_000 * mass).square() / (20_000 * mass)).sum()) < 63 + 4 * math.sqrt(2 * 63)


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_see_all_before_them_and_nothing_else(name):
    x = torch.randn(40, 6, 1, requires_grad=True)  # many, since a unit may be dead at one
    outs = network(name)(x).unbind(1)
    rows = torch.stack([(torch.autograd.grad(out.sum(), x, retain_graph=True)[0] != 0).any(0)[:, 0] for out in outs])
    seen, allowed = rows, torch.ones(6, 6).tril(-1).bool()
    assert not (seen & ~allowed).any() and seen[1:].any(1).all()
    if name == "recurrent":
        assert seen[allowed].all()
    if name == "made":  # whose units may be dead, while the masks leave every path
        net = network(name)
        assert torch.equal((net.mask_2 @ net.mask_1 @ net.mask_0) > 0, allowed)


@pytest.mark.parametrize("name", NETWORKS)
def test_particles_contexts_lengths_and_expand(name):
    net, c, x = network(name, out=2, context_dim=3), torch.randn(4, 1, 3), torch.randn(5, 2, 3)
    lengths = torch.tensor([6, 1, 3, 0, 5])
    fn = AutoregressiveGaussian(net, (2, 3), c.expand(4, 5, 3), lengths)
    scores = fn.log_prob(x)
    assert fn.batch_shape == scores.shape == (4, 5) and (scores[:, 3] == 0).all()
    alone = torch.stack([AutoregressiveGaussian(net, (2, 3), c[k].expand(5, 3), lengths).log_prob(x) for k in range(4)])
    torch.testing.assert_close(scores, alone)
    beyond = (torch.arange(6) >= lengths.unsqueeze(1)).reshape(5, 2, 3)
    assert torch.equal(fn.log_prob(torch.where(beyond, 1e3, x)), scores)
    assert not fn.sample()[:, beyond].any() and fn.sample(torch.Size([2])).shape == (2, 4, 5, 2, 3)
    wide = AutoregressiveGaussian(net, (2, 3), c[0]).expand(torch.Size([7]))
    assert wide.log_prob(x[:1]).shape == (7,) and wide.sample().shape == (7, 2, 3)


def test_names_have_mass_one_and_gaussians_density_one():
    words = AutoregressiveCategorical(CausalRNN(3, 5, 3), (4,))
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)
    assert float(words.log_prob(every).exp().sum().detach()) == pytest.approx(1, abs=1e-5)
    torch.manual_seed(0)
    drawn = words.sample(torch.Size([4000]))
    assert drawn.dtype == torch.int64
    for t in range(4):  # the last marginals too, which all steps before go into
        expected = torch.stack([words.log_prob(every).exp()[every[:, t] == k].sum() for k in range(3)])
        torch.testing.assert_close(drawn[:, t].bincount(minlength=3) / 4000, expected, atol=0.03, rtol=0)
    pairs = AutoregressiveGaussian(network("made", out=2), (6,))
    own, x = pairs.conditionals(draw := pairs.sample(torch.Size([3]))), draw.unsqueeze(-1)
    torch.testing.assert_close(own.log_prob(x).sum(-1), pairs.log_prob(draw))


def test_teacher_forcing_scores_what_a_loop_of_steps_scores():
    net = CausalRNN(2, 4, 4)
    fn, x = AutoregressiveGaussian(net, (5, 2)), torch.randn(3, 5, 2)
    state, total = net.start(torch.Size([3]), x), 0.0
    for t in range(5):
        total = total + fn.of_step(net.at(state)).log_prob(x[:, t])
        state = net.cell(*state, x[:, t])
    torch.testing.assert_close(fn.log_prob(x), total)
