"""The discrete VAE in whole: steps, chains and parameters kept over a kill, what is logged and what is refused."""

from __future__ import annotations

import pytest
import torch
from fits import assert_same, comparable

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.errors import OptionError
from pyrovae.objectives import Given


def made(digits, **options):
    torch.manual_seed(0)
    sizes = {"num_bits": 8, "latent_dim": 2, "num_chains": 100, "num_sweeps": 2}
    return pv.pairs.discrete_vae(digits.spec, **{**sizes, **options})


def test_runs_resume_bitwise_with_a_warmup_of_the_kl(digits, tmp_path):
    for name, epochs in (("one", [2]), ("two", [1, 2])):
        pair = made(digits)
        options = {"lr": 5e-3, "batch_size": 300, "kl_warmup": 2, "compile": False, "progress": False}
        run = pv.fit(pair, digits, epochs=epochs[0], out=tmp_path / name, **options)
        for more in epochs[1:]:
            run = pv.resume(tmp_path / name, epochs=more, progress=False)
    assert_same(comparable(tmp_path / "one"), comparable(tmp_path / "two"))
    assert 0 < run.records[0]["beta"] < run.records[1]["beta"] == 1
    assert run.records[-1]["valid"] > run.records[0]["valid"]


def test_the_logged_bound_is_the_elbo_of_the_pair_as_it_is(digits):
    pair, x = made(digits), digits.test["x"][:3]
    with torch.no_grad():
        for p in pair.model.machine.parameters():
            p.copy_(0.8 * torch.randn_like(p))
    pair.model.eval()
    with torch.no_grad():
        objective = pv.objectives.get("smoothed:num_particles=4000")
        ours = objective.terms(objective.trace(Given(pair.model, pair.guide, [{"x": x}])))
        traced = trace_pair(pair.model, pair.guide, {"x": x}, 4000)  # z drawn, r in both programs
    errors = traced.log_weight.std(0) / 4000**0.5
    assert bool(torch.isfinite(traced.log_weight).all())
    assert bool(((ours.bound - traced.log_weight.mean(0)).abs() < 6 * errors).all())
    z, zeta = traced.latents["z"], torch.cat([traced.latents["zeta1"], traced.latents["zeta2"]], -1)
    assert torch.equal(z, (zeta > 0).float())
    drawn = pv.sample(pair, 5)
    assert torch.equal(drawn["z"], (torch.cat([drawn["zeta1"], drawn["zeta2"]], -1) > 0).float())


def test_odd_bits_are_refused(digits):
    with pytest.raises(OptionError, match="num_bits is 7; expected an even number"):
        made(digits, num_bits=7)
