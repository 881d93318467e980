"""The pair without latents: every bound is log p(x), lengths end it, and what it cannot take is refused."""

from __future__ import annotations

import pytest
import torch

import pyrovae as pv
from pyrovae.errors import OptionError

STEPS = pv.data.DataSpec("steps", (5, 4), "binary", keys={"lengths": pv.data.KeySpec((), "count")})
X = torch.bernoulli(torch.full((3, 5, 4), 0.4), generator=torch.Generator().manual_seed(0))


def test_every_bound_is_the_exact_log_p(digits):
    torch.manual_seed(0)
    pair = pv.pairs.autoregressive(digits.spec, hidden=[20])
    batch = digits.train[:6]
    exact = pv.log_evidence(pair, batch, "exact").value
    torch.testing.assert_close(pv.log_evidence(pair, batch, num_samples=3).value, exact, atol=1e-4, rtol=0)
    for name in ("elbo", "meanfield", "iwae:num_particles=3"):
        with torch.no_grad():
            bound = pv.objectives.get(name).evaluate(pair.model, pair.guide, batch)
        torch.testing.assert_close(bound.double(), exact, atol=1e-4, rtol=0)


def test_it_starts_at_the_mean_of_the_data_and_learns_more(digits):
    torch.manual_seed(0)
    pair = pv.pairs.autoregressive(digits.spec, hidden=[50])
    mean = digits.train[:]["x"].mean(0).clamp(1e-3, 1 - 1e-3)
    independent = torch.distributions.Bernoulli(mean).log_prob(digits.test[:]["x"]).sum((1, 2)).mean()
    run = pv.fit(pair, digits, epochs=12, lr=1e-2, progress=False, compile=False)
    assert float(pv.log_evidence(run, digits.test, "exact").value.mean()) > float(independent) + 2


def test_steps_end_at_their_lengths():
    torch.manual_seed(0)
    pair, lengths = pv.pairs.autoregressive(STEPS, network="recurrent", hidden=[7]), torch.tensor([5, 2, 4])
    values = pv.log_evidence(pair, {"x": X, "lengths": lengths}, "exact").value
    pv.check(pair, {"x": X, "lengths": lengths})
    changed = torch.where((torch.arange(5) < lengths.unsqueeze(1)).unsqueeze(-1), X, 1 - X)
    assert torch.equal(pv.log_evidence(pair, {"x": changed, "lengths": lengths}, "exact").value, values)
    drawn = pv.sample(pair, 3, like={"lengths": lengths})["x"]
    assert not drawn[1, 2:].any() and not drawn[2, 4:].any() and drawn[0].any()


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (
            STEPS,
            {"network": "made"},
            "network 'made' has no steps to end at lengths, which steps has; use",
        ),
        (
            STEPS,
            {"network": "recurrent", "hidden": [3, 4]},
            r"came with hidden=\[3, 4\] for x of shape \(5, 4\)",
        ),
        (pv.data.DataSpec("grey", (4, 4), "unit"), {}, "does not score unit data"),
    ],
)
def test_what_it_cannot_take_is_refused(spec, options, message):
    with pytest.raises(OptionError, match=message):
        pv.pairs.autoregressive(spec, **options)
