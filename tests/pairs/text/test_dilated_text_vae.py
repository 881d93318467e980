"""Text by dilated convolutions: what a word sees, measured by the gradient, and nothing of itself or what follows."""

from __future__ import annotations

import pytest
import torch

import pyrovae as pv
from pyrovae.data import DataSpec, KeySpec
from pyrovae.errors import OptionError
from pyrovae.nets import DilatedDecoder

SPEC = DataSpec("text", keys={"x": KeySpec((9,), "tokens", size=4)})


@pytest.mark.parametrize(("dilations", "field"), [([], 1), ([1], 3), ([1, 2], 7), ([2, 1, 4], 15)])
def test_the_gradient_reaches_the_receptive_field_and_no_further(dilations, field):
    torch.manual_seed(0)
    net = DilatedDecoder(5, 4, 16, dilations, 2).double()
    steps = torch.randn(1, 20, 4, dtype=torch.double, requires_grad=True)  # vectors of the word before each position
    net.before = lambda words: steps
    logits = net.write(torch.zeros(1, 20, dtype=torch.int64), torch.randn(1, 2, dtype=torch.double))
    for t in (0, 7, 19):
        (grad,) = torch.autograd.grad(logits[0, t].square().sum(), steps, retain_graph=True)
        seen = grad[0].abs().sum(-1).nonzero().flatten().tolist()
        assert seen == list(range(max(0, t - field + 1), t + 1))  # position i holds word i - 1
    assert net.receptive_field == field


@torch.no_grad()
def test_a_word_changes_what_follows_within_the_field_alone():
    torch.manual_seed(1)
    net = DilatedDecoder(5, 4, 16, [1, 2]).double().eval()  # 7 words
    words = torch.randint(1, 5, (1, 16))
    changed = words.clone()
    changed[0, 4] = (words[0, 4] + 1) % 5
    moved = (net(words) != net(changed)).any(-1)[0].nonzero().flatten().tolist()
    assert moved == list(range(5, 12))
    for last in (3, 9, 16):
        torch.testing.assert_close(net.next_word(words[:, :last], None), net(words)[:, last - 1])


@torch.no_grad()
def test_the_latent_reaches_every_position():
    torch.manual_seed(2)
    net = DilatedDecoder(5, 4, 16, [1], 2).eval()
    words = torch.randint(1, 5, (1, 8))
    assert bool((net(words, torch.zeros(1, 2)) != net(words, torch.ones(1, 2))).any(-1).all())


def test_what_the_convolutions_cannot_be_is_refused():
    with pytest.raises(OptionError, match="channels is 5"):
        pv.pairs.dilated_text_vae(SPEC, channels=5)
    with pytest.raises(OptionError, match=r"dilations \[1, 0\]"):
        pv.pairs.dilated_text_vae(SPEC, dilations=(1, 0))
    with pytest.raises(OptionError, match="recurrent_dim of pair dilated-text-vae goes with latent=True"):
        pv.pairs.dilated_text_vae(SPEC, latent=False, recurrent_dim=3)
