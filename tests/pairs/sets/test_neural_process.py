"""Functions by a closed form: with a linear decoder and exact features, Bayesian linear regression given a context."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.distributions.likelihoods import build
from pyrovae.errors import DataError, OptionError
from pyrovae.guides import NeuralProcessGuide
from pyrovae.models import NeuralProcess
from pyrovae.nets import SetEncoder

NOISE = 0.4


class Moments(nn.Module):
    """u, (..., n, d), of which one is not 0, and x to u^2 and u x, (..., n, 2d)."""

    def forward(self, u, x):
        return torch.cat([u.square(), u * x], -1)


class Regression(nn.Module):
    """Their means and log(1 + n) to the posterior of the weights w ~ N(0, I) given n values: d precisions, exact."""

    def forward(self, mean, log_count):
        squares, products = (torch.expm1(log_count) * mean / NOISE**2).chunk(2, -1)
        scale = (1 + squares).rsqrt()
        return torch.cat([products * scale.square(), torch.log(torch.expm1(scale - 1e-3))], -1)


class LinearDecoder(nn.Module):
    """u and w to w'u, (..., n, 1, 1)."""

    def forward(self, u, w):
        return (u * w).sum(-1, keepdim=True).unsqueeze(-1)


def functions(rows=3, size=6, seed=0):
    """Values at inputs of two groups, in each of which the function is linear."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(rows, size, 1, generator=generator, dtype=torch.float64)
    second = torch.rand(rows, size, 1, generator=generator) < 0.5
    inputs = torch.cat([torch.where(second, 0.0, u), torch.where(second, u, 0.0)], -1)
    x = torch.randn(rows, size, 1, generator=generator, dtype=torch.float64)
    given = (torch.rand(rows, size, 1, generator=generator) < 0.5).double()
    return {"x": x, "condition": inputs, "c": x * given, "given": given}


def predictive(u, x, given):
    """log N of the values that are not given, by Bayesian linear regression on those that are, of one function."""
    known, asked = given[:, 0] == 1, given[:, 0] == 0
    eye = torch.eye(2, dtype=u.dtype)
    precision = eye + u[known].mT @ u[known] / NOISE**2
    mean = torch.linalg.solve(precision, u[known].mT @ x[known, 0] / NOISE**2)
    covariance = u[asked] @ torch.linalg.solve(precision, u[asked].mT) + NOISE**2 * torch.eye(int(asked.sum()), dtype=u.dtype)
    return torch.distributions.MultivariateNormal(u[asked] @ mean, covariance).log_prob(x[asked, 0])


def test_with_a_linear_decoder_the_predictive_is_bayesian_linear_regressions_at_every_draw():
    encoder = SetEncoder(Moments(), Regression())
    model = NeuralProcess(encoder, LinearDecoder(), build("gaussian", (1,), "real", None, NOISE, "shared"))
    batch = functions()
    weight = trace_pair(model, NeuralProcessGuide(encoder), batch, 5).log_weight
    rows = zip(batch["condition"], batch["x"], batch["given"], strict=True)
    torch.testing.assert_close(weight, torch.stack([predictive(*row) for row in rows]).expand(5, 3), rtol=1e-10, atol=1e-10)


@pytest.fixture(scope="module")
def digits_as_functions(digits):
    return pv.data.transform(pv.data.transform(digits, "pixels"), "context:least=3,most=20")


@pytest.mark.parametrize("recipe", [pv.pairs.neural_process, pv.pairs.conditional_neural_process])
def test_order_and_padding_change_no_score_and_what_is_given_is_not_scored(digits_as_functions, recipe):
    torch.manual_seed(0)
    data = digits_as_functions
    pair = recipe(data.spec, hidden=[8])
    pv.check(pair, data)
    batch = {key: value for key, value in data.test[:3].items() if key not in ("y", "index")}
    batch["lengths"] = torch.tensor([40, 40, 40])
    pv.check(pair, batch)
    traced = trace_pair(pair.model, pair.guide, batch, 2)
    cut = {key: value[:, :40] for key, value in batch.items() if key != "lengths"}
    alone = trace_pair(pair.model, pair.guide, cut, 2)
    for name, score in alone.guide_scores(traced.latents).items() if traced.latents else ():
        torch.testing.assert_close(score, traced.log_q[name], rtol=1e-5, atol=1e-5)
    changed = {**batch, "x": torch.where(batch["given"] == 1, 1 - batch["x"], batch["x"])}
    fn = traced.model_sites["x"]["fn"]
    torch.testing.assert_close(fn.log_prob(changed["x"]), fn.log_prob(batch["x"]))
    if not traced.latents:
        torch.testing.assert_close(alone.log_weight, traced.log_weight, rtol=1e-5, atol=1e-4)


def test_draws_and_evidence_are_given_the_context_alone(digits_as_functions):
    """Means of draws, and the mixture of the prior's draws, do not change with what is not given; with what is they do."""
    torch.manual_seed(1)
    pair = pv.pairs.neural_process(digits_as_functions.spec, latent_dim=4, hidden=[8])
    few = {key: value for key, value in digits_as_functions.test[:4].items() if key not in ("y", "index")}
    rest = {**few, "x": torch.where(few["given"] == 1, few["x"], 1 - few["x"])}
    shown = {**few, "c": few["given"] - few["c"]}
    draws = []
    for like in (few, rest, shown):
        torch.manual_seed(0)
        draws.append(pv.sample(pair, 4, like=like, mean=True)["x"])
    assert torch.equal(draws[0], draws[1]) and not torch.allclose(draws[0], draws[2])
    evaluation = pv.evaluate(pair, few, num_samples=3)
    assert evaluation.quantity == "log p(x | context)"


def test_what_has_no_context_is_refused(digits):
    with pytest.raises(OptionError, match="digits has no functions with a context"):
        pv.pairs.neural_process(digits.spec)
    with pytest.raises(DataError, match="digits is no set of points, of which some could be given"):
        pv.data.transform(digits, "context")
    with pytest.raises(OptionError, match="least is 5 and most 70; expected 1 <= least <= most < 64"):
        pv.data.transform(pv.data.transform(digits, "pixels"), "context:least=5,most=70")
