"""Loops over steps cut in three: outputs, last states and gradients are those of the plain loop."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.compile.graph import fast_tanh, trace_graph
from pyrovae.compile.scan import CONST, EACH, MOVING, CannotSplit, Scan
from pyrovae.compile.scan_gradient import DifferentiableScan
from pyrovae.core.step_plan import Over

T, B = 5, 4


def interpret(graph, examples):
    return graph


def traced(step, examples):
    with torch.no_grad():
        graph, captured = trace_graph(step, examples)
    assert not captured
    return graph


def cell(h, count, x, w, v):
    """Noise, products before, in and after the loop, tuples, an integer state, and outputs of every kind."""
    noise = torch.randn(B, 3)
    before = torch.tanh(x @ v)
    a, b = torch.nn.functional.layer_norm(h @ w + before, (3,)).chunk(3, -1)[:2]
    new = torch.tanh(a + b * h) + 0.1 * noise
    after = (new @ w).exp() * (count + 1)[:, None]
    return new, count + 1, after.sum(-1), x, w.sum() * torch.ones(()), h, noise


def looped(h, count, x, w, v):
    outs = []
    for t in range(T):
        h, count, *out = cell(h, count, x[t], w, v)
        outs.append(out)
    return [h, count, *(torch.stack(parts) for parts in zip(*outs, strict=True))]


def inputs():
    torch.manual_seed(0)
    leaves = [torch.randn(B, 3), torch.randn(T, B, 2), torch.randn(3, 3), torch.randn(2, 3)]
    h, x, w, v = (leaf.requires_grad_() for leaf in leaves)
    return [h, torch.arange(B), x, w, v], [h, x, w, v]


@pytest.mark.parametrize("used", [range(7), [2], [0], [4, 5]], ids=str)
def test_a_scan_is_the_loop_its_gradient_too(used):
    values, leaves = inputs()
    roles = [MOVING, MOVING, EACH, CONST, CONST]
    examples = [v.detach()[0] if role == EACH else v.detach() for v, role in zip(values, roles, strict=True)]
    scan = DifferentiableScan(traced(cell, examples), examples, roles, [v.requires_grad for v in values], interpret)
    found = []
    for run in (lambda *given: scan(given, T), looped):
        torch.manual_seed(1)
        outs = run(*values)
        torch.manual_seed(2)
        loss = sum((outs[i] * torch.randn(outs[i].shape)).sum() for i in used if outs[i].requires_grad)
        found.append([*outs, *torch.autograd.grad(loss, leaves, allow_unused=True)])
    for ours, theirs in zip(*found, strict=True):
        if ours is None:
            assert theirs is None or not theirs.any()
        else:
            torch.testing.assert_close(ours, torch.zeros_like(ours) if theirs is None else theirs, atol=1e-5, rtol=1e-5)


def test_a_gradient_after_its_inputs_were_written_into_is_refused():
    values, leaves = inputs()
    roles = [MOVING, MOVING, EACH, CONST, CONST]
    examples = [v.detach()[0] if role == EACH else v.detach() for v, role in zip(values, roles, strict=True)]
    scan = DifferentiableScan(traced(cell, examples), examples, roles, [v.requires_grad for v in values], interpret)
    loss = scan(values, T)[2].sum()
    with torch.no_grad():
        values[3].add_(1.0)
    with pytest.raises(RuntimeError, match="written into before their gradient was taken"):
        torch.autograd.grad(loss, leaves, allow_unused=True)


def test_what_no_state_enters_is_out_of_the_loop():
    values, _ = inputs()
    roles = [MOVING, MOVING, EACH, CONST, CONST]
    examples = [v.detach()[0] if role == EACH else v.detach() for v, role in zip(values, roles, strict=True)]
    pieces = Scan(traced(cell, examples), roles, (), interpret).pieces
    products = {name: sum("mm" in str(node.target) for node in piece.module.graph.nodes) for name, piece in pieces.items()}
    assert products == {"before": 1, "core": 1, "after": 1, "drawn": 0, "fixed": 0}


def test_an_operator_without_a_rule_for_all_steps_runs_step_by_step():
    def step(h, x):
        return (h + x).tanh(), torch.bincount(x.abs().long(), minlength=3)

    x = torch.tensor([[0.0, 1.0], [2.0, 2.0], [1.0, 1.0]])
    scan = Scan(traced(step, [torch.zeros(2), x[0]]), [MOVING, EACH], (), interpret)
    last, counts, _ = scan([torch.zeros(2), Over(x)], 3)
    assert counts.stacked.tolist() == [[1, 1, 0], [0, 0, 2], [0, 2, 0]]
    torch.testing.assert_close(last, (((x[0]).tanh() + x[1]).tanh() + x[2]).tanh())


def test_noise_of_two_sites_is_drawn_apart_at_each_step():
    def step(h):
        first, second = torch.randn(4), torch.randn(4)
        return h + first, first, second

    h = torch.zeros(4, requires_grad=True)
    scan = DifferentiableScan(traced(step, [h.detach()]), [h.detach()], [MOVING], [True], interpret)
    torch.manual_seed(5)
    _, first, second = scan([h], 3)
    torch.manual_seed(5)
    drawn = torch.stack([torch.randn(4) for _ in range(6)])
    assert torch.equal(torch.stack([first, second], 1).flatten(0, 1), drawn)


def test_noise_that_depends_on_the_state_is_not_cut():
    with pytest.raises(CannotSplit, match="draws noise that depends on the state"):
        Scan(traced(lambda h: (torch.bernoulli(h.sigmoid()),), [torch.zeros(3)]), [MOVING], (), interpret)


class Bits(nn.Module):
    """z_t ~ Bernoulli(. | z_t-1), x_t ~ N(z_t, 1): noise that depends on the state."""

    def __init__(self, guide):
        super().__init__()
        self.guide, self.w = guide, nn.Parameter(torch.tensor([0.3, -0.2]))

    def init(self, x):
        return {} if self.guide else {"z": x.new_zeros(len(x), 1)}

    def step(self, state, x):
        z = pyro.sample("z", dist.Bernoulli(logits=self.w[0] * state["z"] + self.w[1]).to_event(1))
        if not self.guide:
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)
        return {} if self.guide else {"z": z}


@pytest.mark.usefixtures("interpreted")
def test_a_pair_whose_noise_depends_on_its_state_runs_one_step_at_a_time():
    batch = {"x": torch.randn(4, 3, 1)}
    step = pv.compile_step(pv.unroll(Bits(False), Bits(True)), batch, "elbo:estimator=score", backend="graph")
    eager = pv.compile_step(pv.unroll(Bits(False), Bits(True)), batch, "elbo:estimator=score", backend="graph")
    eager.backend = "eager"
    assert len(step._steps.codes) == step._steps.made == 1
    for _ in range(3):
        values = []
        for one in (step, eager):
            torch.manual_seed(3)
            values.append(one(batch))
        torch.testing.assert_close(*values, atol=1e-5, rtol=1e-5)


def test_a_loop_of_ones_own_is_traced_and_told_to_be_a_step(monkeypatch, caplog):
    monkeypatch.setattr("pyrovae.compile.compiled.MAX_NODES", 20)
    spec = pv.data.DataSpec("toy", (6,), "binary")
    step = pv.compile_step(pv.pairs.vae(spec, latent_dim=2, hidden=[4]), {"x": torch.zeros(3, 6)}, backend=None)
    assert step.backend == "graph" and "pv.unroll of one step is compiled" in caplog.text
    assert step({"x": torch.zeros(3, 6)}).isfinite()


def test_fast_tanh_is_tanh_to_float32():
    x = torch.cat([torch.linspace(-12, 12, 20_001), torch.logspace(-30, 0, 301), torch.tensor([-200.0, 0.0, 200.0])])
    truth = x.double().tanh()
    assert ((fast_tanh(x).double() - truth).abs() <= 6e-7 * truth.abs()).all() and fast_tanh(torch.tensor(torch.nan)).isnan()
