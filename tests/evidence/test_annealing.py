"""AIS, SMC, BDMC and bridge sampling against closed forms: bias, side, coverage, rates."""

from __future__ import annotations

import math

import exact
import pyro
import pyro.distributions as dist
import pytest
import torch

import pyrovae as pv
from pyrovae.errors import ContractError, NonFiniteError, OptionError
from pyrovae.evidence import AIS, bdmc
from pyrovae.evidence.annealing import anneal, path_from, temperatures
from pyrovae.evidence.bridge import meng_wong
from pyrovae.evidence.hmc import at, hmc
from pyrovae.evidence.target import Target

CONTINUOUS = [name for name in exact.PAIRS if "bernoulli-mixture" not in name]
HARD = [
    "sigmoid-decoder 2d",
    "gamma-poisson log-normal",
    "chain wrong",
    "gaussian-mixture enumerated",
    "gaussian-mixture summed",
]
SHORT = {"num_distributions": 30, "num_leapfrog": 3}
ONE_PASS = {"batch_size": 10**4, "max_rows": 10**7}


def repeated(name, repeats, rows=2, **options):
    """Estimates of the first rows' log p(x), many times at once as so many data: values and errors, (repeats, rows)."""
    pair = exact.PAIRS[name]()
    truth = pair.log_evidence().detach()[:rows].double()
    x = pair.batch["x"][:rows].repeat(repeats, *[1] * (pair.batch["x"].dim() - 1))
    evidence = pv.log_evidence(pair, x, **{**ONE_PASS, **options})
    return evidence.value.reshape(repeats, rows), evidence.stderr.reshape(repeats, rows), truth, evidence


def z_score(values, truth):
    """How many standard errors the mean over repeats is above the truth, worst row."""
    return (values.mean(0) - truth) / (values.std(0) / len(values) ** 0.5)


# ------------------------------------------------------------------------------------------------ the densities
# where plain importance sampling's weights have a variance
FINITE = [(n, s) for n in exact.PAIRS for s in ("prior", "guide") if "narrow" not in n and ("10x30" not in n or s == "guide")]


@pytest.mark.parametrize(("name", "start"), FINITE)
def test_target_densities_are_those_of_the_pair_in_the_unconstrained_space(name, start):
    """E_f0[p(x, u) / f0(u)] = p(x): Jacobians, several sites, event shapes and sums over discrete sites all enter."""
    pair = exact.PAIRS[name]()
    with torch.no_grad():
        target = Target(pair.model, pair.guide, pair.batch)
        density = target.densities(target.draw(5000, start), guide=True)
    log_weight = density.likelihood + (density.prior - density.guide if start == "guide" else 0.0)
    weight = (log_weight.double() - pair.log_evidence()).detach().exp()
    error = weight.std(0) / len(weight) ** 0.5
    assert ((weight.mean(0) - 1).abs() < 4.5 * error + 1e-5).all()


def test_hmc_leaves_the_posterior_as_it_is():
    """Exact posterior draws stay posterior draws: mean and covariance after 20 transitions of large steps."""
    pair = exact.PAIRS["linear-gaussian 3x5 exact"]()
    x = pair.batch["x"][:2]
    with torch.no_grad():
        target = Target(pair.model, pair.guide, {"x": x})
        loc, tril = pair.model.factor_analysis.posterior(x)
        path, one = path_from(target, "prior"), torch.ones(2)
        point, rates = at(path, target.draw(20_000, "guide")), []
        for _ in range(20):
            point, accepted = hmc(path, point, one, 0.9 * one, torch.full((2, 3), 0.5), 3)
            rates.append(accepted.mean())
        assert 0.3 < torch.stack(rates).mean() < 0.95
        covariance = tril @ tril.T
        error = (covariance.diagonal() / 20_000).sqrt()
        assert ((point.u.mean(0) - loc).abs() < 5 * error).all()
        torch.testing.assert_close(torch.cov(point.u[:, 0].T), covariance, atol=0.03, rtol=0.05)
        again = at(path, point.u)  # the density and gradient that travel with a point are those at the point
        for kept, fresh in zip(point, again, strict=True):
            torch.testing.assert_close(kept, fresh, rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------------------------------------ AIS and SMC
@pytest.mark.parametrize("start", ["prior", "guide"])
@pytest.mark.parametrize("name", [name for name in CONTINUOUS if name not in HARD])
def test_ais_agrees_with_exact_log_p_within_its_error(name, start):
    pair = exact.PAIRS[name]()
    truth = pair.log_evidence().detach().double()
    evidence = pv.log_evidence(pair, pair.batch, method="ais", num_chains=64, start=start, **SHORT)
    assert evidence.bound == "lower" and evidence.method == "ais"
    if pair.tight and start == "guide":
        torch.testing.assert_close(evidence.value, truth, rtol=1e-4, atol=1e-4)
    else:
        assert ((evidence.value - truth) / evidence.stderr).abs().max() < 5
    assert ((evidence.acceptance > 0.5) & (evidence.acceptance < 0.85)).all()


# each pair from both starts and by both methods
CROSSED = [
    (name, start, method)
    for i, name in enumerate(HARD)
    for start, method in zip(("prior", "guide"), ("ais", "smc") if i % 2 else ("smc", "ais"), strict=True)
]


@pytest.mark.parametrize(("name", "start", "method"), CROSSED)
def test_unbiased_for_p_below_log_p_and_errors_that_cover(name, start, method):
    """250 repeats at once: E[p-hat] = p, E[log p-hat] <= log p, and the stated 95% interval covers about 95%."""
    values, errors, truth, evidence = repeated(name, 250, method=method, start=start, num_chains=48, **SHORT)
    assert evidence.bound == "lower" and ((evidence.acceptance > 0.5) & (evidence.acceptance < 0.85)).double().mean() > 0.95
    assert z_score((values - truth).exp(), 1.0).abs().max() < 3.7
    assert z_score(values, truth).max() < 3.3
    covered = ((values - truth).abs() < 1.96 * errors).double().mean()
    lighter = name.startswith("gamma") and start == "guide"  # tails than the posterior's: heavy weights, of k-hat 0.4
    assert (0.87 if lighter else 0.91) < covered < 0.98


@pytest.mark.parametrize("path", ["adaptive", "sigmoidal", "linear"])
def test_every_path_is_unbiased(path):
    values, _, truth, _ = repeated("sigmoid-decoder 2d", 250, method="ais", start="prior", path=path, num_chains=8, **SHORT)
    assert z_score((values - truth).exp(), 1.0).abs().max() < 3.7


def test_error_falls_as_one_over_root_k_and_with_more_distributions():
    spread = {}
    for chains, steps in ((4, 30), (32, 30), (4, 300)):
        options = {"num_chains": chains, "num_distributions": steps, "num_leapfrog": 3, "start": "prior"}
        values, _, truth, _ = repeated("linear-gaussian 3x5 exact", 200, method="ais", **options)
        spread[chains, steps] = (values - truth).square().mean().sqrt()
    slope = float((spread[32, 30] / spread[4, 30]).log() / math.log(8))
    assert -0.6 < slope < -0.4
    assert spread[4, 300] < 0.5 * spread[4, 30]


def test_smc_beats_ais_where_weights_degenerate():
    """The 10-dimensional posterior from the prior in 15 steps: AIS keeps a few chains of 48, SMC all."""
    options = {"start": "prior", "num_chains": 48, "num_distributions": 15, "num_leapfrog": 3}
    spread = {}
    for method in ("ais", "smc"):
        values, _, truth, _ = repeated("linear-gaussian 10x30 exact", 100, method=method, **options)
        spread[method] = (values - truth).square().mean().sqrt()
    assert spread["smc"] < 0.9 * spread["ais"]


def test_chains_of_which_one_decides_are_flagged():
    pair = exact.PAIRS["linear-gaussian 10x30 exact"]()
    few = {"method": "ais", "start": "prior", "num_distributions": 3, "num_chains": 10}
    assert "ESS < 2 for" in repr(pv.log_evidence(pair, pair.batch, **few))
    many = {**few, "num_distributions": 200}
    assert pv.log_evidence(pair, pair.batch, **many).warning is None


def test_one_pass_of_the_model_for_each_leapfrog_step_and_none_for_the_weights():
    pair = exact.PAIRS["sigmoid-decoder 1d"]()
    passes = []
    for steps in (20, 40):
        options = {"method": "ais", "num_chains": 5, "num_distributions": steps, "num_leapfrog": 3}
        passes.append(pv.log_evidence(pair, pair.batch, **options).passes)
    assert torch.equal(passes[1] - passes[0], torch.full((8,), 20.0 * 3 * 5, dtype=torch.float64))  # the pilots are equal


def test_steps_and_temperatures_are_frozen_before_weights_accumulate():
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    with torch.no_grad():
        target = Target(pair.model, pair.guide, pair.batch)
        path, move, schedule = AIS(num_distributions=20, start="prior").plan(target)
        before = [part.clone() for part in schedule]
        anneal(path, target.draw(4), schedule, move)
        assert all(torch.equal(a, b) for a, b in zip(before, schedule, strict=True))
    assert schedule.beta.shape == (21, 8) and (schedule.beta.diff(dim=0) > 0).all()
    assert (schedule.beta[0] == 0).all() and (schedule.beta[-1] == 1).all()
    for kind in ("linear", "sigmoidal"):
        beta = temperatures(kind, 20)
        assert beta[0] == 0 and beta[-1] == 1 and (beta.diff() > 0).all()


def test_chains_in_several_passes_and_short_batches_and_seeds():
    pair = exact.PAIRS["chain wrong"]()
    options = {"method": "ais", "num_chains": 30, "num_distributions": 8, "num_leapfrog": 1}
    truth, x = pair.log_evidence().detach().double(), pair.batch["x"]
    whole = pv.log_evidence(pair, x, max_rows=160, batch_size=4, **options)  # 4, 4 and 2
    one, two, other = (pv.log_evidence(pair, x[:1], max_rows=12, seed=seed, **options) for seed in (0, 0, 1))  # 12, 12 and 6
    assert len(whole) == 10 and whole.num_samples == one.num_samples == 30 and (one.num_weights == 30).all()
    for evidence in (whole, one, other):
        assert ((evidence.value - truth[: len(evidence)]) / evidence.stderr).abs().max() < 5
        assert evidence.mean == pytest.approx(float(evidence.value.mean()))
    assert torch.equal(one.value, two.value) and not torch.equal(one.value, other.value)
    with pytest.raises(OptionError, match="smc resamples all chains of a datum together"):
        pv.log_evidence(pair, pair.batch, method="smc", num_chains=20, max_rows=10)


# ------------------------------------------------------------------------------------------------ any pair
def test_a_simplex_and_a_support_that_depends_on_another_site():
    """z ~ Dirichlet(a), x ~ Multinomial(z): exact; and z2 ~ Uniform(0, z1), whose transform moves with z1."""
    a = torch.tensor([0.7, 1.5, 2.0])

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Dirichlet(a))
            pyro.sample("x", dist.Multinomial(5, z), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Dirichlet(1 + 0.5 * x))

    x = torch.tensor([[5.0, 0.0, 0.0], [1.0, 2.0, 2.0], [0.0, 2.0, 3.0]])
    truth = dist.DirichletMultinomial(a, 5).log_prob(x)
    for start in ("prior", "guide"):
        evidence = pv.log_evidence((model, guide), x, method="ais", start=start, num_chains=200, **SHORT)
        assert ((evidence.value - truth) / evidence.stderr).abs().max() < 4.5 and evidence.stderr.max() < 0.15

    def dependent(x):
        with pyro.plate("data", len(x), dim=-1):
            z1 = pyro.sample("z1", dist.Gamma(2.0, torch.ones(())))
            z2 = pyro.sample("z2", dist.Uniform(0.0, z1))
            pyro.sample("x", dist.Normal(z2.unsqueeze(-1), 0.5).to_event(1), obs=x)

    def its_guide(x):
        with pyro.plate("data", len(x), dim=-1):
            z1 = pyro.sample("z1", dist.Gamma(3.0, torch.ones(())))
            pyro.sample("z2", dist.Uniform(0.0, z1))

    # z2's density is int z1 e^-z1 / z1 dz1 over z1 > z2, which is e^-z2, so that p(x) = int e^-z N(x; z, 0.25) dz over z > 0
    x = torch.tensor([[0.3], [1.5]])
    truth = (-x + 0.125 + torch.special.log_ndtr((x - 0.25) / 0.5)).squeeze(-1)
    for start in ("prior", "guide"):
        evidence = pv.log_evidence((dependent, its_guide), x, method="ais", start=start, num_chains=300, **SHORT)
        assert ((evidence.value - truth) / evidence.stderr).abs().max() < 4.5 and evidence.stderr.max() < 0.1


def test_masked_data_are_left_out():
    """A model that masks rows of x: log p is of what is seen."""
    seen = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])

    def model(x, mask):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.expand(*z.shape[:-1], 2), 1.0).mask(mask.bool()).to_event(1), obs=x)

    def guide(x, mask):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal((x * mask).mean(-1, keepdim=True), 1.0).to_event(1))

    x = torch.tensor([[0.5, 1.0], [0.5, 9.0], [7.0, 9.0]])
    both = dist.MultivariateNormal(torch.zeros(2), torch.eye(2) + 1).log_prob(x[0])
    truth = torch.stack([both, dist.Normal(0.0, 2**0.5).log_prob(x[1, 0]), torch.zeros(())])
    evidence = pv.log_evidence((model, guide), {"x": x, "mask": seen}, method="ais", num_chains=100, start="prior", **SHORT)
    assert ((evidence.value - truth).abs() < 4.5 * evidence.stderr + 1e-5).all()


def test_discrete_pairs_are_exact_and_those_that_cannot_be_enumerated_refused():
    for name in exact.PAIRS:
        pair = exact.PAIRS[name]()
        if "bernoulli-mixture" in name:
            value = pv.log_evidence(pair, pair.batch, method="exact", batch_size=4)
            torch.testing.assert_close(value.value.float(), pair.log_evidence().detach())
            assert value.bound == "exact" and "exact" in repr(value)
            with pytest.raises(ContractError, match="no continuous latent site to move through; use method 'exact'"):
                pv.log_evidence(pair, pair.batch, method="ais")
    pair = exact.PAIRS["linear-gaussian 3x5 exact"]()
    value = pv.log_evidence(pair, pair.batch, method="exact").value
    torch.testing.assert_close(value.float(), pair.log_evidence().detach())
    vae = pv.pairs.vae(pv.data.DataSpec("toy", (4,), "real"), latent_dim=2)
    with pytest.raises(ContractError, match="VAE has no method log_evidence and a continuous latent site"):
        pv.log_evidence(vae, torch.randn(3, 4), method="exact")

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Poisson(torch.full((), 2.0)))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1), 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Poisson(torch.full((len(x),), 2.0)))

    def sliding(x):
        with pyro.plate("data", len(x), dim=-1):
            y = pyro.sample("y", dist.Categorical(torch.ones(2)))
            z = pyro.sample("z", dist.Uniform(0.0, y + 1.0))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1), 1.0).to_event(1), obs=x)

    def its_guide(x):
        with pyro.plate("data", len(x), dim=-1):
            y = pyro.sample("y", dist.Categorical(torch.ones(2)))
            pyro.sample("z", dist.Uniform(0.0, y + 1.0))

    with pytest.raises(ContractError, match="support of site 'z' depends on an enumerated site"):
        pv.log_evidence((sliding, its_guide), torch.randn(3, 1), method="ais")
    with pytest.raises(ContractError, match="latent site 'z'.*is discrete and cannot be enumerated.*use method 'importance'"):
        pv.log_evidence((model, guide), torch.randn(3, 1), method="ais")


def test_nan_and_worthless_chains_are_named():
    pair = exact.PAIRS["sigmoid-decoder 1d"]()
    with torch.no_grad():
        pair.model.decoder.bias[2] = math.nan
    with pytest.raises(NonFiniteError, match="site 'x' of the model is nan"):
        pv.log_evidence(pair, pair.batch, method="ais", num_chains=2, **SHORT)

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Uniform(z - 1, z + 1).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 0.1).to_event(1))

    with pytest.raises(NonFiniteError, match="all 30 chains' weights of datum 1 are zero"):
        pv.log_evidence((model, guide), torch.tensor([[0.1], [60.0]]), method="ais", start="prior", num_chains=30, **SHORT)


def test_a_guide_of_narrower_support_starts_nowhere_but_at_the_prior():
    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.HalfNormal(x.abs() + 1).to_event(1))

    x = torch.tensor([[0.5], [-1.0]])
    truth = dist.Normal(0.0, 2**0.5).log_prob(x).sum(-1)
    with pytest.raises(ContractError, match="site 'z' has support.*miss part of.*defensive=0.1, or method='ais'"):
        pv.log_evidence((model, guide), x)
    with pytest.raises(ContractError, match="site 'z' has support.*use start='prior'"):
        pv.log_evidence((model, guide), x, method="ais")
    for options in ({"method": "ais", "start": "prior", "num_chains": 100, **SHORT}, {"defensive": 0.5, "num_samples": 4000}):
        evidence = pv.log_evidence((model, guide), x, **options)
        assert ((evidence.value - truth) / evidence.stderr).abs().max() < 4.5 and evidence.stderr.max() < 0.1


def test_a_guide_of_wider_support_starts_nowhere_but_at_the_prior():
    """z ~ Uniform(0, 1), x ~ N(z, 0.5^2), and a guide on the whole line: its weights outside are zero, but there is no u."""

    def model(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Uniform(x.new_zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 0.5).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 0.5).to_event(1))

    x = torch.tensor([[0.2], [0.9]])
    truth = (torch.special.ndtr((1 - x) / 0.5) - torch.special.ndtr(-x / 0.5)).log().sum(-1)
    with pytest.raises(ContractError, match="draws of site 'z' leave the support.*or use method 'importance'"):
        pv.log_evidence((model, guide), x, method="ais", num_chains=50)
    for options in ({"num_samples": 4000}, {"method": "ais", "start": "prior", "num_chains": 100, **SHORT}):
        evidence = pv.log_evidence((model, guide), x, **options)
        assert ((evidence.value - truth) / evidence.stderr).abs().max() < 4.5 and evidence.stderr.max() < 0.1


# ------------------------------------------------------------------------------------------------ BDMC
@pytest.mark.parametrize("name", [*HARD, "linear-gaussian 3x5 exact"])
def test_bdmc_holds_exact_log_p_between_its_bounds(name):
    """On 300 simulated data: lower <= exact <= upper on average, within error; the gap closes with T."""
    pair = exact.PAIRS[name]()
    gaps = []
    for steps in (10, 100):
        options = {"num_chains": 4, "num_distributions": steps, "start": "prior", **ONE_PASS}
        both = bdmc(pair, 300, like={"x": pair.batch["x"][:1]}, **options)
        truth = pair.model.log_evidence(both.data["x"]).detach().double()
        for side in (both.lower.value - truth, truth - both.upper):
            assert side.mean() < 3.3 * side.std() / len(side) ** 0.5
        gaps.append(both.gap[0])
        assert both.gap[0] == pytest.approx(float((both.upper - both.lower.value).mean()))
    assert gaps[1] < 0.4 * gaps[0] and gaps[1] < 0.3
    assert "simulated data" in repr(both) and both.to_json()["gap"] == both.gap[0] and len(both.plot().axes) == 2


# ------------------------------------------------------------------------------------------------ bridge
@pytest.mark.parametrize("name", [*HARD, "linear-gaussian 2x4 narrow"])
def test_bridge_sampling_is_near_the_truth_with_errors_that_cover(name):
    """Also from the guide that is three times too narrow, where importance weights have no variance."""
    values, errors, truth, evidence = repeated(
        name, 200, method="bridge", num_chains=32, num_draws=15, num_warmup=40, num_steps=100, seed=1
    )
    assert evidence.bound == "estimate" and (values - truth).mean(0).abs().max() < 0.01
    covered = ((values - truth).abs() < 1.96 * errors).double().mean()
    assert 0.9 < covered < 0.99
    assert errors.mean() < 0.05


def test_the_bridge_of_independent_draws_is_exact_on_average():
    """p(x) N(u; 0, 1) against q = N(0.5, 1.5^2), log Z = -3: unbiased within error, error as stated."""
    generator = torch.Generator().manual_seed(0)
    p, q = dist.Normal(0.0, 1.0), dist.Normal(0.5, 1.5)
    at_p = torch.randn(20, 10, 500, generator=generator, dtype=torch.float64)
    at_q = 0.5 + 1.5 * torch.randn(200, 500, generator=generator, dtype=torch.float64)
    ratio = lambda u: p.log_prob(u) - 3 - q.log_prob(u)  # noqa: E731
    value, stderr = meng_wong(ratio(at_p), ratio(at_q))
    assert abs(value.mean() + 3) < 4 * value.std() / 500**0.5
    assert float(value.std()) == pytest.approx(float(stderr.mean()), rel=0.15)
    assert 0.91 < ((value + 3).abs() < 1.96 * stderr).double().mean() < 0.98
