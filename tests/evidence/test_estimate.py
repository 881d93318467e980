"""log p(x) by importance sampling against closed forms."""

from __future__ import annotations

import math

import exact
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import pyrovae as pv
from pyrovae.errors import ContractError, NonFiniteError, OptionError
from pyrovae.evidence.weights import import_arviz


@pytest.mark.parametrize("name", exact.PAIRS)
def test_estimates_agree_with_exact_log_p_within_their_error(name):
    pair = exact.PAIRS[name]()
    truth = pair.log_evidence().detach()
    evidence = pv.log_evidence(pair, pair.batch, num_samples=4000)
    if pair.tight:
        torch.testing.assert_close(evidence.value.float(), truth.float(), rtol=1e-4, atol=1e-4)
        assert evidence.stderr.max() < 1e-4 and evidence.ess.min() > 3999
    elif "narrow" not in name:  # whose weights have infinite variance: the next test
        z = (evidence.value - truth) / evidence.stderr
        assert z.abs().max() < 4.5 and evidence.stderr.max() < 0.5
    assert evidence.mean == pytest.approx(float(evidence.value.mean()))


def repeated(name, repeats, num_samples):
    """Values and errors of a pair's estimates, (repeats, N) of independent runs at once, and log p(x), (N,)."""
    pair = exact.PAIRS[name]()
    options = {"num_samples": num_samples, "batch_size": 10**4, "max_rows": 2 * 10**6}
    evidence = pv.log_evidence(pair, pair.batch["x"].repeat(repeats, 1), **options)
    shape = repeats, len(pair.batch["x"])
    return evidence.value.reshape(shape), evidence.stderr.reshape(shape), pair.log_evidence().detach().double()


def test_a_lower_bound_in_expectation_and_standard_errors_that_cover():
    """Over 200 runs: E[L_K] <= log p(x); the stated 95% interval of L_1000 covers log p(x) about 95% of the time."""
    few, _, truth = repeated("sigmoid-decoder 1d", 200, 3)
    assert ((few.mean(0) - truth) < 3 * few.std(0) / 200**0.5).all() and (few.mean(0) < truth - 0.01).any()
    values, errors, _ = repeated("sigmoid-decoder 1d", 200, 1000)
    covered = ((values - truth).abs() < 1.96 * errors).double().mean()
    assert 0.92 < covered < 0.98
    torch.testing.assert_close(values.std(0), errors.mean(0), rtol=0.25, atol=0)


def test_error_falls_as_one_over_root_k():
    ks, errors = (30, 300, 3000), []
    for k in ks:
        values, _, truth = repeated("linear-gaussian 2x4 wrong", 30, k)
        errors.append((values - truth).square().mean().sqrt())
    slope = float((errors[2] / errors[0]).log() / math.log(ks[2] / ks[0]))
    assert -0.6 < slope < -0.4


def test_exactly_k_samples_whatever_the_chunks():
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    drawn = []
    pv.check(pair, pair.batch)  # which finds out, once, how the programs take particles
    weighed = lambda m, a, out: drawn.append(out.shape[0] * out.shape[1]) if out.dim() == 3 else None  # noqa: E731
    pair.model.decoder.register_forward_hook(weighed)
    one = pv.log_evidence(pair, pair.batch, num_samples=37, batch_size=3, max_rows=16)
    assert sum(drawn[1:]) == 37 * 8 and len(one) == 8 and max(drawn) <= 16  # the first is the check of the pair
    other = pv.log_evidence(pair, pair.batch, num_samples=37, batch_size=8, seed=1)
    error = (one.stderr.square() + other.stderr.square()).sqrt()
    assert ((one.value - other.value).abs() < 5 * error).all()


def test_streamed_weights_equal_direct_formulas():
    from pyrovae.evidence.weights import Weights

    log_w = 40 * torch.randn(50, 6, dtype=torch.float64) - 1000
    weights = Weights(6, torch.device("cpu"), most=50)
    for chunk in log_w.split([1, 20, 29]):
        weights.add(chunk)
    value, stderr, ess, elbo = (weights.columns()[name] for name in ("value", "stderr", "ess", "elbo"))
    w = (log_w - log_w.amax(0)).exp()
    torch.testing.assert_close(value, log_w.logsumexp(0) - torch.tensor(50.0).log().double())
    torch.testing.assert_close(stderr, w.std(0) / 50**0.5 / w.mean(0))
    torch.testing.assert_close(ess, w.sum(0).square() / w.square().sum(0))
    torch.testing.assert_close(elbo, log_w.mean(0))


def test_pareto_k_and_smoothing_are_arvizs_of_all_weights_though_only_the_largest_are_kept():
    arviz = import_arviz()

    from pyrovae.evidence.weights import Weights, tail_length

    generator = torch.Generator().manual_seed(0)
    for count in (60, 999, 100_000):
        scale = torch.tensor([0.3, 1.0, 2.5, 5.0], dtype=torch.float64)
        log_w = scale * torch.randn(count, 4, generator=generator, dtype=torch.float64) - 800
        weights = Weights(4, torch.device("cpu"), most=count)
        for chunk in log_w.split(7919):
            weights.add(chunk)
        assert weights.largest.shape == (tail_length(count) + 1, 4)  # all that is kept of 100,000
        columns = weights.columns(psis=True)
        with np.errstate(over="ignore"):
            smooth, khat = arviz.psislw(log_w.T.numpy())
        torch.testing.assert_close(columns["khat"], torch.tensor(khat), rtol=1e-6, atol=1e-6)
        # ArviZ's weights sum to 1: their unnormalized sum is that of the weights that smoothing leaves alone, scaled
        body = log_w.argmin(0)
        scale_by = log_w.gather(0, body.unsqueeze(0))[0] - torch.tensor(smooth).T.gather(0, body.unsqueeze(0))[0]
        torch.testing.assert_close(
            columns["value"], scale_by - torch.tensor(float(count)).log().double(), rtol=1e-8, atol=1e-6
        )
        torch.testing.assert_close(columns["ess"], 1 / torch.tensor(smooth).exp().square().sum(1), rtol=1e-5, atol=1e-6)


def test_heavy_tails_are_flagged_and_smoothing_a_defensive_mixture_and_the_exact_guide_are_not():
    """A guide of a third of the posterior's scale, whose weights have k = 1 - 1/9."""
    pair = exact.PAIRS["linear-gaussian 2x4 narrow"]()
    truth = pair.log_evidence().detach().double()
    x = pair.batch["x"].repeat(60, 1)
    options = {"num_samples": 400, "batch_size": 1000, "max_rows": 10**6}
    plain, smooth, mixed = (pv.log_evidence(pair, x, **options, **more) for more in ({}, {"psis": True}, {"defensive": 0.2}))
    assert plain.khat.mean() > 0.7 and len(plain.heavy) > 200 and plain.khat[plain.heavy[0]] == plain.khat.max()
    for part in (f"k-hat > 0.7 for {len(plain.heavy)} of 420 data", "defensive=0.1", "method='ais'"):
        assert part in repr(plain)
    errors = [((e.value.reshape(60, 7) - truth).exp() - 1).square().mean().sqrt() for e in (plain, smooth, mixed)]
    assert errors[2] < 0.3 * errors[0] and errors[1] < 0.9 * errors[0]
    assert (plain.bound, smooth.bound, mixed.bound) == ("lower", "estimate", "lower")
    assert len(mixed.heavy) < 0.2 * len(plain.heavy) and mixed.khat.mean() < 0.5
    covered = ((mixed.value.reshape(60, 7) - truth).abs() < 1.96 * mixed.stderr.reshape(60, 7)).double().mean()
    assert 0.9 < covered < 0.99
    tight = exact.PAIRS["linear-gaussian 3x5 exact"]()
    even = pv.log_evidence(tight, tight.batch, num_samples=400)
    assert even.warning is None and not (even.khat > 0.7).any()


@pytest.mark.parametrize(
    "name", ["sigmoid-decoder 2d", "gamma-poisson log-normal", "gaussian-mixture enumerated", "linear-gaussian 2x4 narrow"]
)
def test_a_defensive_mixture_draws_exactly_k_and_is_unbiased(name):
    pair = exact.PAIRS[name]()
    truth = pair.log_evidence().detach().double()
    options = {"num_samples": 37, "defensive": 0.3, "max_rows": 50, "batch_size": 4}
    evidence = pv.log_evidence(pair, pair.batch, **options)
    assert (evidence.num_weights == 37).all() and evidence.elbo.isnan().all()  # the mixture's bound is not the guide's
    x = pair.batch["x"].repeat(300, 1)
    options = {"num_samples": 37, "defensive": 0.3, "max_rows": 10**6, "batch_size": 10**4}
    weight = (pv.log_evidence(pair, x, **options).value.reshape(300, -1) - truth).exp()
    assert ((weight.mean(0) - 1) / (weight.std(0) / 300**0.5)).abs().max() < 4


def test_a_target_error_adds_samples_where_they_are_needed():
    pair = exact.PAIRS["linear-gaussian 2x4 wrong"]()
    truth = pair.log_evidence().detach().double()
    first = pv.log_evidence(pair, pair.batch, num_samples=100)
    goal = float(first.stderr.median())
    options = {"num_samples": 100, "target_error": goal, "batch_size": 3}
    evidence = pv.log_evidence(pair, pair.batch, **options)
    assert (evidence.stderr <= goal).all() and (evidence.num_weights % 100 == 0).all()
    assert evidence.num_weights.min() == 100 < evidence.num_weights.max() == evidence.num_samples
    assert (((evidence.value - truth) / evidence.stderr).abs() < 4.5).all()
    capped = pv.log_evidence(pair, pair.batch, num_samples=100, target_error=1e-9, max_samples=250)
    assert (capped.num_weights == 250).all()
    ten = pv.log_evidence(pair, pair.batch["x"].repeat(200, 1), num_samples=100, target_error=goal)
    covered = ((ten.value.reshape(200, 7) - truth).abs() < 1.96 * ten.stderr.reshape(200, 7)).double().mean()
    assert 0.9 < covered < 0.98


def test_deterministic_under_a_seed_and_leaves_modes_and_random_state():
    pair = exact.PAIRS["sigmoid-decoder 1d"]()
    pair.model.train()
    before = torch.get_rng_state()
    one, two = (pv.log_evidence(pair, pair.batch, num_samples=20, seed=4).value for _ in range(2))
    assert torch.equal(one, two) and torch.equal(before, torch.get_rng_state()) and pair.model.training
    assert not torch.equal(one, pv.log_evidence(pair, pair.batch, num_samples=20, seed=5).value)


def test_any_kind_of_data_gives_the_same_and_short_batches_weigh_what_they_hold():
    pair = exact.PAIRS["linear-gaussian 3x5 exact"]()
    x = pair.batch["x"]
    truth = pair.log_evidence().detach()
    for data in (x, x.numpy(), {"x": x}, TensorDataset(x), DataLoader(TensorDataset(x), batch_size=3)):
        evidence = pv.log_evidence(pair, data, num_samples=2, batch_size=4)
        torch.testing.assert_close(evidence.value.float(), truth, rtol=1e-4, atol=1e-4)
        assert evidence.mean == pytest.approx(float(truth.mean()), rel=1e-4)
        assert evidence.mean_stderr == pytest.approx(float(truth.std() / len(x) ** 0.5), rel=1e-3)


def test_energies_bad_supports_and_bad_options_are_refused():
    digits = pv.data.load("digits", binarization="none")
    energy = pv.pairs.vae(digits.spec, likelihood="bernoulli-grey")
    with pytest.raises(ContractError, match="site 'x' is an energy"):
        pv.log_evidence(energy, digits.test)
    pair = exact.PAIRS["sigmoid-decoder 1d"]()
    with pytest.raises(OptionError, match="num_samples is 0; expected a whole number of at least 1"):
        pv.log_evidence(pair, pair.batch, num_samples=0)
    with pytest.raises(OptionError, match="no method is called 'magic'"):
        pv.log_evidence(pair, pair.batch, method="magic")
    for options, message in (
        ({"num_sample": 3}, "no option of method importance is called 'num_sample'; did you mean 'num_samples'"),
        ({"method": "ais", "num_samples": 3}, "no option of method ais is called 'num_samples'"),
        ({"method": "ais", "path": "sigmoid"}, "no path is called 'sigmoid'; did you mean 'sigmoidal'"),
        ({"method": "ais", "acceptance": 2}, "acceptance is 2; expected a rate between 0 and 1"),
        ({"defensive": 1.0}, "defensive is 1.0; expected the prior's share"),
        ({"target_error": 0}, "target_error is 0"),
        ({"max_samples": 10**6}, "max_samples is given without target_error"),
        ({"max_rows": 0}, "max_rows is 0; expected a whole number of at least 1"),
    ):
        with pytest.raises(OptionError, match=message):
            pv.log_evidence(pair, pair.batch, **options)

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Uniform(torch.zeros(1), torch.ones(1)).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x.sqrt(), 0.1).to_event(1))

    with pytest.raises(NonFiniteError, match="all 10 weights of datum 2 are zero") as failed:
        pv.log_evidence((model, guide), torch.tensor([[0.25], [0.3], [81.0]]), num_samples=10, batch_size=2)
    assert len(failed.value.partial) == 2 and failed.value.partial.value.isfinite().all()  # the batch before is kept
    with pytest.raises(NonFiniteError, match="site 'z' of the guide is nan at row 1"):
        pv.log_evidence((model, guide), torch.tensor([[0.25], [-1.0]]), num_samples=3)
    with pytest.raises(NonFiniteError, match="is nan at row 0 of the batch.*The batch begins with datum 1"):
        pv.log_evidence((model, guide), torch.tensor([[0.25], [-1.0]]), num_samples=3, batch_size=1)


def test_repr_and_json():
    pair = exact.PAIRS["linear-gaussian 3x5 exact"]()
    evidence = pv.log_evidence(pair, pair.batch, num_samples=2)
    assert "nats per datum" in repr(evidence) and "7 data x 2 samples" in repr(evidence)
    assert evidence.to_json()["num_samples"] == 2
