"""The SRNN is the deep Markov model where its recurrent network's weights are zero; its guide sees the model's states."""

from __future__ import annotations

import torch
from pyro import poutine

import pyrovae as pv
from pyrovae.core.step_run import trace_steps

SPEC = pv.data.DataSpec("toy", (5, 4), "binary", keys={"lengths": pv.data.KeySpec((), "count")})
SIZES = {"latent_dim": 2, "transition_dim": 6, "recurrent_dim": 3, "smoother_dim": 7, "hidden": [5]}
X = torch.bernoulli(torch.full((3, 5, 4), 0.4), generator=torch.Generator().manual_seed(0))
BATCH = {"x": X, "lengths": torch.tensor([5, 2, 4])}


@torch.no_grad()
def both():
    """An SRNN without memory, and the DMM of its other weights."""
    srnn = pv.pairs.srnn(SPEC, **SIZES, residual=False)
    for weight in srnn.model.own.recurrent.parameters():
        weight.zero_()
    dmm = pv.pairs.dmm(SPEC, latent_dim=2, transition_dim=6, recurrent_dim=7, hidden=[5])
    renamed = {"guide.own.recurrent.": "guide.own.backwards."}
    others = {**dict(srnn.model.named_parameters(prefix="model")), **dict(srnn.guide.named_parameters(prefix="guide"))}
    ours = {**dict(dmm.model.named_parameters(prefix="model")), **dict(dmm.guide.named_parameters(prefix="guide"))}
    for name, weight in ours.items():
        old = next((name.replace(a, b) for a, b in renamed.items() if name.startswith(a)), name)
        other = others[old]
        weight.copy_(other[..., : weight.shape[-1]] if other.dim() > 1 else other)  # without those of d
    return srnn, dmm


def test_without_memory_it_is_the_dmm():
    found = []
    for pair in both():
        torch.manual_seed(0)
        traced = trace_steps(pair.model, pair.guide, BATCH, 3)
        found.append([traced.log_p["z"], traced.log_p["x"], traced.log_q["z"]])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-6)


def states_of(pair, run):
    """The state d at the steps of a run, (..., T, H), and what the guide's network is given of it."""
    trace_steps(pair.model, pair.guide, BATCH, 2)  # which looks at the programs first
    states, seen, step = [], [], pair.model.own.step
    pair.model.own.step = lambda state, x: (states.append(state["d"]), step(state, x))[1]
    pair.guide.own.backwards.register_forward_hook(lambda net, given, out: seen.append(given[0][..., 4:]))
    result = run()
    return torch.stack(states, -2), seen, result


def test_the_guide_sees_the_states_that_the_model_has():
    pair = pv.pairs.srnn(SPEC, **SIZES)
    states, seen, _ = states_of(pair, lambda: trace_steps(pair.model, pair.guide, BATCH, 2))
    torch.testing.assert_close(states, seen[0].expand_as(states), atol=1e-6, rtol=1e-5)


def test_what_the_model_draws_enters_its_next_state():
    pair = pv.pairs.srnn(SPEC, **SIZES)
    program = poutine.trace(poutine.uncondition(pair.model))
    states, _, trace = states_of(pair, lambda: program.get_trace(x=torch.zeros(3, 5, 4)))
    x = torch.stack([trace.nodes[f"x_{t}"]["value"] for t in range(1, 6)], 1)
    assert x.any()
    before = torch.cat([torch.zeros(3, 1, 4), x[:, :-1]], 1)
    torch.testing.assert_close(states, pair.model.own.recurrent(before), atol=1e-6, rtol=1e-5)


def test_the_residual_form_adds_the_priors_mean():
    torch.manual_seed(0)
    pair = pv.pairs.srnn(SPEC, **SIZES)
    with torch.no_grad():  # a guide without a mean of its own
        pair.guide.own.out.weight[:2].zero_()
        pair.guide.own.out.bias[:2].zero_()
    traced = trace_steps(pair.model, pair.guide, BATCH, 1)
    first = traced.steps[0]
    torch.testing.assert_close(first.guide_sites["z"]["fn"].base_dist.loc, first.model_sites["z"]["fn"].base_dist.loc)
