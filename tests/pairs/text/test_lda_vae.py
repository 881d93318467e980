"""Documents as bags of words: densities by hand and by quadrature, both perplexities, coherence of topics."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Dirichlet, Normal

import pyrovae as pv
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program
from pyrovae.data import DataSpec, KeySpec
from pyrovae.errors import ContractError, DataError, OptionError
from pyrovae.evaluation import npmi, perplexity, top_words, unigram

WORDS = ("ape", "bee", "cat", "dog", "eel")
SPEC = DataSpec("zoo", keys={"x": KeySpec((5,), "count", labels=WORDS)})
X = torch.tensor([[3, 0, 1, 0, 0], [0, 2, 0, 5, 1], [1, 1, 1, 1, 1]])


def sharp(pair):
    """A decoder that is far from flat."""
    torch.manual_seed(2)
    for parameter in pair.model.decoder.parameters():
        parameter.data.normal_(0, 1.5)
    return pair


def words_given(pair, latents):
    replay = latents_trace(latents)
    num = len(next(iter(latents.values())))
    return sample_sites(run_program(pair.model, {"x": X}, num, replay=replay))["x"]["fn"]


def test_without_a_latent_it_is_the_unigram_model_and_the_coefficient_is_all_that_multinomial_adds():
    pair, other = (pv.pairs.nvdm(SPEC, latent_dim=1, hidden=[4], likelihood=name) for name in ("bag-of-words", "multinomial"))
    logits = torch.randn(5)
    for each in (pair, other):
        each.model.decoder.mlp[-1].weight.data.zero_()
        each.model.decoder.mlp[-1].bias.data.copy_(logits)
    z = {"z": torch.randn(2, 3, 1)}
    found = words_given(pair, z).log_prob(X)
    torch.testing.assert_close(found, (X * logits.log_softmax(0)).sum(-1).expand(2, 3))
    coefficient = torch.lgamma(X.sum(-1) + 1.0) - torch.lgamma(X + 1.0).sum(-1)
    torch.testing.assert_close(words_given(other, z).log_prob(X) - found, coefficient.expand(2, 3))
    drawn = pv.sample(pair, 500)["x"]
    assert drawn.dtype == torch.int64 or bool((drawn == drawn.round()).all())
    assert "log p(words | their number)" in str(pv.evaluate(pair, {"x": X}, num_samples=2))


@torch.no_grad()
def test_log_p_of_nvdm_is_that_of_quadrature():
    pair = sharp(pv.pairs.nvdm(SPEC, latent_dim=1, hidden=[4]))
    grid = torch.linspace(-8, 8, 1601)
    scores = words_given(pair, {"z": grid.reshape(-1, 1, 1).expand(1601, 3, 1)}).log_prob(X)
    exact = (scores + Normal(0, 1).log_prob(grid)[:, None]).logsumexp(0) + math.log(0.01)
    found = pv.log_evidence(pair, {"x": X}, num_samples=4000, defensive=0.2, seed=0)
    torch.testing.assert_close(found.value.double(), exact.double(), rtol=0, atol=float(5 * found.stderr.max() + 1e-3))


@torch.no_grad()
def test_log_p_of_lda_under_a_dirichlet_is_that_of_quadrature():
    pair = sharp(pv.pairs.lda_vae(SPEC, num_topics=2, concentration=2.0, prior="dirichlet", hidden=[4]))
    share = (torch.arange(2000) + 0.5) / 2000
    theta = torch.stack([share, 1 - share], -1)
    topics = pair.model.decoder.topics().exp()
    by_hand = (X[None] * (theta @ topics).log()[:, None]).sum(-1)
    fn = words_given(pair, {"z": theta[:, None].expand(2000, 3, 2)})
    torch.testing.assert_close(fn.log_prob(X), by_hand, atol=1e-4, rtol=1e-4)
    density = Dirichlet(torch.full((2,), 2.0)).log_prob(theta)
    exact = (by_hand + density[:, None]).logsumexp(0) - math.log(2000)
    found = pv.log_evidence(pair, {"x": X}, num_samples=4000, defensive=0.5, seed=0)
    torch.testing.assert_close(found.value.double(), exact.double(), rtol=0, atol=float(5 * found.stderr.max() + 2e-3))


def test_the_laplace_approximation_has_the_mean_and_variance_of_the_paper():
    alpha = torch.full((3,), 0.5)  # S_kk = (1 - 2/K) / a_k + (1/K^2) sum_j 1 / a_j
    expected = (1 - 2 / 3) / alpha + (1 / alpha).sum() / 9
    pair = pv.pairs.prod_lda(SPEC, num_topics=3, concentration=0.5, hidden=[4])
    prior = sample_sites(run_program(pair.model, {"x": X}, 1))["z"]["fn"]
    torch.testing.assert_close(prior.variance[..., :].reshape(-1, 3)[0], expected)
    assert prior.mean.abs().max() == 0


def test_a_product_of_experts_weighs_logits_and_a_mixture_probabilities():
    product = sharp(pv.pairs.prod_lda(SPEC, num_topics=2, batch_norm=False, hidden=[4])).model.decoder
    theta = torch.tensor([[0.25, 0.75]])
    torch.testing.assert_close(product(theta)[0, 0], 0.25 * product.weight[0] + 0.75 * product.weight[1] + product.bias)
    mixture = sharp(pv.pairs.lda_vae(SPEC, num_topics=2, hidden=[4])).model.decoder
    half = mixture.topics().exp()
    torch.testing.assert_close(mixture(theta)[0, 0].exp(), 0.25 * half[0] + 0.75 * half[1])
    torch.testing.assert_close(half.sum(-1), torch.ones(2))


def test_batch_norm_of_words_shifts_and_does_not_scale():
    """In training by the batch's own moments, in evaluation by their averages: documents do not see each other there."""
    pair = sharp(pv.pairs.prod_lda(SPEC, num_topics=2, hidden=[4]))
    decoder, theta = pair.model.decoder, torch.rand(2, 30, 2).softmax(-1)
    decoder.norm.weight.data.fill_(1.0)
    h = theta @ decoder.weight
    flat = h.flatten(0, -2)
    by_hand = (h - flat.mean(0)) / (flat.var(0, unbiased=False) + 1e-5).sqrt() + decoder.norm.bias
    torch.testing.assert_close(decoder.train()(theta).squeeze(-2), by_hand, rtol=1e-4, atol=1e-4)
    assert not decoder.norm.weight.requires_grad
    one, all_of_them = decoder.eval()(theta[:1, :1]), decoder(theta)[:1, :1]
    torch.testing.assert_close(one, all_of_them)


def test_both_perplexities_and_that_of_frequencies():
    found = perplexity(torch.tensor([-6.0, -8.0]), torch.tensor([2, 8]))
    assert found.corpus == pytest.approx(math.exp(14 / 10)) and found.document == pytest.approx(math.exp((3 + 1) / 2))
    assert found.num_words == 10
    train, test = (pv.data.as_split({"x": torch.tensor(rows)}) for rows in ([[3, 1], [0, 2]], [[2, 1]]))
    nats = 2 * math.log(4 / 8) + math.log(4 / 8)  # one added to 3 and 3
    assert unigram(train, test).corpus == pytest.approx(math.exp(-nats / 3))
    with pytest.raises(DataError, match="document 1 has no word"):
        perplexity(torch.tensor([-1.0, 0.0]), torch.tensor([1, 0]))
    with pytest.raises(DataError, match="expected"):
        perplexity(torch.zeros(3), torch.ones(2))


def test_words_that_occur_together_are_coherent():
    documents = torch.tensor([[1, 1, 0, 0], [2, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 3]])
    found = npmi(torch.tensor([[0, 1], [1, 2], [0, 3]]), documents)
    both = math.log((1 / 4) / (1 / 2 * 1 / 2)) / -math.log(1 / 4)  # of words 1 and 2: one document of four
    torch.testing.assert_close(found, torch.tensor([1.0, both, -1.0]))
    with pytest.raises(DataError, match="two at least"):
        npmi(torch.tensor([[0], [1]]), documents)


def test_topics_are_named_by_the_words_of_the_data():
    pair = pv.pairs.prod_lda(SPEC, num_topics=2, hidden=[4])
    pair.model.decoder.weight.data = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0, 0.0]])
    assert top_words(pair, 2, SPEC) == [["eel", "dog"], ["ape", "bee"]]
    assert top_words(pair, 1) == [["4"], ["0"]]
    assert len(top_words(pv.pairs.nvdm(SPEC, latent_dim=3, hidden=[4]), 2, SPEC)) == 3
    with pytest.raises(OptionError, match="num is 6"):
        top_words(pair, 6)
    with pytest.raises(ContractError, match="no topics"):
        top_words(pv.pairs.vae(DataSpec("digits", (2, 2), "binary"), latent_dim=2, hidden=[3]))
    with pytest.raises(DataError, match="4 labels came for 5 counts"):
        KeySpec((5,), "count", labels=WORDS[:4])


def test_a_topic_model_refuses_what_scores_no_words_and_an_encoder_without_layers():
    for recipe in (pv.pairs.lda_vae, pv.pairs.prod_lda):
        with pytest.raises(OptionError, match="likelihood 'poisson' scores each count by itself"):
            recipe(SPEC, num_topics=2, hidden=[4], likelihood="poisson")
        with pytest.raises(OptionError, match="one layer at least"):
            recipe(SPEC, num_topics=2, hidden=[])


def test_a_document_without_a_word_counts_in_no_perplexity():
    pair = pv.pairs.nvdm(SPEC, latent_dim=1, hidden=[4])
    empty = torch.cat([X, torch.zeros_like(X[:1])])
    found = pv.evaluate(pair, {"x": empty}, num_samples=20, seed=0)
    assert found.evidence.value[-1] == 0 and found.words["pair"].num_words == int(X.sum())
    some = perplexity(found.evidence.value[:-1], X)
    assert found.words["pair"].corpus == pytest.approx(some.corpus)
    assert not pv.evaluate(pair, {"x": torch.zeros_like(X)}, num_samples=2).words
    train, test = (pv.data.as_split({"x": rows}) for rows in (X, empty))
    assert unigram(train, test).document == pytest.approx(unigram(train, train).document)
