"""The deep Markov model: Kalman's evidence where it is linear, a VAE where it has one step, flows that all steps share."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from fits import assert_same, comparable
from pyro import poutine
from torch import nn
from walks import A, Q, R, Smoother, draw, kalman

import pyrovae as pv
from pyrovae.core.step_run import trace_steps
from pyrovae.core.steps import unroll
from pyrovae.core.trace import trace_pair
from pyrovae.errors import OptionError
from pyrovae.nets import MIN_SCALE, Recurrent, loc_and_scale

SPEC = pv.data.DataSpec("toy", (5, 4), "binary", keys={"lengths": pv.data.KeySpec((), "count")})
REAL = pv.data.DataSpec("walk", (6, 1), "real", keys={"lengths": pv.data.KeySpec((), "count")})
SIZES = {"latent_dim": 2, "transition_dim": 6, "recurrent_dim": 7, "hidden": [5]}
X = torch.bernoulli(torch.full((3, 5, 4), 0.4), generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([5, 2, 4])


def inverse_softplus(value):
    return math.log(math.expm1(value))


@torch.no_grad()
def linear_dmm():
    """The recipe's pair at weights that make it the walk z_t ~ N(a z_t-1, q), x_t ~ N(z_t, r)."""
    sizes = {**SIZES, "latent_dim": 1, "hidden": []}
    pair = pv.pairs.dmm(REAL, likelihood="gaussian", scale=math.sqrt(R), **sizes)
    transition, decoder = pair.model.own.transition, pair.model.own.decoder
    transition.gate[-1].weight.zero_()
    transition.gate[-1].bias.fill_(-200.0)  # g = 0
    transition.linear.weight.fill_(A)
    transition.raw_scale.weight.zero_()
    transition.raw_scale.bias.fill_(inverse_softplus(math.sqrt(Q) - MIN_SCALE))
    decoder.mlp[-1].weight.fill_(1.0)
    decoder.mlp[-1].bias.zero_()
    return pair


def test_a_linear_one_has_kalmans_evidence():
    x, lengths, pair = draw(5, 6), torch.tensor([6, 3, 1, 5, 6]), linear_dmm()
    exact = unroll(pair.model.own, Smoother())
    for batch, truth in (({"x": x}, kalman(x)), ({"x": x, "lengths": lengths}, kalman(x, lengths))):
        weights = trace_steps(exact.model, exact.guide, batch, 4).log_weight
        torch.testing.assert_close(weights.double(), truth.expand(4, 5), atol=2e-5, rtol=1e-5)


def test_its_own_guide_bounds_kalmans_evidence_by_elbo_iwae_and_fivo():
    x, pair = draw(4, 3), linear_dmm()
    with torch.no_grad():  # q(z_t) = N(0, 2^2), wide enough for weights of finite variance
        pair.guide.own.out.weight.zero_()
        pair.guide.own.out.bias.copy_(torch.tensor([0.0, inverse_softplus(2.0 - MIN_SCALE)]))
    truth = kalman(x)
    for method, samples in (("importance", {"num_samples": 1500}), ("fivo", {"num_samples": 100, "num_filters": 12})):
        found = pv.log_evidence(pair, {"x": x}, method, **samples)
        assert (found.stderr < 0.2).all() and ((found.value - truth).abs() < 4 * found.stderr + 1e-3).all()
    assert (pv.log_evidence(pair, {"x": x}, num_samples=500).elbo < truth).all()


def test_scores_are_those_of_the_equations():
    torch.manual_seed(0)
    pair = pv.pairs.dmm(SPEC, **SIZES)
    traced = trace_steps(pair.model, pair.guide, {"x": X, "lengths": LENGTHS}, 2)
    net, guide, z = pair.model.own, pair.guide.own, traced.latents["z"]
    layer = guide.recurrent.net
    h, rest = torch.zeros(3, 7), [None] * 5
    for t in reversed(range(5)):
        new = (X[:, t] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0).tanh()
        h = rest[t] = torch.where((t < LENGTHS).unsqueeze(1), new, 0.0)
    last, prior, posterior = net.z_0.expand(2, 3, 2), torch.zeros(2, 3), torch.zeros(2, 3)
    for t in range(5):
        here, gate, proposed = t < LENGTHS, net.transition.gate(last).sigmoid(), net.transition.proposed(last)
        loc = (1 - gate) * net.transition.linear(last) + gate * proposed
        scale = nn.functional.softplus(net.transition.raw_scale(proposed.relu())) + MIN_SCALE
        prior += here * dist.Normal(loc, scale).log_prob(z[..., t, :]).sum(-1)
        combined = (guide.combine(last).tanh() + rest[t]) / 2
        posterior += here * dist.Normal(*loc_and_scale(guide.out(combined))).log_prob(z[..., t, :]).sum(-1)
        last = z[..., t, :]
    torch.testing.assert_close(traced.log_p["z"], prior, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(traced.log_q["z"], posterior, atol=1e-5, rtol=1e-5)


class OneStep(nn.Module):
    """A DMM's networks as the two programs of a VAE of x (B, D)."""

    def __init__(self, pair, guide):
        super().__init__()
        self.model, self.own, self.guide = pair.model.own, pair.guide.own, guide

    def forward(self, x):
        z_0 = self.model.z_0.expand(len(x), -1)
        with pyro.plate("data", len(x), dim=-1):
            if self.guide:
                combined = (self.own.combine(z_0).tanh() + self.own.recurrent(x.unsqueeze(1))[:, 0]) / 2
                pyro.sample("z", dist.Normal(*loc_and_scale(self.own.out(combined))).to_event(1))
            else:
                z = pyro.sample("z", dist.Normal(*self.model.transition(z_0)).to_event(1))
                pyro.sample("x", self.model.likelihood(self.model.decoder(z)), obs=x)


def test_one_step_is_a_vae_bit_for_bit():
    pair = pv.pairs.dmm(pv.data.DataSpec("one", (1, 4), "binary"), **SIZES)
    vae, found = (OneStep(pair, False), OneStep(pair, True)), []
    params = [*pair.model.parameters(), *pair.guide.parameters()]
    for model, guide, x in ((*vae, X[:, 0]), (pair.model, pair.guide, X[:, :1])):
        torch.manual_seed(0)
        bound = pv.objectives.get("iwae:num_particles=3").evaluate(model, guide, {"x": x})
        found.append([bound, *torch.autograd.grad(bound.sum(), params, allow_unused=True, materialize_grads=True)])
    assert torch.equal(found[0][0], found[1][0])
    for ours, theirs in zip(*found, strict=True):  # whose sums over particles go in another order
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_flows", [1, 2])
def test_flows_are_shared_by_steps_and_scored_exactly(num_flows):
    pair = pv.pairs.dmm(SPEC, **SIZES, num_flows=num_flows, flow_hidden=[5])
    batch = {"x": X, "lengths": LENGTHS}
    traced = trace_steps(pair.model, pair.guide, batch, 3)
    again = traced.guide_scores(traced.latents)["z"]  # by inverse transforms
    torch.testing.assert_close(again, traced.log_q["z"], atol=1e-4, rtol=1e-4)
    torch.manual_seed(1)
    unrolled = trace_pair(pair.model, pair.guide, batch, 3)
    torch.manual_seed(1)
    steps = trace_steps(pair.model, pair.guide, batch, 3)
    torch.testing.assert_close(steps.log_weight, unrolled.log_weight, atol=1e-5, rtol=1e-6)
    names = {name for name, _ in pair.guide.own.flow.named_parameters()}
    assert len([n for n in names if n.endswith("layers.0.weight")]) == num_flows


def test_values_beyond_the_lengths_change_nothing_bit_for_bit():
    pair, beyond, found = pv.pairs.dmm(SPEC, **SIZES), torch.arange(5) >= LENGTHS.unsqueeze(1), []
    for fill in (0.0, 1.0):
        x = torch.where(beyond.unsqueeze(-1), torch.tensor(fill), X)
        torch.manual_seed(0)
        found.append(trace_steps(pair.model, pair.guide, {"x": x, "lengths": LENGTHS}, 2).log_weight)
    assert torch.equal(*found)
    assert pv.check(pair, {"x": X, "lengths": LENGTHS}).is_density


def test_the_recurrent_network_runs_once_per_datum():
    pair, shapes = pv.pairs.dmm(SPEC, **SIZES), []
    trace_steps(pair.model, pair.guide, {"x": X}, 6)  # which looks at the programs first
    pair.guide.own.recurrent.register_forward_hook(lambda net, given, states: shapes.append(tuple(states.shape)))
    trace_steps(pair.model, pair.guide, {"x": X}, 6)
    assert shapes[-1] == (3, 5, 7) and len(shapes) == 1


def test_gru_steps_are_those_of_the_whole():
    net, x = Recurrent(4, 6, "gru"), torch.randn(3, 5, 4)
    h, states = torch.zeros(2, 3, 6), []
    for t in range(5):
        h = net.step(h, x[:, t])
        states.append(h)
    torch.testing.assert_close(torch.stack(states, 2), net(x).expand(2, -1, -1, -1), atol=1e-6, rtol=1e-5)


def test_an_option_without_use_is_refused():
    with pytest.raises(OptionError, match="flow_hidden of pair dmm goes with num_flows above 0"):
        pv.pairs.dmm(SPEC, **SIZES, flow_hidden=[9])
    with pytest.raises(OptionError, match="num_flows is -1"):
        pv.pairs.dmm(SPEC, **SIZES, num_flows=-1)
    drawn = poutine.trace(pv.pairs.dmm(SPEC, **SIZES).model).get_trace(x=X)
    assert [name for name in drawn.nodes if name[0] in "zx"][:4] == ["z_1", "x_1", "z_2", "x_2"]


def test_a_run_with_warmup_that_is_resumed_is_the_whole_one_bitwise(tmp_path):
    lengths, x = torch.arange(1, 31) % 5 + 1, torch.bernoulli(torch.full((30, 5, 4), 0.4))
    data = pv.data.as_data({"x": x, "lengths": lengths})
    how = {"batch_size": 10, "kl_warmup": 2, "progress": False, "tensorboard": False, "compile": False}
    for name, epochs in (("whole", 2), ("parts", 1)):
        torch.manual_seed(0)
        pair = pv.pairs.dmm(data.spec, **SIZES, num_flows=1, flow_hidden=[5])
        pv.fit(pair, data, epochs=epochs, out=tmp_path / name, **how)
    pv.resume(tmp_path / "parts", epochs=2, data=data, progress=False)
    assert_same(comparable(tmp_path / "parts"), comparable(tmp_path / "whole"))
