"""Text by deconvolutions and an LSTM: a likelihood beside log p(x), which the objective weighs and nothing else sees."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from steppers import assert_same_steps, steppers
from torch import nn

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.data import DataSpec, KeySpec
from pyrovae.errors import ContractError
from pyrovae.objectives import Given, get

SPEC = DataSpec("text", keys={"x": KeySpec((5,), "tokens", size=4)})
X = torch.tensor([[1, 2, 0, 0, 0], [3, 3, 3, 1, 2], [2, 0, 0, 0, 0]])
AUXILIARY = "decoder.deconvolution.out."


def pair_of():
    torch.manual_seed(0)
    pair = pv.pairs.hybrid_text_vae(SPEC, latent_dim=2, embedding_dim=4, recurrent_dim=6, channels=4)
    for p in pair.model.parameters():
        p.data.normal_(0, 0.5)
    return pair


def updates_of(pair, objective):
    torch.manual_seed(1)
    return next(get(objective).updates(Given(pair.model, pair.guide, [{"x": X}])))


def test_the_auxiliary_likelihood_is_in_no_density_draw_or_bound():
    pair = pair_of()
    torch.manual_seed(0)
    traced = trace_pair(pair.model, pair.guide, {"x": X}, 3)
    assert list(traced.auxiliary) == ["x_aux"] and traced.observed == ["x"] and "x_aux" not in traced.log_p
    torch.testing.assert_close(traced.log_joint, traced.log_p["x"] + traced.log_p["z"])
    assert set(pv.sample(pair, 2)) == {"z", "x"}
    assert "auxiliary x_aux: no part of log p(x)" in str(pv.check(pair, {"x": X}))
    before = pv.log_evidence(pair, {"x": X}, num_samples=50, seed=0).value
    for name, p in pair.model.named_parameters():
        if name.startswith(AUXILIARY):
            p.data.add_(3 * torch.randn_like(p))
    assert torch.equal(pv.log_evidence(pair, {"x": X}, num_samples=50, seed=0).value, before)


def test_its_value_is_that_of_the_deconvolutions_alone():
    pair = pair_of()
    traced = trace_pair(pair.model, pair.guide, {"x": X}, 2)
    net, z = pair.model.decoder.deconvolution, traced.latents["z"]
    scores = net.out(net.features(z)).log_softmax(-1).gather(-1, X.expand(2, 3, 5).unsqueeze(-1)).squeeze(-1)
    here = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    torch.testing.assert_close(traced.auxiliary["x_aux"], (scores * here).sum(-1))


def test_the_objective_weighs_it_and_reports_the_bound_alone():
    pair = pair_of()
    plain, none, some = (
        updates_of(pair, each)
        for each in ("meanfield", {"name": "auxiliary", "weight": 0}, {"name": "auxiliary", "weight": 0.5})
    )
    torch.testing.assert_close(plain.bound, some.bound)
    torch.testing.assert_close(plain.loss, none.loss)
    torch.testing.assert_close(some.loss, plain.loss - 0.5 * some.figures["auxiliary"])
    own = [p for name, p in pair.model.named_parameters() if name.startswith(AUXILIARY)]
    assert all(g is None for g in torch.autograd.grad(plain.loss, own, retain_graph=True, allow_unused=True))
    assert all(bool(g.abs().sum() > 0) for g in torch.autograd.grad(some.loss, own))


def test_the_step_as_a_graph_is_the_eager_one():
    pair = pair_of()
    step, eager = steppers(pair.model, pair.guide, {"x": X}, {"name": "auxiliary", "weight": 0.3})
    assert_same_steps(step, eager, {"x": X})


class Beside(nn.Module):
    """A model with a site that is auxiliary, observed or not."""

    def __init__(self, observed):
        super().__init__()
        self.loc, self.observed = nn.Parameter(torch.zeros(2)), observed

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1).to_event(1))
            pyro.sample("x", dist.Normal(z + self.loc, 1).to_event(1), obs=x)
            pyro.sample("w", dist.Normal(z, 1).to_event(1), obs=x if self.observed else None, infer={"auxiliary": True})


class Guide(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(2, 2)

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(self.out(x), 1).to_event(1))


def test_an_auxiliary_site_without_a_value_and_a_pair_without_one_are_refused():
    x = {"x": torch.randn(4, 2)}
    with pytest.raises(ContractError, match="site 'w' of the model is auxiliary and has no value"):
        pv.check((Beside(False), Guide()), x)
    pv.check((Beside(True), Guide()), x)
    pair = pv.pairs.vae(DataSpec("toy", (2,), "real"), latent_dim=2, hidden=[3])
    with pytest.raises(ContractError, match="has no auxiliary site"):
        pv.fit(pair, {"x": torch.randn(20, 2)}, "auxiliary", epochs=1, progress=False)
