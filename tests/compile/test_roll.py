"""Unrolled loops, compiled block by block."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from steppers import assert_same_steps, steppers
from torch import nn

from pyrovae.compile.graph import trace_graph
from pyrovae.compile.products import merge_products
from pyrovae.compile.roll import compile_rolled

pytestmark = pytest.mark.usefixtures("interpreted")


class Chain(nn.Module):
    """z_t ~ N(W z_t-1, I), x_t ~ Bernoulli(V z_t), a site for each step; the guide conditions on x_t."""

    def __init__(self, guide):
        super().__init__()
        self.move, self.see = nn.Linear(3, 3), nn.Linear(4, 3) if guide else nn.Linear(3, 4)
        self.guide = guide

    def forward(self, x):
        with pyro.plate("data", x.shape[0], dim=-1):
            z, logits = x.new_zeros(x.shape[0], 3), []
            for t in range(x.shape[1]):
                loc = torch.tanh(self.move(z) + self.see(x[:, t])) if self.guide else torch.tanh(self.move(z))
                z = pyro.sample(f"z{t}", dist.Normal(loc, 0.5).to_event(1))
                logits += [] if self.guide else [self.see(z)]
            if not self.guide:
                pyro.sample("x", dist.Bernoulli(logits=torch.stack(logits, -2)).to_event(2), obs=x)


@pytest.mark.parametrize("objective", ["elbo", "iwae:num_particles=3"])
def test_an_unrolled_loop_is_compiled_block_by_block(objective):
    torch.manual_seed(0)
    x = torch.bernoulli(torch.full((5, 12, 4), 0.4))
    step, eager = steppers(Chain(False), Chain(True), {"x": x}, objective, backend="rolled")
    assert_same_steps(step, eager, {"x": x})


def test_the_gradients_of_a_loops_weights_are_one_product_each():
    """Two weights, one of them transposed, one used once more outside the loop; products that are no gradients stay."""

    def gradients(w, v, x):
        h = x.new_zeros(6, 3)
        for t in range(8):
            h = torch.tanh(h @ w + x[:, t] @ v.T)
        return torch.autograd.grad((h @ w).square().sum(), (w, v))

    inputs = [torch.randn(3, 3, requires_grad=True), torch.randn(3, 4, requires_grad=True), torch.randn(6, 8, 4)]
    graph, captured = trace_graph(gradients, inputs)
    expected, before = graph(*inputs, *captured), str(graph.code).count("aten.mm.default")
    merge_products(graph)
    for ours, theirs in zip(graph(*inputs, *captured), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    # of w: 8 and the one outside; the first step's h is zero, but its product is there; of v: 8
    assert before - str(graph.code).count("aten.mm.default") == 8 + 7


def test_a_loop_of_norms_is_compiled():
    """Whose gradients torch masks in place."""

    def gradients(w, x):
        for _ in range(12):
            x = x - 0.1 * (x @ w).norm(dim=-1, keepdim=True) * x
        return torch.autograd.grad(x.square().sum(), (w,))

    inputs = [torch.randn(3, 3, requires_grad=True), torch.randn(6, 3)]
    graph, captured = trace_graph(gradients, inputs)
    (expected,) = graph(*inputs, *captured)
    assert "masked_fill_" in str(graph.code)
    code = compile_rolled(graph)
    (ours,) = code(*(each.detach() for each in [*inputs, *captured]))
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


def test_a_loop_that_writes_into_a_tensor_is_not_cut_into_blocks(caplog):
    def write(x):
        out = torch.zeros_like(x)
        for t in range(x.shape[1]):
            out[:, t] = x[:, t].tanh() * 2
        return (out,)

    def write_piece(x):
        return tuple(each.mul_(2) for each in (x + 1).split(1, 1))

    for function in (write, write_piece):
        graph, _ = trace_graph(function, [torch.rand(3, 40)])
        with pytest.raises(RuntimeError, match="writes into part of a tensor"):
            compile_rolled(graph)
