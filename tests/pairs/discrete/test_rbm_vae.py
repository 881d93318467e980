"""The VAE of bits with a Boltzmann machine as prior: KL and log p(x) by enumeration, chains kept over a kill."""

from __future__ import annotations

import pytest
import torch
from fits import assert_same, comparable

import pyrovae as pv
from pyrovae.distributions import RBM
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import Given


def made(digits, num_bits=6, **options):
    torch.manual_seed(0)
    pair = pv.pairs.rbm_vae(digits.spec, num_bits=num_bits, num_chains=200, num_sweeps=3, **options)
    with torch.no_grad():
        for p in pair.model.machine.parameters():
            p.copy_(0.8 * torch.randn_like(p))
    return pair


def test_the_closed_kl_and_log_p_are_those_of_all_values(digits):
    pair, x = made(digits), digits.test["x"][:4]
    pair.model.eval()
    prior = RBM(pair.model.machine)
    bits = prior.enumerate_support(expand=False)
    with torch.no_grad():
        log_prior, logits = prior.log_prob(bits), pair.guide.encoder(x)
        assert float(log_prior.logsumexp(0)) == pytest.approx(0, abs=1e-4)
        log_q = torch.distributions.Bernoulli(logits=logits).log_prob(bits.unsqueeze(1)).sum(-1)
        likelihood = pair.model.likelihood(pair.model.decoder(2 * bits - 1).unsqueeze(1)).log_prob(x)
        kl = (log_q.exp() * (log_q - log_prior.unsqueeze(1))).sum(0)
        truth = (likelihood + log_prior.unsqueeze(1)).logsumexp(0)
    objective = pv.objectives.get("gumbel-kl")
    traced = objective.trace(Given(pair.model, pair.guide, [{"x": x}]))
    torch.testing.assert_close(objective.kl(traced, "z")[0], kl, rtol=1e-4, atol=1e-4)
    found = pv.log_evidence(pair, x, num_samples=5000, seed=0)
    assert bool(((found.value - truth).abs() < 5 * found.stderr + 1e-3).all())


def test_training_moves_the_chains_and_resumes_bitwise(digits, tmp_path):
    for name, epochs in (("one", [4]), ("two", [2, 4])):
        pair = made(digits, num_bits=8)
        chains = pair.model.machine.chains.clone()
        run = pv.fit(pair, digits, epochs=epochs[0], lr=5e-3, batch_size=200, out=tmp_path / name, progress=False)
        for more in epochs[1:]:
            run = pv.resume(tmp_path / name, epochs=more, progress=False)
        assert not torch.equal(run.model.machine.chains, chains)
    assert_same(comparable(tmp_path / "one"), comparable(tmp_path / "two"))
    assert run.records[-1]["valid"] > run.records[0]["valid"]


def test_what_it_does_not_serve_is_refused(digits):
    with pytest.raises(OptionError, match="num_bits is 7; expected an even number"):
        made(digits, num_bits=7)
    with pytest.raises(ContractError, match="site 'z' is a RBM, of which estimator 'concrete' knows no soft value"):
        pv.fit(made(digits), digits, "elbo:estimator=concrete", steps=1, progress=False)
