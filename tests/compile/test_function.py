"""Functions of evaluation, traced: the numbers of eager ones."""

from __future__ import annotations

import exact
import pytest
import torch
from fits import small

import pyrovae as pv
from pyrovae.compile import Code, compile_function
from pyrovae.core.trace import trace_pair
from pyrovae.evidence.annealing import path_from
from pyrovae.evidence.hmc import at
from pyrovae.evidence.move import transition
from pyrovae.evidence.target import Target

pytestmark = pytest.mark.usefixtures("interpreted")


def test_log_weights_compile():
    pair = exact.PAIRS["sigmoid-decoder 2d"]()

    def log_weight(batch):
        return trace_pair(pair.model, pair.guide, batch, 7).log_weight

    values = []
    for function in (log_weight, compile_function(log_weight, pair.batch)):
        torch.manual_seed(0)
        values.append(function(pair.batch).detach())
    torch.testing.assert_close(*values)
    assert function is not log_weight


def test_compiled_evidence_is_the_eager_one(digits):
    pair = small(digits)
    data = digits.test.subset(torch.arange(25))
    eager, compiled, rounded = (
        pv.log_evidence(pair, data, num_samples=40, batch_size=10, max_rows=200, compile=compile, precision=p)
        for compile, p in ((False, "float32"), (True, "float32"), (True, "bf16"))
    )
    torch.testing.assert_close(compiled.value, eager.value, atol=1e-4, rtol=1e-5)  # a short last batch, too
    assert 0 < (rounded.value - eager.value).abs().max() < 0.5 and abs(rounded.mean - eager.mean) < 0.1


@pytest.mark.parametrize(("name", "start"), [("chain wrong", "guide"), ("gaussian-mixture enumerated", "prior")])
def test_compiled_transitions_of_hmc_are_the_eager_ones(name, start, caplog):
    """Several sites, sites summed out; for two batches and two numbers of chains. (Whole chains amplify rounding.)"""
    caplog.set_level("INFO", "pyrovae")
    pair, code = exact.PAIRS[name](), Code()
    for rows, chains in ((slice(0, 2), 5), (slice(0, 2), 3), (slice(2, 4), 5)):
        target = Target(pair.model, pair.guide, {key: value[rows] for key, value in pair.batch.items()})
        path = path_from(target, start)
        u = target.draw(chains, start).detach()
        state = (at(path, u), torch.tensor([0.3, 0.7]), torch.tensor([0.5, 0.2]), torch.ones(2, u.shape[-1]))
        results, passes = [], []
        for kept in (None, code):
            torch.manual_seed(0)
            before = target.passes
            point, acceptance = transition(target, path, start, 3, kept, (5, 3))(*state)
            results.append((*point, acceptance, torch.rand(1)))  # and the next random number
            passes.append(target.passes - before)
        torch.testing.assert_close(results[1], results[0], atol=1e-4, rtol=1e-4)
        assert passes == [3 * chains] * 2
    assert "not compiled" not in caplog.text and caplog.text.count("compiled in") == 2
