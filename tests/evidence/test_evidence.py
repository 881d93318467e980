"""What an estimate of log p(x) looks like, how it resumes, the gaps of a guide, the command line."""

from __future__ import annotations

import json
import math

import exact
import pytest
import torch
import walks

import pyrovae as pv
from pyrovae.cli import main
from pyrovae.errors import OptionError, RunError
from pyrovae.evidence import METHODS, ais, annealing, bdmc, gaps
from pyrovae.evidence.importance import Importance
from pyrovae.evidence.weights import import_arviz

QUICK = {
    "importance": {"num_samples": 50},
    "ais": {"num_chains": 4, "num_distributions": 5},
    "smc": {"num_chains": 4, "num_distributions": 5},
    "bridge": {"num_chains": 4, "num_draws": 5, "num_warmup": 5, "num_steps": 5},
    "exact": {},
    "fivo": {"num_samples": 4, "num_filters": 3},
}


def sigmoid_decoder():
    pair = exact.PAIRS["sigmoid-decoder 1d"]()
    return pair.pair, pair.batch


@pytest.mark.parametrize("method", METHODS)
def test_every_method_prints_plots_and_exports(method, tmp_path):
    pair, batch = (walks.walk(), {"x": walks.draw(8, 3)}) if method == "fivo" else sigmoid_decoder()
    before = torch.get_rng_state()
    evidence = pv.log_evidence(pair, batch, method=method, batch_size=3, **QUICK[method])
    assert torch.equal(before, torch.get_rng_state()) and pair.model.training
    for part in ("log p(x) = ", "nats per datum", method, "8 data"):
        assert part in repr(evidence)
    assert ("acceptance" in repr(evidence)) == (method in ("ais", "smc", "bridge"))
    figures = json.loads(json.dumps(evidence.to_json(), allow_nan=False))
    assert figures["mean"] == pytest.approx(evidence.mean) and figures["options"]["seed"] == 0
    assert figures["bound"] == {"exact": "exact", "bridge": "estimate"}.get(method, "lower")
    assert evidence.plot().axes[0].get_ylabel() == "log p(x) (nats)"
    evidence.to_arviz().to_netcdf(str(tmp_path / "evidence.nc"))
    group = import_arviz().from_netcdf(str(tmp_path / "evidence.nc"))["evidence"]
    assert group["value"].shape == (8,) and group.attrs["method"] == method
    torch.testing.assert_close(torch.tensor(group["value"].values), evidence.value)


def test_the_error_of_the_mean_counts_data_and_monte_carlo():
    """Over 300 repeats on fresh data: the stated 95% interval of the mean covers E_x[log p(x)] about 95% of the time."""
    pair = exact.PAIRS["linear-gaussian 2x4 wrong"]()
    factors = pair.model.factor_analysis
    with torch.no_grad():
        marginal = torch.distributions.LowRankMultivariateNormal(factors.loc, factors.weight, factors.scale.square())
        truth = -marginal.entropy()
        x = marginal.sample((300 * 40,))
    evidence = pv.log_evidence(pair, x, num_samples=300, batch_size=2000, max_rows=10**6)
    covered = []
    for rows in torch.arange(len(x)).split(40):
        value, stderr = evidence.value[rows], evidence.stderr[rows]
        part = type(evidence)(*(getattr(evidence, name)[rows] for name in list(vars(evidence))[:10]))
        assert part.mean_mc_stderr == pytest.approx(float(stderr.square().sum().sqrt() / 40))
        assert part.mean_stderr == pytest.approx(float(value.std() / 40**0.5)) and part.mean_stderr > part.mean_mc_stderr
        covered.append(abs(part.mean - truth) < 1.96 * part.mean_stderr)
    assert 0.91 < torch.stack(covered).double().mean() < 0.98


@pytest.mark.parametrize("method", ["importance", "ais"])
def test_an_interrupted_estimate_continues_to_the_same_numbers(method, tmp_path, monkeypatch):
    pair = exact.PAIRS["sigmoid-decoder 1d"]()
    options = {"method": method, "batch_size": 3, **QUICK[method]}
    whole = pv.log_evidence(pair, pair.batch, **options)
    estimate, calls = METHODS[method].estimate, []

    def interrupted(self, job):
        calls.append(job.first)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return estimate(self, job)

    monkeypatch.setattr(METHODS[method], "estimate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pv.log_evidence(pair, pair.batch, checkpoint=tmp_path / "c.safetensors", **options)
    resumed = pv.log_evidence(pair, pair.batch, checkpoint=tmp_path / "c.safetensors", **options)
    assert calls == [0, 3, 6, 6] and torch.equal(resumed.value, whole.value) and torch.equal(resumed.stderr, whole.stderr)
    pv.log_evidence(pair, pair.batch, checkpoint=tmp_path / "c.safetensors", **options)
    assert len(calls) == 4  # all was done
    with pytest.raises(RunError, match="is of seed=0, not 1; give another path"):
        pv.log_evidence(pair, pair.batch, seed=1, checkpoint=tmp_path / "c.safetensors", **options)
    with torch.no_grad():
        pair.model.decoder.bias += 1
    with pytest.raises(RunError, match="another pair or other data"):
        pv.log_evidence(pair, pair.batch, checkpoint=tmp_path / "c.safetensors", **options)
    with pytest.raises(RunError, match="cannot write"):
        pv.log_evidence(pair, pair.batch, checkpoint=tmp_path / "none" / "c.safetensors", **options)


@pytest.mark.parametrize(("method", "compile"), [("ais", False), ("smc", False), ("bdmc", False), ("bdmc", True)])
def test_chains_broken_off_within_a_batch_continue_to_the_same_numbers(method, compile, tmp_path, monkeypatch, interpreted):
    """Every step is written; chains stop in the second group (or on the way back), and again, and end where they would."""
    pair = exact.PAIRS["sigmoid-decoder 1d"]()
    options = {"num_chains": 6, "num_distributions": 6, "max_rows": 5000 if method == "smc" else 4, "compile": compile}
    # max_rows of 4: two groups a datum
    transition, counts, most = ais.transition, [], 10**6

    def counted(*args):
        move = transition(*args)

        def step(*state):
            if counts[-1] == most:
                raise KeyboardInterrupt
            counts[-1] += 1
            return move(*state)

        return step

    def estimate(checkpoint=None):
        counts.append(0)
        x = pair.batch["x"][:2]
        if method == "bdmc":
            found = bdmc(pair, 2, like={"x": x[:1]}, checkpoint=checkpoint, **options)
            return torch.stack([found.lower.value, found.upper])
        return pv.log_evidence(pair, x, method=method, checkpoint=checkpoint, **options).value

    monkeypatch.setattr(ais, "transition", counted)
    monkeypatch.setattr("pyrovae.evidence.keeper.SAVE_EVERY_SECONDS", 0.0)
    for name, few in (("WARMUP_TRANSITIONS", 4), ("MIN_PILOT_TEMPERATURES", 6)):
        monkeypatch.setattr(annealing, name, few)
    whole, pilot = estimate(), annealing.WARMUP_TRANSITIONS + annealing.MIN_PILOT_TEMPERATURES + 1
    for stop in (counts[0] - 2, pilot + 1):  # with two transitions to go; with one
        most = stop
        with pytest.raises(KeyboardInterrupt):
            estimate(tmp_path / "c.safetensors")
    most = 10**6
    assert torch.equal(estimate(tmp_path / "c.safetensors"), whole) and counts[-1] == pilot + 1


def test_too_little_memory_says_what_to_do_and_keeps_what_was_done(monkeypatch):
    pair = exact.PAIRS["sigmoid-decoder 1d"]()
    estimate = Importance.estimate

    def starved(self, job):
        if job.first:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried 8e12 bytes."
            )
        return estimate(self, job)

    monkeypatch.setattr(Importance, "estimate", starved)
    with pytest.raises(OptionError, match="memory is too small for a pass of max_rows=5000.*smaller max_rows") as failed:
        pv.log_evidence(pair, pair.batch, batch_size=5, num_samples=10)
    assert len(failed.value.partial) == 5


def test_memory_does_not_grow_with_k():
    """100,000 samples of a datum in passes of at most 5,000 rows."""
    pair = exact.PAIRS["sigmoid-decoder 1d"]()
    sizes = []
    pv.check(pair, pair.batch)  # which finds out, once, how the programs take particles
    # checks run without particles, or with one
    pair.model.decoder.register_forward_hook(lambda m, a, out: sizes.append(out.shape[:-1]))
    evidence = pv.log_evidence(pair, {"x": pair.batch["x"][:2]}, num_samples=100_000)
    sizes = [shape.numel() for shape in sizes if len(shape) == 2 and shape[0] > 1]
    assert max(sizes) <= 5000 and sum(sizes) == 200_000 and evidence.num_samples == 100_000
    truth = pair.log_evidence().detach()[:2]
    assert ((evidence.value - truth) / evidence.stderr).abs().max() < 4.5 and evidence.stderr.max() < 0.01


# ------------------------------------------------------------------------------------------------ gaps
def test_gaps_are_those_of_a_gaussian_posterior():
    """p(z | x) = N(m, P^-1): the best diagonal Gaussian has precision diag P, and loses (sum log P_ii - log |P|) / 2."""
    pair = exact.PAIRS["linear-gaussian 2x4 wrong"]()
    truth = pair.log_evidence().detach().double()
    _, tril = pair.model.factor_analysis.posterior(pair.batch["x"])
    precision = torch.cholesky_inverse(tril).detach().double()
    approximation = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    found = gaps(pair, pair.batch, num_samples=4000, ais={"num_chains": 16, "num_distributions": 30})
    best = torch.full((7,), float(approximation), dtype=torch.float64)
    torch.testing.assert_close(truth - found.refined.elbo, best, rtol=0, atol=0.06)
    total = truth - found.importance.elbo
    torch.testing.assert_close(found.approximation + found.amortization, total, rtol=0, atol=0.1)
    assert found.amortization.min() > 0
    rows = found.rows()
    assert rows["inference gap"][0] == pytest.approx(rows["approximation gap"][0] + rows["amortization gap"][0])
    assert "amortization gap" in repr(found) and json.dumps(found.to_json(), allow_nan=False)
    assert len(found.plot("train", {"test": found}).axes[0].get_xticks()) == 2


def test_a_refined_gaussian_repairs_a_narrow_guide():
    pair = exact.PAIRS["linear-gaussian 2x4 narrow"]()
    truth = pair.log_evidence().detach().double()
    found = gaps(pair, pair.batch, num_samples=500, ais={"num_chains": 16, "num_distributions": 50})
    assert found.best.mean >= max(found.importance.mean, found.ais.mean)
    assert (found.best.value - truth).abs().max() < 0.5 and found.amortization.mean() > 0.5
    assert found.refined.elbo.mean() < truth.mean() < found.refined.elbo.mean() + 0.2


# ------------------------------------------------------------------------------------------------ the command line
def test_the_command_line_estimates_by_any_method(digits, grey, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pv.fit(pv.pairs.linear_gaussian(grey.spec, latent_dim=2), digits, epochs=1, out="run")
    for method in ("ais --num_chains 3 --num_distributions 4 --start prior", "importance --psis true", "exact"):
        assert main(f"evaluate run --num_samples 30 --seed 3 --method {method}".split()) == 0, capsys.readouterr().err
        figures = json.loads((tmp_path / "run" / "evaluation.json").read_text())
        assert figures["method"] == method.split()[0] and math.isfinite(figures["elbo"]) and figures["seed"] == 3
        assert method.split()[0] in capsys.readouterr().out
    assert figures["log_evidence"] == pytest.approx(figures["elbo"], abs=0.01)  # the guide is exact
    for wrong, message in (
        ("--method magic", "no method is called 'magic'"),
        ("--method exact --num_chains 3", "no option of method exact is called 'num_chains'"),
        ("--method ais --num_chains few", "--num_chains is few; expected a whole number"),
    ):
        assert main(f"evaluate run --num_samples 30 {wrong}".split()) == 2
        assert message in capsys.readouterr().err
