"""Answers selected with a latent question: log p(label) by quadrature, ranks without the label, mean average precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

import pyrovae as pv
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program
from pyrovae.data import DataSpec, KeySpec
from pyrovae.data.grammars import answer_rows, answer_words
from pyrovae.errors import ContractError, DataError, OptionError
from pyrovae.evaluation import mean_average_precision, relevance
from pyrovae.nets import loc_and_scale

KEYS = {"x": KeySpec((), "binary"), "question": KeySpec((2,), "tokens", size=5), "answer": KeySpec((3,), "tokens", size=5)}
SPEC = DataSpec("asked", keys=KEYS)
BATCH = {
    "x": torch.tensor([1.0, 0.0, 1.0]),
    "question": torch.tensor([[1, 0], [2, 3], [4, 0]]),
    "answer": torch.tensor([[1, 2, 0], [3, 0, 0], [4, 4, 4]]),
}


def made(**options):
    torch.manual_seed(0)
    pair = pv.pairs.nasm(SPEC, latent_dim=1, embedding_dim=3, recurrent_dim=4, **options)
    for p in [*pair.model.parameters(), *pair.guide.parameters()]:
        p.data.normal_(0, 1.0)
    return pair


@torch.no_grad()
def quadrature(pair, batch):
    """log p(x | question, answer), (B,)."""
    prior = Normal(*loc_and_scale(pair.model.prior(pair.model.encoder(batch["question"])[1])))
    steps = torch.linspace(-9, 9, 2001).reshape(-1, 1, 1)
    h = prior.loc + steps * prior.scale
    scores = sample_sites(run_program(pair.model, batch, 2001, replay=latents_trace({"h": h})))["x"]["fn"].log_prob(batch["x"])
    return (scores + Normal(0, 1).log_prob(steps[..., 0])).logsumexp(0) + math.log(18 / 2000)


def test_log_p_of_the_label_is_that_of_quadrature_and_so_is_relevance():
    pair = made()
    exact = quadrature(pair, BATCH)
    found = pv.log_evidence(pair, BATCH, num_samples=4000, seed=0, defensive=0.2)
    torch.testing.assert_close(found.value.double(), exact.double(), rtol=0, atol=float(5 * found.stderr.max() + 1e-3))
    ones = quadrature(pair, {**BATCH, "x": torch.ones(3)}).exp()
    torch.manual_seed(0)
    torch.testing.assert_close(relevance(pair, BATCH, 20_000), ones, rtol=0, atol=0.02)
    torch.testing.assert_close(
        ones + quadrature(pair, {**BATCH, "x": torch.zeros(3)}).exp(), torch.ones(3), rtol=1e-4, atol=1e-4
    )


def test_relevance_does_not_see_the_label():
    pair = made()
    found = []
    for x in (BATCH["x"], 1 - BATCH["x"]):
        torch.manual_seed(0)
        found.append(relevance(pair, {**BATCH, "x": x}, 5))
    assert torch.equal(*found)
    with pytest.raises(ContractError, match="relevance is of a site x that is one bit a row"):
        relevance(pv.pairs.vae(DataSpec("toy", (4,), "binary"), latent_dim=2, hidden=[3]), torch.zeros(5, 4))


def test_words_after_an_answers_end_change_nothing_bit_for_bit_and_have_no_weight():
    pair, other = made(), {**BATCH, "answer": BATCH["answer"].clone(), "question": BATCH["question"].clone()}
    other["answer"][1] = torch.tensor([3, 0, 4])
    for seed in range(2):
        torch.manual_seed(seed)
        one = pv.objectives.get("meanfield").value(pv.objectives.Given(pair.model, pair.guide, [BATCH]))
        torch.manual_seed(seed)
        assert torch.equal(one, pv.objectives.get("meanfield").value(pv.objectives.Given(pair.model, pair.guide, [other])))
    states, _ = pair.model.encoder(BATCH["answer"])
    weights = pair.model.attention(states, torch.zeros(3, 1), pair.model.encoder.here(BATCH["answer"]))
    assert weights[1, 2] == 0 and bool((weights[2] > 0).all())
    torch.testing.assert_close(weights.sum(-1), torch.ones(3))


def test_without_a_latent_log_p_is_exact():
    pair = made(latent=False)
    found = pv.log_evidence(pair, BATCH, "exact").value
    p = relevance(pair, BATCH, 2).to(found.dtype)
    torch.testing.assert_close(found, torch.where(BATCH["x"] == 1, p, 1 - p).log())


def test_mean_average_precision_by_hand():
    scores, group = torch.tensor([0.9, 0.5, 0.1, 0.3, 0.8, 0.2]), torch.tensor([7, 7, 7, 2, 2, 4])
    relevant = torch.tensor([0, 1, 1, 1, 0, 0])
    assert mean_average_precision(scores, relevant, group) == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1 / 2) / 2)
    assert mean_average_precision(relevant.float(), relevant, group) == 1
    tied = mean_average_precision(torch.zeros(3), torch.tensor([1, 0, 0]), torch.zeros(3))
    assert tied == pytest.approx(1 / 3)  # the least favourable order
    with pytest.raises(DataError, match="no answer is relevant"):
        mean_average_precision(scores, torch.zeros(6), group)
    with pytest.raises(DataError, match="score 1 is not finite"):
        mean_average_precision(torch.tensor([1.0, torch.nan]), torch.ones(2), torch.zeros(2))
    with pytest.raises(DataError, match=r"expected \(N,\) each"):
        mean_average_precision(scores[:2], relevant, group)


def test_an_answer_is_relevant_where_it_names_the_topic_and_says_what_is_asked():
    rows, words = answer_rows(40), answer_words()
    from pyrovae.data.grammars import ASKED, NOUNS, NUM_TOPICS

    for question, answer, relevant in zip(rows["question"], rows["answer"], rows["x"], strict=True):
        asked, *rest = [words[word] for word in question if word]
        said = {words[word] for word in answer if word}
        topic = next(word for word in rest if word in NOUNS[-NUM_TOPICS:])
        assert relevant == (topic in said and bool(said & set(ASKED[asked])))
    assert all(1 <= rows["x"][rows["group"] == number].sum() <= 2 for number in range(40))


def test_two_vocabularies_are_refused():
    with pytest.raises(OptionError, match="question has 5 words and answer another number"):
        pv.pairs.nasm(DataSpec("asked", keys={**KEYS, "answer": KeySpec((3,), "tokens", size=6)}))
