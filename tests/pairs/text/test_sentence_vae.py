"""Sentences with a latent: all strings, quadrature, padding, hidden words, and what is said of perplexity."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from fits import assert_same, comparable
from steppers import assert_same_steps, steppers
from torch.distributions import Normal

import pyrovae as pv
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program
from pyrovae.data import DataSpec, KeySpec, as_text, like_length
from pyrovae.distributions import Sentences, sentences
from pyrovae.errors import DataError, OptionError
from pyrovae.evaluation import perplexity, unigram
from pyrovae.nets import Deconvolution, DilatedDecoder, HybridDecoder, WordDecoder

LABELS = ("<eos>", "a", "b")
SPEC = DataSpec("strings", keys={"x": KeySpec((3,), "tokens", size=3, labels=LABELS, text="words")})
LINES = ["a b", "b", "a", "b a b a", "b b a"] * 8

DECODERS = {
    "start": lambda: WordDecoder(3, 4, 5, 2, context_at="start"),
    "steps": lambda: WordDecoder(3, 4, 5, 2, context_at="steps"),
    "both": lambda: WordDecoder(3, 4, 5, 2),
    "dilated": lambda: DilatedDecoder(3, 4, 6, [1], 2),
    "last word": lambda: DilatedDecoder(3, 4, 6, [], 2),
    "hybrid": lambda: HybridDecoder(Deconvolution(2, 4, 3, 3), 4, 5),
    "deconvolution": lambda: Deconvolution(2, 4, 3, 3),
}


def strings(num_words=3, num_steps=3):
    """All sentences: what follows a word 0 is 0."""
    every = torch.tensor(list(itertools.product(range(num_words), repeat=num_steps)))
    ended = (every == 0).cumsum(1).bool()
    return every[(every == every.masked_fill(ended, 0)).all(1)]


def decoder_of(name, seed=0):
    torch.manual_seed(seed)
    net = DECODERS[name]()
    for p in net.parameters():
        p.data.normal_(0, 0.8)
    return net.double().eval()


def sharp(pair):
    """A pair whose likelihood depends on z."""
    torch.manual_seed(3)
    for p in pair.model.parameters():
        p.data.normal_(0, 0.7)
    return pair


def lines(num=40):
    return pv.data.as_data({"x": LINES[:num]}, kinds={"x": "tokens"})


@torch.no_grad()
@pytest.mark.parametrize("name", DECODERS)
def test_the_masses_of_all_strings_sum_to_one(name):
    z = torch.randn(4, 1, 2, dtype=torch.double)
    every = strings()
    assert len(every) == 1 + 2 + 4 + 8
    found = Sentences(decoder_of(name), (3,), z).log_prob(every)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(4, dtype=torch.double))


@torch.no_grad()
@pytest.mark.parametrize("name", DECODERS)
def test_a_word_sees_those_before_it_alone_and_draws_use_the_same_logits(name):
    net, z = decoder_of(name), torch.randn(5, 2, dtype=torch.double)
    words = torch.randint(0, 3, (5, 3))
    logits, memory = net(words, z), net.read(z)
    for t in range(3):
        changed = words.clone()
        changed[:, t:] = (changed[:, t:] + 1) % 3
        torch.testing.assert_close(net(changed, z)[:, : t + 1], logits[:, : t + 1], rtol=0, atol=0)
        torch.testing.assert_close(net.next_word(changed[:, : t + 1], memory), logits[:, t])


@torch.no_grad()
def test_log_p_is_that_of_quadrature():
    pair = sharp(pv.pairs.sentence_vae(SPEC, latent_dim=1, embedding_dim=4, recurrent_dim=5))
    x = strings()
    grid = torch.linspace(-6, 6, 241)
    z = {"z": grid.reshape(-1, 1, 1).expand(241, len(x), 1)}
    site = sample_sites(run_program(pair.model, {"x": x}, 241, replay=latents_trace(z)))["x"]
    exact = (site["fn"].log_prob(x) + Normal(0, 1).log_prob(grid)[:, None]).logsumexp(0) + math.log(0.05)
    assert float(exact.exp().sum()) == pytest.approx(1, abs=1e-4)
    assert float(site["fn"].log_prob(x).std(0).max()) > 0.05  # z matters
    found = pv.log_evidence(pair, {"x": x}, num_samples=500, defensive=0.5, seed=0)
    torch.testing.assert_close(found.value.double(), exact.double(), rtol=0, atol=float(5 * found.stderr.max() + 1e-3))


@torch.no_grad()
def test_what_follows_the_end_and_shorter_batches_change_no_score():
    spec = DataSpec("long", keys={"x": KeySpec((6,), "tokens", size=5)})
    x = torch.tensor([[3, 0, 0, 0, 0, 0], [1, 2, 0, 0, 0, 0], [4, 4, 1, 0, 0, 0]])
    padded = torch.tensor([[3, 0, 2, 4, 1, 1], [1, 2, 0, 3, 3, 0], [4, 4, 1, 0, 2, 4]])
    for recipe, own in (
        (pv.pairs.sentence_vae, {}),
        (pv.pairs.dilated_text_vae, {"channels": 4}),
        (pv.pairs.hybrid_text_vae, {}),
    ):
        pair = sharp(recipe(spec, latent_dim=2, embedding_dim=4, recurrent_dim=6, **own))
        z = {"z": torch.randn(7, 3, 2)}
        scores, codes = [], []
        for batch in ({"x": x}, {"x": padded}, {"x": x[:, :4]}):
            model = run_program(pair.model.eval(), batch, 7, replay=latents_trace(z))
            scores.append(sample_sites(model)["x"]["fn"].log_prob(batch["x"]))
            codes.append(pair.guide.encoder(batch["x"]))
        for other in scores[1:]:
            torch.testing.assert_close(other, scores[0])
        for other in codes[1:]:
            torch.testing.assert_close(other, codes[0])


@torch.no_grad()
def test_particles_that_are_scored_in_parts_score_the_same(monkeypatch):
    net, z = decoder_of("both"), torch.randn(9, 4, 2, dtype=torch.double)
    words, drawn = torch.randint(0, 3, (4, 3)), torch.randint(0, 3, (9, 4, 3))
    whole = [Sentences(net, (3,), z).log_prob(each) for each in (words, drawn)]
    sizes = []
    monkeypatch.setattr(sentences, "MOST_BYTES", 2 * 4 * 3 * 3 * 8)
    net.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
    for before, each in zip(whole, (words, drawn), strict=True):
        torch.testing.assert_close(Sentences(net, (3,), z).log_prob(each), before)
    assert sizes == [2, 2, 2, 2, 1] * 2


def test_words_are_hidden_while_training_alone():
    net = WordDecoder(3, 4, 5, 2, word_dropout=0.9)
    net.embedding.weight.data.normal_(0, 3)
    words, z = torch.randint(1, 3, (50, 3)), torch.randn(50, 2)
    assert torch.equal(net.eval()(words, z), net(words, z))
    hidden = net.train().before(words)[:, 1:]
    share = float((hidden == 0).all(-1).float().mean())
    assert 0.75 < share < 1 and not torch.equal(net(words, z), net(words, z))
    assert bool((net.before(words)[:, 0] == net.first).all())


def test_without_a_latent_it_is_a_language_model_whose_log_p_is_exact():
    pair = pv.pairs.sentence_vae(SPEC, latent=False, embedding_dim=4, recurrent_dim=5)
    every = {"x": strings()}
    found = pv.log_evidence(pair, every, method="exact")
    assert float(found.value.double().exp().sum()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(OptionError, match="latent_dim of pair sentence-vae goes with latent=True"):
        pv.pairs.sentence_vae(SPEC, latent=False, latent_dim=3)


def test_what_are_no_sentences_is_refused():
    other = KeySpec((3,), "tokens", size=3, labels=("a", "b", "c"))
    with pytest.raises(OptionError, match="word 0 of 'x' is 'a', and pair sentence-vae ends"):
        pv.pairs.sentence_vae(DataSpec("s", keys={"x": other}))
    counted = {"x": KeySpec((3,), "tokens", size=3), "lengths": KeySpec((), "count")}
    with pytest.raises(OptionError, match="has lengths, and its words no names"):
        pv.pairs.dilated_text_vae(DataSpec("s", keys=counted))
    with pytest.raises(OptionError, match=r"needs x of shape \(T,\)"):
        pv.pairs.hybrid_text_vae(DataSpec("s", keys={"x": KeySpec((2, 3), "tokens", size=3)}))


def test_draws_are_sentences_and_a_mode_is_greedy():
    pair = sharp(pv.pairs.sentence_vae(SPEC, latent_dim=2, embedding_dim=4, recurrent_dim=5))
    torch.manual_seed(0)
    x = pv.sample(pair, 200)["x"]
    ended = (x == 0).cumsum(1).bool()
    assert x.shape == (200, 3) and not x[ended].any() and len(set(as_text(x, SPEC))) > 3
    z = torch.randn(6, 2)
    mode = pv.sample(pair, 6, given={"z": z}, mean=True)["x"]
    with torch.no_grad():
        logits = pair.model.decoder.eval()(mode, z)
    here = torch.arange(3) < sentences.sentence_lengths(mode).unsqueeze(1)
    assert torch.equal(mode[here], logits.argmax(-1)[here])
    rebuilt = pv.reconstruct(pair, {"x": ["a b", "b"]})
    walk = pv.interpolate(pair, {"x": ["a"]}, {"x": ["b b"]}, 4)
    assert all(
        line.split() == [w for w in line.split() if w in LABELS] for line in as_text(rebuilt, SPEC) + as_text(walk, SPEC)
    )


def test_perplexity_counts_ends_and_divides_totals_by_totals():
    data = lines()
    pair = pv.pairs.sentence_vae(data.spec, latent=False, embedding_dim=4, recurrent_dim=5)
    run = pv.fit(pair, data, epochs=1, progress=False)
    found = pv.evaluate(run, num_samples=1).words
    lengths = data.test["lengths"]
    value = pv.log_evidence(run, data.test, method="exact").value
    assert found["pair"].num_words == int(lengths.sum()) and found["pair"].ends == len(data.test)
    assert found["pair"].corpus == pytest.approx(math.exp(-float(value.double().sum()) / int(lengths.sum())), rel=1e-5)
    assert found["pair"].document == pytest.approx(math.exp(-float((value / lengths).mean())), rel=1e-5)
    assert f"of {int(lengths.sum())} ({len(data.test)} of them ends)" in str(found["pair"])
    train = torch.cat([row[:n] for row, n in zip(data.train["x"], data.train["lengths"], strict=True)])
    log_p = ((torch.bincount(train, minlength=4) + 1).double() / (len(train) + 4)).log()
    test = torch.cat([row[:n] for row, n in zip(data.test["x"], lengths, strict=True)])
    expected = math.exp(-float(log_p[test].mean()))
    assert unigram(data.train, data.test).corpus == pytest.approx(expected)
    assert found["training frequencies"].corpus == pytest.approx(expected)
    with pytest.raises(DataError, match="has no word"):
        perplexity(torch.zeros(2), torch.tensor([1, 0]))


def test_a_run_on_batches_of_like_length_is_resumed_bitwise(tmp_path):
    how = {
        "progress": False,
        "tensorboard": False,
        "compile": False,
        "seed": 3,
        "batch_size": 7,
        "objective": "meanfield:free_bits=1",
    }
    for folder, epochs in (("whole", 2), ("half", 1)):
        data = like_length(lines(), pool=2, multiple=1)
        torch.manual_seed(0)
        pair = pv.pairs.sentence_vae(data.spec, latent_dim=2, embedding_dim=4, recurrent_dim=5, word_dropout=0.5)
        pv.fit(pair, data, epochs=epochs, out=tmp_path / folder, **how)
    pv.resume(tmp_path / "half", data=data, epochs=2, progress=False)
    assert_same(comparable(tmp_path / "half"), comparable(tmp_path / "whole"))
    again = pv.load(tmp_path / "half", data=data)
    assert as_text(data.test["x"], again.data.spec) == as_text(data.test["x"], data.spec)


def test_the_step_as_a_graph_is_the_eager_one():
    data = lines()
    torch.manual_seed(0)
    pair = pv.pairs.sentence_vae(data.spec, latent_dim=2, embedding_dim=4, recurrent_dim=5)
    batch = {"x": data.train[:8]["x"]}
    step, eager = steppers(pair.model, pair.guide, batch, "meanfield")
    assert_same_steps(step, eager, batch)
