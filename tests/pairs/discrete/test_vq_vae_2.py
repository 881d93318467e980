"""The VQ-VAE-2: its bound by enumeration of both grids, each grid's codewords as k-means, its learned priors, its state."""

from __future__ import annotations

import itertools
import math
import signal

import pytest
import torch
from fits import assert_same, comparable, quiet
from steppers import step_of

import pyrovae as pv
from pyrovae.distributions import CodebookPrior
from pyrovae.errors import ContractError, OptionError
from pyrovae.evaluation.codes import code_use
from pyrovae.objectives import Given


def made(spec, **options):
    torch.manual_seed(0)
    options = {"num_codes": 3, "code_dim": 2, "channels": [4], **options}
    return pv.pairs.vq_vae_2(spec, **options)


def small(**options):
    """Images of 4 x 4: grids of 2 x 2 and of one place, 243 values of all codewords together."""
    return made(pv.data.DataSpec("toy", (4, 4), "binary", mean=torch.full((4, 4), 0.4)), **options)


def numbers_of(site):
    return site["fn"].codebook.nearest(site["fn"].encoded)[0]


@pytest.mark.parametrize("prior", ["uniform", "recurrent", "convolution"])
def test_the_bound_is_one_term_of_the_sum_over_codewords_of_both_grids(prior):
    pair = small(prior=prior)
    model, x = pair.model, torch.bernoulli(torch.full((5, 4, 4), 0.4))
    (bottom, top), places = model.codebooks, model.num_places
    assert places == (4, 1)
    every = torch.tensor(list(itertools.product(range(3), repeat=5))).unsqueeze(-1)  # the top's number, then the bottom's
    with torch.no_grad():
        z2, z1 = top.words(every[:, :1]), bottom.words(every[:, 1:])
        mass = -5 * math.log(3) * torch.ones(243)
        if prior != "uniform":
            mass = CodebookPrior(top, 1, network=model.top_prior).log_prob(z2)
            assert float(mass.reshape(3, 81)[:, 0].logsumexp(0)) == pytest.approx(0, abs=1e-5)
            below = CodebookPrior(bottom, 4, network=model.bottom_prior, context=z2.flatten(-2)).log_prob(z1)
            torch.testing.assert_close(below.reshape(3, 81).logsumexp(1), torch.zeros(3))  # normalized whatever is above
            assert float(below.reshape(3, 81).std(0).max()) > 1e-4  # and of what is above
            mass = mass + below
        likelihood = model.likelihood(model.decoder(z1.flatten(-2), z2.flatten(-2)).unsqueeze(1)).log_prob(x)
        terms = likelihood + mass.unsqueeze(1)
        traced = pv.objectives.get("elbo").trace(Given(model, pair.guide, [{"x": x}]))
        own = torch.cat([numbers_of(traced.guide_sites[name]) for name in ("z2", "z1")], 1)
        place = [(every == index).all(-1).all(-1).nonzero().item() for index in own]
        bound = pv.objectives.get("elbo").evaluate(model, pair.guide, {"x": x})
    torch.testing.assert_close(bound, terms[place, range(5)])
    assert bool((bound < terms.logsumexp(0)).all())
    found = pv.log_evidence(pair, x, num_samples=2)
    torch.testing.assert_close(found.value.float(), bound)
    assert found.bound == "lower"


def test_draws_of_the_bottom_are_those_of_its_prior_given_the_top():
    model = small(prior="convolution").model
    (bottom, top), _ = model.codebooks, model.num_places
    every = torch.tensor(list(itertools.product(range(3), repeat=4))).unsqueeze(-1)
    with torch.no_grad():
        model.bottom_prior.out.weight.mul_(4)
        above = top.codes[0]  # each codeword as a datum's
        prior = CodebookPrior(bottom, 4, network=model.bottom_prior, context=above)
        mass = prior.log_prob(bottom.words(every).unsqueeze(1)).exp()  # (81, 3)
        drawn = bottom.nearest(prior.sample(torch.Size([4000])))[..., 0]
    weights = 3 ** torch.arange(3, -1, -1)
    for k in range(3):
        counts = (drawn[:, k] * weights).sum(-1).bincount(minlength=81) / 4000
        z = (counts - mass[:, k]) / (mass[:, k] * (1 - mass[:, k]) / 4000).sqrt()
        assert float(z.abs().max()) < 4.5


def test_each_grids_codewords_without_memory_are_the_means_of_what_is_nearest():
    pair = small(decay=0.0, restart=0.0)
    batch = {"x": torch.bernoulli(torch.full((40, 4, 4), 0.4))}
    objective = pv.objectives.get("vq")
    traced = objective.trace(Given(pair.model, pair.guide, [batch]))
    state = traced.next_state()
    for name, book in zip(("z1", "z2"), pair.model.codebooks, strict=True):
        flat = traced.guide_sites[name]["fn"].encoded.detach().flatten(0, -2)
        index = torch.cdist(flat, book.codes[0]).argmin(1)
        assert state[book.counts][0].tolist() == index.bincount(minlength=3).tolist()
        for k in range(3):
            expected = flat[index == k].mean(0) if bool((index == k).any()) else book.codes[0, k]
            torch.testing.assert_close(state[book.codes][0, k], expected)


def test_the_commitments_of_both_grids_are_weighed_and_the_top_gets_the_gradient_of_both():
    pair, x = small(), torch.bernoulli(torch.full((6, 4, 4), 0.4))
    objective = pv.objectives.get("vq:beta=0.5")
    traced = objective.trace(Given(pair.model, pair.guide, [{"x": x}]))
    terms = objective.terms(traced)
    distance = torch.zeros(6)
    for name, book in zip(("z1", "z2"), pair.model.codebooks, strict=True):
        encoded = traced.guide_sites[name]["fn"].encoded[0] if name == "z1" else traced.guide_sites[name]["fn"]._own
        distance = distance + (encoded - book.words(book.nearest(encoded))).square().sum((-2, -1))
    torch.testing.assert_close(terms.surrogate, terms.bound - 0.5 * distance)
    above = traced.guide_sites["z2"]["fn"]._own
    (ours,) = torch.autograd.grad(terms.surrogate.sum(), above, retain_graph=True)
    word = traced.latents["z2"][0].detach().requires_grad_()  # by hand: the decoder and the bottom's encoder at the codeword
    bottom, top = pair.model.codebooks
    encoded = pair.guide.bottom(pair.guide.encoder(x).detach(), word.flatten(-2)).unflatten(-1, (4, -1))
    nearest = bottom.words(bottom.nearest(encoded))
    z1 = encoded + (nearest - encoded).detach()
    value = pair.model.likelihood(pair.model.decoder(z1.flatten(-2), word.flatten(-2))).log_prob(x).sum()
    value = value - 0.5 * (encoded - nearest.detach()).square().sum()
    (theirs,) = torch.autograd.grad(value, word)
    torch.testing.assert_close(ours, theirs - 0.5 * 2 * (above - top.words(top.nearest(above))))


def test_a_traced_step_is_the_eager_one_codewords_of_both_grids_too(digits):
    results = []
    for backend in ("eager", "graph"):
        pair, batch = made(digits.spec), digits.train[torch.arange(50)]
        step, bounds = step_of(pair, batch, None, backend, lr=1e-2), []
        for seed in range(3):
            torch.manual_seed(seed)
            bounds.append(float(step(batch)))
        results.append((bounds, pair.state_dict()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    start = made(digits.spec).state_dict()
    moved = [name for name, value in results[0][1].items() if name.endswith(".codes") and not torch.equal(value, start[name])]
    assert {name.rpartition("codebooks.")[2] for name in moved} == {"0.codes", "1.codes"}
    for name, value in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], value, rtol=1e-4, atol=1e-5)


def test_a_run_that_was_ended_resumes_bitwise_and_both_grids_use_their_codewords(digits, tmp_path):
    class Stopped(pv.train.Callback):
        def on_step_end(self, run, step, bound):
            if step == 9 and not ended:
                ended.append(step)
                signal.raise_signal(signal.SIGTERM)

    ended: list[int] = []
    options, how = {"num_codes": 8, "channels": [8]}, {"epochs": 6, "batch_size": 200, "lr": 5e-3}
    whole = quiet(made(digits.spec, **options), digits, **how, out=tmp_path / "whole")
    part = quiet(made(digits.spec, **options), digits, **how, out=tmp_path / "part", callbacks=[Stopped()])
    assert part.unfinished
    pv.resume(tmp_path / "part", callbacks=[], progress=False)
    assert_same(comparable(tmp_path / "part"), comparable(tmp_path / "whole"))
    assert whole.records[-1]["valid"] > whole.records[0]["valid"] + 1
    used = code_use(pv.load(tmp_path / "whole"), digits.train)
    assert [int(counts.sum()) for counts in used.values()] == [4 * len(digits.train), 16 * len(digits.train)]
    assert all(int((counts > 0).sum()) >= 5 for counts in used.values()), used


def test_the_second_stage_learns_both_priors_and_leaves_the_first_bit_for_bit_alone(digits, tmp_path):
    pair = made(digits.spec, num_codes=4, prior="convolution", prior_hidden=8)
    first = pair.stages[0]
    how = {"epochs": 2, "lr": 2e-2, "seed": 0, "progress": False, "stage_options": {"epochs": 1}}
    run = pv.fit_stages(pair, digits, **how, out=tmp_path / "run")
    kept = pv.load(tmp_path / "run-stage-1").pair.state_dict()
    for name, value in first.state_dict().items():
        assert torch.equal(value, kept[name]), name
    found = pv.evaluate(pv.load(tmp_path / "run"), digits.test[:100], num_samples=1)
    uniform = {"z2": 4 * math.log(4), "z1": 16 * math.log(4)}
    assert all(found.kl[name].total < uniform[name] - 0.1 for name in uniform)
    assert found.evidence.elbo.mean() == pytest.approx(found.evidence.mean, abs=1e-4)
    assert {name: tuple(value.shape[1:]) for name, value in pv.sample(run, 2).items()} == {
        "z2": (4, 2), "z1": (16, 2), "x": (8, 8)
    }  # fmt: skip


def test_what_it_cannot_do_is_refused(digits):
    with pytest.raises(OptionError, match="convolutional networks need images"):
        made(pv.data.DataSpec("toy", (4,), "binary"))
    with pytest.raises(OptionError, match="2 quantizers, whose sums do not tell their numbers"):
        pv.check(made(digits.spec, num_quantizers=2, prior="convolution"), digits)
    with pytest.raises(OptionError, match="prior_hidden is 5, and the uniform prior has no network"):
        made(digits.spec, prior_hidden=5)
    with pytest.raises(ContractError, match="z"):
        pv.log_evidence(made(digits.spec), digits.test[:3], "ais")
