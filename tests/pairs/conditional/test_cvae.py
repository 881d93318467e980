"""Missing values and conditional models against closed forms and quadrature."""

from __future__ import annotations

import math

import exact
import numpy as np
import pyro.distributions as dist
import pytest
import torch

import pyrovae as pv
from pyrovae.core.pair import Pair
from pyrovae.data import DataSpec
from pyrovae.errors import ContractError, OptionError


# ------------------------------------------------------------------------------------------------ missing values
def gaussian(guide="exact"):
    """A linear-Gaussian pair, a mask, and mean and covariance of x."""
    pair = exact.linear_gaussian(2, 4, rows=6, guide=guide)
    factors = pair.model.factor_analysis
    torch.manual_seed(1)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]).float()
    with torch.no_grad():
        covariance = factors.weight @ factors.weight.T + factors.scale.square().diag()
    return pair, {"x": pair.batch["x"], "mask": mask}, factors.loc.detach(), covariance


def conditional(x, mask, mean, covariance):
    """Mean and covariance of the missing values of one datum given the observed ones."""
    seen, gone = mask.bool(), ~mask.bool()
    gain = covariance[gone][:, seen] @ torch.linalg.inv(covariance[seen][:, seen])
    spread = covariance[gone][:, gone] - gain @ covariance[seen][:, gone]
    return mean[gone] + gain @ (x[seen] - mean[seen]), spread


def test_a_mask_gives_the_evidence_of_the_observed_part():
    pair, batch, mean, covariance = gaussian("wrong")
    observed = pv.observed_part(Pair(pair.model, pair.guide))
    evidence = pv.log_evidence(observed, batch, num_samples=20_000)
    for row, (x, mask) in enumerate(zip(batch["x"], batch["mask"], strict=True)):
        seen = mask.bool()
        truth = dist.MultivariateNormal(mean[seen], covariance[seen][:, seen]).log_prob(x[seen]) if seen.any() else 0.0
        assert abs(evidence.value[row] - truth) < 5 * evidence.stderr[row] + 1e-3, row
    torch.testing.assert_close(
        evidence.value[:1], pv.log_evidence(pair, {"x": batch["x"][:1]}, num_samples=20_000).value, atol=0.1,
        rtol=0,
    )  # fmt: skip


def test_what_is_missing_is_never_read():
    pair, batch, *_ = gaussian("wrong")
    observed = pv.observed_part(Pair(pair.model, pair.guide))
    other = {**batch, "x": torch.where(batch["mask"].bool(), batch["x"], 1e6)}
    values = [pv.log_evidence(observed, data, num_samples=10).value for data in (batch, other)]
    assert torch.equal(*values)


def test_imputations_are_the_conditional_means():
    pair, batch, mean, covariance = gaussian("wrong")
    estimates = torch.stack([pv.impute(pair, batch, 3000) for _ in range(20)])
    error = estimates.std(0) / 20**0.5
    for row in range(1, 5):
        gone = ~batch["mask"][row].bool()
        truth, _ = conditional(batch["x"][row], batch["mask"][row], mean, covariance)
        assert ((estimates.mean(0)[row, gone] - truth).abs() < 5 * error[row, gone] + 0.02).all(), row
    assert torch.equal(estimates[0][batch["mask"].bool()], batch["x"][batch["mask"].bool()])


@pytest.mark.parametrize("guide", ["exact", "wrong"])
def test_completions_have_the_conditional_law(guide):
    pair, batch, mean, covariance = gaussian(guide)
    draws = pv.complete(pair, batch, num_samples=1500, num_steps=60)
    for row in range(1, 5):
        gone = ~batch["mask"][row].bool()
        truth, spread = conditional(batch["x"][row], batch["mask"][row], mean, covariance)
        came = draws[:, row, gone]
        assert ((came.mean(0) - truth).abs() < 5 * (spread.diagonal() / 1500).sqrt() + 0.03).all(), row
        torch.testing.assert_close(came.T.cov().reshape(spread.shape), spread, rtol=0.25, atol=0.1)
    assert (draws[:, batch["mask"].bool()] == batch["x"][batch["mask"].bool()]).all()


def test_what_completion_refuses():
    data = pv.data.load("digits", transforms=["missing:rate=0.5"])
    pair = pv.pairs.adgm(data.spec, latent_dim=2, auxiliary_dim=2, hidden=[10])
    with pytest.raises(ContractError, match="site 'a' depends on x"):
        pv.complete(pair, data.test[:3])
    assert pv.impute(pair, data.test[:3], 5).shape == (3, 8, 8)
    with pytest.raises(ContractError, match="takes mask, which the batch lacks"):
        pv.impute(pair, {"x": data.test["x"][:3]})
    with pytest.raises(OptionError, match="num_steps is 0"):
        pv.complete(pair, data.test[:3], num_steps=0)


def test_training_with_missing_pixels_imputes_better_than_the_mean():
    data = pv.data.load("digits", binarization="none", transforms=["missing:rate=0.3,seed=1"])
    whole = pv.data.load("digits", binarization="none").test["x"]
    torch.manual_seed(0)
    pair = pv.pairs.vae(data.spec, latent_dim=10, hidden=[100])
    pv.fit(pair, data, "iwae:num_particles=5", epochs=20, lr=3e-3, validate=False, progress=False)
    batch = data.test[:]
    gone = ~batch["mask"].bool()
    ours = (pv.impute(pair, batch, 50) - whole)[gone].square().mean()
    mean = (data.spec.mean - whole)[gone].square().mean()
    assert ours < 0.6 * mean, (ours, mean)


# ------------------------------------------------------------------------------------------------ conditional models
SPEC = DataSpec("toy", (2, 2), "binary", covariates={"c": (2, 2), "given": (2, 2)})


def toy(name="cvae"):
    torch.manual_seed(2)
    pair = pv.pairs.get(name).build(SPEC, latent_dim=2, hidden=[6])
    x = torch.bernoulli(torch.full((5, 2, 2), 0.5))
    given = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).expand(5, 2, 2).contiguous()
    return pair, {"x": x, "c": x * given, "given": given}


def test_evidence_of_a_cvae_is_that_of_what_is_not_given():
    """log p(x_rest | c) = log E_{p(z | c)} prod over pixels not given of p(x_i | z, c), by quadrature over z."""
    pair, batch = toy()
    points, weights = (torch.tensor(v, dtype=torch.float32) for v in np.polynomial.hermite_e.hermegauss(40))
    noise = torch.cartesian_prod(points, points)
    log_weights = torch.cartesian_prod(*[(weights / math.sqrt(2 * math.pi)).log()] * 2).sum(1)
    with torch.no_grad():
        loc, raw = pair.model.prior(batch["c"], batch["given"]).chunk(2, -1)
        z = loc + (torch.nn.functional.softplus(raw) + 1e-3) * noise.unsqueeze(1)
        logits = pair.model.decoder(batch["c"], batch["given"], z).squeeze(-3)
        scores = (dist.Bernoulli(logits=logits).log_prob(batch["x"]) * (1 - batch["given"])).sum((-2, -1))
        truth = (scores + log_weights.unsqueeze(1)).logsumexp(0)
    for options in ({"num_samples": 20_000}, {"method": "ais", "num_chains": 64, "num_distributions": 100}):
        evidence = pv.log_evidence(pair, batch, **options)
        assert ((evidence.value - truth) / evidence.stderr).abs().max() < 5 and evidence.stderr.max() < 0.1, options


def test_the_stochastic_network_has_no_kl_and_bounds_from_below():
    pair, batch = toy("gsnn")
    values = [pv.objectives.get(name).loss(pair.model, pair.guide, **batch) for name in ("meanfield", "elbo")]
    assert all(math.isfinite(value) for value in values)
    traced = pv.objectives.ELBO().trace(pv.objectives.Given(pair.model, pair.guide, [batch]))
    assert torch.equal(traced.log_p["z"], traced.log_q["z"])


def test_conditional_samples_keep_what_is_given():
    pair, batch = toy()
    drawn = pv.conditional_samples(pair, batch, num_samples=50, mean=False)
    given = batch["given"].bool()
    assert (drawn[:, given] == batch["x"][given]).all() and drawn[:, ~given].std() > 0.3
    other = {**batch, "x": 1 - batch["x"]}  # x itself is not read
    torch.manual_seed(0)
    one = pv.conditional_samples(pair, batch)
    torch.manual_seed(0)
    assert torch.equal(one, pv.conditional_samples(pair, other))


def test_a_conditional_pair_needs_a_condition():
    with pytest.raises(OptionError, match="quadrants:given=1"):
        pv.pairs.cvae(DataSpec("toy", (2, 2), "binary"))


def test_a_cvae_fills_quadrants_better_than_the_prior_of_its_pixels():
    data = pv.data.load("digits", binarization="threshold", transforms=["quadrants:given=3"])
    torch.manual_seed(0)
    pair = pv.pairs.cvae(data.spec, latent_dim=5, hidden=[100])
    pv.fit(pair, data, epochs=20, lr=3e-3, validate=False, progress=False)
    test = data.test[:]
    evidence = pv.log_evidence(pair, data.test, num_samples=100)
    rate = data.train["x"].mean(0).clamp(1e-3, 1 - 1e-3)
    rest = 1 - test["given"]
    base = (dist.Bernoulli(rate).log_prob(test["x"]) * rest).sum((1, 2))
    assert evidence.mean > float(base.mean()) + 1
