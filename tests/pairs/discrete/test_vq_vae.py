"""The VQ-VAE: its bound by enumeration, its codewords as k-means, its gradient straight through, its state kept."""

from __future__ import annotations

import itertools
import math
import signal

import pytest
import torch
from fits import assert_same, comparable, quiet
from steppers import step_of

import pyrovae as pv
from pyrovae.distributions import Codebook, CodebookPrior, Quantized
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import Given


def made(digits, **options):
    torch.manual_seed(0)
    options = {"num_places": 1, "num_codes": 8, "code_dim": 3, "hidden": [16], **options}
    return pv.pairs.vq_vae(digits.spec, **options)


@pytest.mark.parametrize("options", [{}, {"num_places": 2, "num_codes": 3}, {"num_codes": 3, "num_quantizers": 2}])
def test_the_bound_is_one_term_of_the_sum_over_codewords(digits, options):
    pair, x = made(digits, **options), digits.test["x"][:6]
    book, places = pair.model.codebook, pair.model.num_places
    quantizers, codes, _ = book.codes.shape
    every = torch.tensor(list(itertools.product(range(codes), repeat=places * quantizers))).unflatten(-1, (places, quantizers))
    with torch.no_grad():
        words = book.words(every).unsqueeze(1)  # (M, 1, P, D)
        likelihood = pair.model.likelihood(pair.model.decoder(words.flatten(-2))).log_prob(x)
        terms = likelihood - places * quantizers * math.log(codes)
        truth = terms.logsumexp(0)
        bound = pv.objectives.get("vq").evaluate(pair.model, pair.guide, {"x": x})
        own = book.nearest(pair.guide.encoder(x).unflatten(-1, (places, -1)))
        place = [(every == index).all(-1).all(-1).nonzero().item() for index in own]
    torch.testing.assert_close(bound, terms[place, range(6)])
    assert bool((bound < truth).all())
    found = pv.log_evidence(pair, x, num_samples=3)
    torch.testing.assert_close(found.value.float(), bound)
    assert found.bound == "lower"


def test_codewords_without_memory_are_the_means_of_what_is_nearest():
    torch.manual_seed(0)
    book, encoded = Codebook(5, 2, decay=0.0, restart=0.0), torch.randn(40, 3, 2)
    flat, before = encoded.flatten(0, 1), book.codes[0].clone()
    index = torch.cdist(flat, before).argmin(1)
    assert torch.equal(book.nearest(encoded)[..., 0].flatten(), index)
    after = book.next_state(encoded)[book.codes][0]
    for k in range(5):
        expected = flat[index == k].mean(0) if bool((index == k).any()) else before[k]
        torch.testing.assert_close(after[k], expected)


def test_averages_decay_and_dead_codewords_begin_anew_at_what_is_encoded():
    torch.manual_seed(0)
    book, encoded = Codebook(4, 2, decay=0.9, restart=0.1), torch.randn(50, 1, 2)
    book.codes[0] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [1e3, 1e3]])
    book.counts[0], book.sums[0] = torch.tensor([10.0, 10.0, 10.0, 0.0]), 10 * book.codes[0]
    state, index = book.next_state(encoded), book.nearest(encoded).flatten()
    flat = encoded.flatten(0, 1)
    for k in range(3):
        counts = 0.9 * 10 + 0.1 * int((index == k).sum())
        sums = 0.9 * book.sums[0, k] + 0.1 * flat[index == k].sum(0)
        torch.testing.assert_close(state[book.counts][0, k], torch.tensor(counts))
        torch.testing.assert_close(state[book.codes][0, k], sums / counts)
    assert bool((state[book.codes][0, 3] == flat).all(1).any()) and float(state[book.counts][0, 3]) == 50 / 4


def test_the_encoder_gets_the_decoders_gradient_at_the_codeword_and_its_commitment(digits):
    pair, batch = made(digits), digits.train[torch.arange(10)]
    objective = pv.objectives.get("vq:beta=0.5")
    traced = objective.trace(Given(pair.model, pair.guide, [batch]))
    fn = traced.guide_sites["z"]["fn"]
    encoded, word = fn._own, pair.model.codebook.words(pair.model.codebook.nearest(fn._own))
    torch.testing.assert_close(traced.latents["z"][0], word)
    (ours,) = torch.autograd.grad(objective.terms(traced).surrogate.sum(), encoded)
    at = word.clone().requires_grad_()
    likelihood = pair.model.likelihood(pair.model.decoder(at.flatten(-2))).log_prob(batch["x"]).sum()
    (theirs,) = torch.autograd.grad(likelihood, at)
    torch.testing.assert_close(ours, theirs - 0.5 * 2 * (encoded - word))


@pytest.mark.parametrize("quantizers", [1, 2])
def test_a_traced_step_is_the_eager_one_codewords_too(digits, quantizers):
    results = []
    for backend in ("eager", "graph"):
        pair, batch = made(digits, num_places=2, num_quantizers=quantizers), digits.train[torch.arange(50)]
        step, bounds = step_of(pair, batch, None, backend, lr=1e-2), []
        for seed in range(4):
            torch.manual_seed(seed)
            bounds.append(float(step(batch)))
        results.append((bounds, pair.state_dict()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    assert any(name.endswith("codebook.codes") for name in results[0][1])
    for name, value in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], value, rtol=1e-4, atol=1e-5)


def test_a_run_that_was_ended_resumes_bitwise_and_learns(digits, tmp_path):
    class Stopped(pv.train.Callback):
        def on_step_end(self, run, step, bound):
            if step == 9 and not ended:
                ended.append(step)
                signal.raise_signal(signal.SIGTERM)

    ended: list[int] = []
    options = {"num_places": 4, "num_codes": 8}
    whole = quiet(made(digits, **options), digits, epochs=8, batch_size=200, lr=3e-3, out=tmp_path / "whole")
    part = quiet(
        made(digits, **options), digits, epochs=8, batch_size=200, lr=3e-3, out=tmp_path / "part", callbacks=[Stopped()]
    )
    assert part.unfinished
    pv.resume(tmp_path / "part", callbacks=[], progress=False)
    assert_same(comparable(tmp_path / "part"), comparable(tmp_path / "whole"))
    assert whole.records[-1]["valid"] > whole.records[0]["valid"] + 1
    index = whole.model.codebook.nearest(whole.guide.encoder(digits.train["x"]).unflatten(-1, (4, -1)))
    assert len(index.unique()) >= 6  # of 8: no collapse
    assert pv.evaluate(whole, digits.test[:20], num_samples=2).to_json()["latent_dims"] == {"z": 4 * 3}
    drawn = pv.sample(whole, 5)["z"]
    assert torch.cdist(drawn.flatten(0, 1), whole.model.codebook.codes[0]).min(1).values.max() < 1e-3


def test_what_it_cannot_do_is_refused(digits):
    with pytest.raises(ContractError, match="is for guides whose site is drawn from a codebook.* none of z is; use 'elbo'"):
        pv.fit(pv.pairs.vae(digits.spec, latent_dim=2), digits, "vq", steps=1, progress=False)
    with pytest.raises(OptionError, match="decay is 1.0; expected a number from 0 to below 1"):
        made(digits, decay=1.0)
    pair, x = made(digits), digits.test[:3]
    for method in ("ais", "smc", "bridge"):
        with pytest.raises(ContractError, match="z"):
            pv.log_evidence(pair, x, method)
    with pytest.raises(ContractError, match="z"):
        pv.gaps(pair, x, num_samples=2)


def test_the_prior_draws_each_codeword_alike():
    torch.manual_seed(0)
    prior = CodebookPrior(Codebook(4, 2), 3).expand([6000])
    index = prior.codebook.nearest(prior.sample())[..., 0]
    counts = torch.stack([(index == k).float().mean(0) for k in range(4)])
    assert (counts - 0.25).abs().max() < 4 * (0.25 * 0.75 / 6000) ** 0.5
    assert float(prior.log_prob(prior.sample())[0]) == pytest.approx(-3 * math.log(4))
    assert Quantized(prior.codebook, torch.zeros(2, 3, 2)).expand([5, 2]).rsample().shape == (5, 2, 3, 2)
