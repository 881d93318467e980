"""A sentence behind a sentence: log p(x) and gradients by the sum over all of them, a frozen prior, labels of some rows."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny_pairs import build

import pyrovae as pv
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program
from pyrovae.data import DataSpec, KeySpec
from pyrovae.distributions import Sentences
from pyrovae.errors import ContractError, OptionError
from pyrovae.nets import PointerNetwork
from pyrovae.objectives.objective import Given, as_updates

SPEC = DataSpec("toy", keys={"x": KeySpec((3,), "tokens", size=3), "c": KeySpec((2,), "category", size=3)})
SENTENCES = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]])  # all c of at most two words, V = 3
X = torch.tensor([[1, 2, 0], [2, 1, 2], [1, 0, 0]])


def made(recipe="asc", double=True):
    """A pair far from flat, whose stage is taken as trained."""
    torch.manual_seed(1)
    pair = pv.pairs.get(recipe).build(SPEC, embedding_dim=3, recurrent_dim=4)
    for p in [*pair.model.parameters(), *pair.guide.parameters()]:
        p.data.normal_(0, 0.7)
    if double:
        pair.model.double(), pair.guide.double()
    return pair


def joint(pair, program, x=X):
    """log p(x, c), or log q(c | x), of all c, (7, B)."""
    c = SENTENCES[:, None].expand(7, len(x), 2)
    sites = sample_sites(run_program(program, {"x": x}, 7, replay=latents_trace({"c": c})))
    names = ("c", "x") if program is pair.model else ("c",)
    return sum(sites[name]["fn"].log_prob(c if name == "c" else x).expand(7, len(x)) for name in names)


@pytest.mark.parametrize("recipe", ["asc", "fsc"])
def test_the_sum_over_all_sentences_is_log_p_and_guides_are_distributions(recipe):
    pair = made(recipe)
    log_p, log_q = joint(pair, pair.model), joint(pair, pair.guide)
    torch.testing.assert_close(log_q.exp().sum(0), torch.ones(3).double())
    assert (log_q > -50).all() == (recipe == "fsc")  # a pointer never proposes words that x has not
    exact = torch.where(log_q > -50, log_p, -torch.inf).logsumexp(0).detach()
    found = pv.log_evidence(pair, {"x": X}, num_samples=3000, seed=0)
    torch.testing.assert_close(found.value.double(), exact, rtol=0, atol=float(5 * found.stderr.max() + 1e-3))
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    firsts = torch.tensor([bool(((row == 0).cumsum(0) * row).sum() == 0) for row in every])  # one of each that end alike
    torch.testing.assert_close(joint(pair, pair.model, every[firsts]).exp().sum(), torch.tensor(1.0).double())


@pytest.mark.parametrize(
    "objective",
    ["nvil:num_particles=4000,baseline=average,normalize=false", "vimco:num_particles=2", "elbo:num_particles=4000"],
)
def test_gradients_are_those_of_the_sum_over_all_sentences(objective):
    pair, repeats = made(double="nvil" not in objective), 2000 if "vimco" in objective else 1  # nvil's baselines are single
    x = X[:1]
    log_p, log_q = joint(pair, pair.model, x), joint(pair, pair.guide, x)
    value = (log_q.exp() * (log_p - log_q)).sum()
    if repeats > 1:  # the bound of two draws, over all pairs of them
        weight, q = log_p - log_q, log_q.exp()
        both = torch.logaddexp(weight, weight.T) - torch.tensor(2.0).log()
        value = (q * q.T * both).sum()
    parameters = [pair.guide.pointer.of_state.weight, pair.guide.pointer.embedding.weight, pair.model.decoder.out.weight]
    exact = torch.autograd.grad(value, parameters)
    chosen, found = pv.objectives.get(objective), []
    torch.manual_seed(0)
    for _ in range(12):
        given = Given(pair.model, pair.guide, [{"x": x.repeat(repeats, 1)}])
        if chosen.lacks_networks:
            chosen.build(chosen.trace(given))
        (update,) = [each for yielded in chosen.updates(given) for each in as_updates(yielded)]
        found.append([-g for g in torch.autograd.grad(update.loss, parameters)])
    for number, expected in enumerate(exact):
        draws = torch.stack([each[number] for each in found])
        error = draws.std(0) / 12**0.5
        assert float(((draws.mean(0) - expected).abs() / (error + 1e-6)).max()) < 5.5


def test_a_pointer_writes_the_words_of_its_sentence_alone_and_a_word_that_stands_twice_counts_twice():
    pair = made()
    x = torch.tensor([[1, 1, 0], [2, 0, 1]])
    log_q = joint(pair, pair.guide, x)
    assert log_q.exp()[:, 0][(SENTENCES == 2).any(1)].sum() < 1e-20  # 2 is not in the first
    assert log_q.exp()[:, 1][(SENTENCES == 1).any(1)].sum() < 1e-20  # and 1 comes after the end of the second
    pointer = PointerNetwork(3, 3, 4)
    _, weights = pointer.attend(torch.zeros(1, 2, dtype=torch.int64), pointer.read(x[:1]))
    torch.testing.assert_close(pointer(torch.zeros(1, 2, dtype=torch.int64), x[:1]).exp()[..., 1], weights[..., :2].sum(-1))
    assert (joint(made("fsc"), made("fsc").guide, x).exp() > 1e-6).all()


def test_words_after_the_end_change_nothing_bit_for_bit_and_drawn_sentences_end():
    pair = made(double=False)
    padded = X.clone()
    padded[2, 2] = 2
    for program in (pair.model, pair.guide):
        assert torch.equal(joint(pair, program), joint(pair, program, padded))
    drawn = pv.sample(pair, 50)
    for key in ("x", "c"):
        assert bool((drawn[key] * (drawn[key] == 0).cumsum(1) == 0).all())  # 0 after the first 0
    assert pv.encode(pair, {"x": X})["c"].dtype == torch.int64
    assert pv.reconstruct(pair, {"x": X}, num_samples=3).dtype == torch.int64  # a vote of words, no mean of their numbers


def test_the_language_model_is_trained_first_and_stands_still():
    pair, data = build("asc", "sentences", {"embedding_dim": 4, "recurrent_dim": 4})
    before = pair.model.language.out.bias.clone()
    seen = {}
    run = pv.fit_stages(
        pair, data, epochs=1, progress=False, compile=False, validate=False,
        callbacks=[Note(seen)], stage_options={"epochs": 2, "objective": "elbo"},
    )  # fmt: skip
    assert not torch.equal(seen["language"], before) and torch.equal(run.pair.model.language.out.bias, seen["language"])
    assert next(iter(pv.check(pair.stages[0], data.train[:8]).sites)).name == "unpaired"


class Note(pv.train.Callback):
    def __init__(self, seen):
        self.seen = seen

    def on_fit_start(self, run):
        self.seen["language"] = run.pair.model.language.out.bias.clone()


# ------------------------------------------------------------------------------------------------ labels of some rows
def labelled(base, alpha=0.0, c=((1, 0), (-1, -1))):
    chosen = pv.objectives.get({"name": "semisupervised", "site": "c", "y": "sampled", "alpha": alpha, "base": base})
    return chosen, {"x": X[:2], "c": torch.tensor(c)}


@pytest.mark.parametrize("base", ["elbo", "nvil", "vimco", "rws"])
def test_a_row_whose_sentence_is_known_scores_the_joint_and_another_is_as_it_is(base):
    pair = made(double=False)
    chosen, batch = labelled({"name": base, "num_particles": 3})
    given = Given(pair.model, pair.guide, [batch])
    if chosen.lacks_networks:
        chosen.build(chosen.trace(given))
    torch.manual_seed(3)
    bound = chosen.value(given)
    torch.testing.assert_close(bound[0], joint(pair, pair.model)[1, 0])  # of c = (1, 0), without noise
    traced = chosen.trace(given)
    assert bool((traced.latents["c"][:, 0] == torch.tensor([1, 0])).all()) and traced.log_q["c"][:, 0].abs().max() == 0
    torch.testing.assert_close(chosen.classification(traced)[0], 2 * joint(pair, pair.guide)[1, 0])


def test_few_compressions_stay_and_lead_each_batch():
    data = pv.data.load("grammar-sentences", transforms=[{"name": "few-labels", "num_labels": 200, "keys": ["c"]}])
    known = data.train["c"] >= 0
    assert int(known.all(1).sum()) == 200 and torch.equal(known.any(1), known.all(1))
    assert [len(rows) for rows in data.train.rows] == [200, 3800]
    first = next(iter(data.train.epoch(50, seed=0, epoch=0)))["c"]
    assert bool((first[:5] >= 0).all()) and bool((first[5:] == -1).all()) and bool((data.test["c"] >= 0).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y": "enumerated"}, "site 'c' is a Sentences, which is not enumerated: give y='sampled'"),
        ({"y": "relaxed"}, "which is not relaxed: give y='sampled'"),
        ({"site": "d", "y": "sampled"}, "semisupervised needs d in the batch"),
        ({"site": "x", "y": "sampled"}, "site 'x' is a Sentences of shape"),
    ],
)
def test_treatments_that_no_sentence_has_are_refused(options, message):
    chosen = pv.objectives.get({"name": "semisupervised", "site": "c", **options})
    pair, (_, batch) = made(), labelled("elbo")
    if options.get("site") == "x":
        batch = {"x": X[:2], "c": batch["c"]}
        message = "semisupervised needs a latent site 'x'|site 'x' is"
    with pytest.raises(ContractError, match=message):
        chosen.value(Given(pair.model, pair.guide, [batch]))


def test_a_wake_phase_with_dreams_has_no_labels():
    with pytest.raises(OptionError, match=r"base rws has sleep=0.5, and dreams have no labels"):
        labelled({"name": "rws", "sleep": 0.5})


@pytest.mark.parametrize(
    ("keys", "options", "message"),
    [
        ({"c": KeySpec((2,), "category", size=4)}, {}, "c has 4 words and x has 3"),
        ({}, {}, "short_steps is None, and toy has no key c"),
        ({"c": KeySpec((2,), "category", size=3)}, {"short_steps": 3}, "short_steps is 3, and c of toy has 2 words"),
        ({"c": KeySpec((2,), "real")}, {}, "needs 'c' of kind tokens or category"),
        ({"x": KeySpec((3,), "tokens", size=3, labels=("a", "b", "c"))}, {"short_steps": 2}, "word 0 of 'x' is 'a'"),
        ({"unpaired": KeySpec((2,), "tokens", size=9)}, {"short_steps": 2}, "unpaired has 9 words and x has 3"),
    ],
)
def test_data_of_which_no_pair_is_made_are_refused(keys, options, message):
    spec = DataSpec("toy", keys={"x": KeySpec((3,), "tokens", size=3), **keys})
    with pytest.raises(OptionError, match=message):
        pv.pairs.asc(spec, **options)


def test_without_other_sentences_the_language_model_learns_from_x():
    pair = pv.pairs.asc(DataSpec("toy", keys={"x": KeySpec((3,), "tokens", size=3)}), short_steps=2, recurrent_dim=4)
    assert pair.stages[0].model.key == "x" and pv.sample(pair, 2)["c"].shape == (2, 2)
    assert isinstance(sample_sites(run_program(pair.guide, {"x": X}, 2))["c"]["fn"], Sentences)
