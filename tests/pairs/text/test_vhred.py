"""Dialogues with a latent an utterance: by hand with one utterance, padding of both kinds, HRED without a latent."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.data import DataSpec, KeySpec
from pyrovae.data.grammars import dialogue_rows
from pyrovae.distributions import Sentences
from pyrovae.errors import OptionError, UnusedOptionError
from pyrovae.nets import loc_and_scale

SIZES = {"latent_dim": 2, "embedding_dim": 3, "recurrent_dim": 4}


def spec(num=3, steps=4, words=5):
    return DataSpec("talk", keys={"x": KeySpec((num, steps), "tokens", size=words), "lengths": KeySpec((), "count")})


def made(of=None, **options):
    torch.manual_seed(0)
    sizes = {key: value for key, value in SIZES.items() if key != "latent_dim" or options.get("latent", True)}
    pair = pv.pairs.vhred(of or spec(), **sizes, **options)
    for p in [*pair.model.parameters(), *pair.guide.parameters()]:
        p.data.normal_(0, 0.5)
    return pair


def test_one_utterance_is_a_sentence_vae_of_the_same_networks():
    pair, x = made(spec(1)), torch.tensor([[[1, 3, 0, 0]], [[2, 2, 4, 1]]])
    pair.model.eval(), pair.guide.eval()
    torch.manual_seed(4)
    found = pv.objectives.get("meanfield").value(pv.objectives.Given(pair.model, pair.guide, [{"x": x}]))
    model, guide, h = pair.model.own, pair.guide.own, torch.zeros(2, 4)
    prior, posterior = (Normal(*loc_and_scale(f)) for f in (model.prior(h), guide.posterior(guide.encoder(x[:, 0])[1], h)))
    torch.manual_seed(4)
    z = posterior.rsample(torch.Size([1]))
    decoder = Sentences(model.decoder, (4,), torch.cat([h.expand(1, 2, 4), z], -1))
    by_hand = decoder.log_prob(x[:, 0])[0] - kl_divergence(posterior, prior).sum(-1)
    torch.testing.assert_close(found, by_hand)


def test_padded_utterances_and_words_change_nothing_bit_for_bit():
    pair = made()
    x = torch.tensor([[[1, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0]], [[4, 4, 4, 4], [2, 1, 1, 0], [3, 3, 0, 0]]])
    other = x.clone()
    other[0, 2] = torch.tensor([3, 1, 4, 2])  # beyond the two utterances
    other[0, 0, 3], other[0, 1, 2:], other[1, 2, 3] = 4, torch.tensor([2, 3]), 1  # beyond the ends
    bounds = []
    for words in (x, other):
        torch.manual_seed(0)
        batch = {"x": words, "lengths": torch.tensor([2, 3])}
        loss = pv.objectives.get("meanfield").value(pv.objectives.Given(pair.model, pair.guide, [batch]))
        gradient = torch.autograd.grad(loss.sum(), pair.model.own.encoder.embedding.weight)[0]
        bounds.append((loss.detach(), gradient))
    assert torch.equal(bounds[0][0], bounds[1][0]) and torch.equal(bounds[0][1], bounds[1][1])
    pv.check(pair, {"x": x, "lengths": torch.tensor([2, 3])})


def test_without_a_latent_it_is_hred_with_its_exact_log_p():
    pair = made(latent=False)
    assert not pv.check(pair, dialogue(2)).sites or all(site.kind == "observed" for site in pv.check(pair, dialogue(2)).sites)
    batch = dialogue(3)
    found = pv.log_evidence(pair, batch, "exact").value
    model, h, total = pair.model.own.eval(), torch.zeros(3, 4), torch.zeros(3)
    for n in range(3):
        words = batch["x"][:, n]
        score = Sentences(model.decoder, (4,), h).log_prob(words)
        total = total + torch.where(n < batch["lengths"], score, 0.0)
        h = model.context.step(h, model.encoder(words)[1])
    torch.testing.assert_close(found, total.detach().to(found.dtype))
    with pytest.raises(UnusedOptionError, match="latent_dim of pair vhred goes with latent=True"):
        pv.pairs.vhred(spec(), latent=False, latent_dim=3)


def dialogue(size):
    rows = torch.randint(5, (size, 3, 4), generator=torch.Generator().manual_seed(0))
    return {"x": rows, "lengths": torch.tensor([3, 1, 2])[:size]}


def test_words_are_hidden_in_training_alone_and_all_of_them_where_it_is_one():
    pair, batch = made(word_dropout=1.0), dialogue(3)
    decoder, other = pair.model.own.decoder, batch["x"].flip(0)
    context = torch.zeros(3, 6)
    assert torch.equal(decoder.train()(batch["x"][:, 0], context), decoder(other[:, 0], context))
    assert not torch.equal(decoder.eval()(batch["x"][:, 0], context), decoder(other[:, 0], context))
    traced = trace_pair(pair.model.eval(), pair.guide.eval(), batch, 2)
    assert traced.log_weight.shape == (2, 3)


def test_drawn_dialogues_have_their_lengths_and_end_their_utterances():
    drawn = pv.sample(made(), 20, like={"lengths": torch.tensor([2])})
    assert drawn["x"].shape == (20, 3, 4) and bool((drawn["x"][:, 2] == 0).all())
    assert bool((drawn["x"] * (drawn["x"] == 0).cumsum(2) == 0).all())
    assert pv.reconstruct(made(), dialogue(3)).dtype == torch.int64


def test_the_grammar_hides_an_intent_and_pads_both_ways():
    rows = dialogue_rows(50)
    assert rows["x"].shape == (50, 5, 12) and set(rows["y"]) == set(range(6)) and set(rows["lengths"]) == {2, 3, 4, 5}
    spoken = (rows["x"] != 0).any(2).sum(1)
    assert (spoken == rows["lengths"]).all() and (rows["x"][:, :, -1] == 0).all()
    assert ((rows["x"] * ((rows["x"] == 0).cumsum(2) > 0)) == 0).all()


def test_sentences_that_are_no_dialogues_are_refused():
    with pytest.raises(OptionError, match=r"flat has no utterances: .* its shape is \(4,\)"):
        pv.pairs.vhred(DataSpec("flat", (4,), "tokens", levels=5))
