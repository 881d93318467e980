"""A trace at other values of its latents: noise frozen, scores anew, gradients through what depends on them."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from pyrovae.core.rescore import at, moments
from pyrovae.core.trace import trace_pair
from pyrovae.errors import ContractError, OptionError

SLOPE = 0.7


def model(x):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        w = pyro.sample("w", dist.Normal(z.sum(-1), 2.0))
        pyro.sample("x", dist.Normal(w.unsqueeze(-1) + z, 0.5).to_event(1), obs=x)


def guide(x, family=dist.Normal):
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(x, 0.4).to_event(1))
        pyro.sample("w", family(SLOPE * z.sum(-1), 0.3 + z[..., 0].square()))


def traced(family=dist.Normal, num_particles=3):
    torch.manual_seed(0)
    x = torch.randn(4, 2)

    def chosen(x):
        return guide(x, family)

    return trace_pair(model, chosen, {"x": x}, num_particles), chosen


@pytest.mark.parametrize("family", [dist.Normal, dist.Laplace, dist.LogNormal, dist.Gumbel])
def test_later_sites_keep_their_noise_and_scores_are_of_the_new_values(family):
    found, own = traced(family)
    z, w = found.latents["z"], found.latents["w"]
    new = (z + 0.5).requires_grad_()
    again = at(found, own, {"z": new})
    level = w.log() if family is dist.LogNormal else w
    noise = (level - SLOPE * z.sum(-1)) / (0.3 + z[..., 0].square())
    expected = SLOPE * new.sum(-1) + (0.3 + new[..., 0].square()) * noise
    expected = expected.exp() if family is dist.LogNormal else expected
    torch.testing.assert_close(again.latents["w"], expected)
    fresh = family(SLOPE * new.sum(-1), 0.3 + new[..., 0].square())
    torch.testing.assert_close(again.log_q["w"], fresh.log_prob(expected))
    torch.testing.assert_close(again.log_p["w"], dist.Normal(new.sum(-1), 2.0).log_prob(expected))
    (ours,) = torch.autograd.grad(again.latents["w"].sum(), new, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected.sum(), new)
    torch.testing.assert_close(ours, theirs)


def test_at_its_own_values_the_trace_is_what_it_was():
    found, own = traced()
    again = at(found, own, found.latents)
    torch.testing.assert_close(again.log_weight, found.log_weight)
    again = at(found, own, {"w": found.latents["w"]})
    torch.testing.assert_close(again.log_weight, found.log_weight)
    moved = at(found, own, {"w": found.latents["w"] + 1})
    assert torch.equal(moved.latents["z"], again.latents["z"]) and not torch.equal(moved.log_weight, found.log_weight)


def test_it_is_traced_as_it_runs():
    found, own = traced()

    def weight(z):
        return at(found, own, {"z": z}).log_weight

    z = found.latents["z"] + 0.1
    with pyro.validation_enabled(False):
        torch.testing.assert_close(make_fx(weight)(z)(z + 0.2), weight(z + 0.2))


def test_what_has_no_noise_to_keep_is_refused():
    found, own = traced()
    with pytest.raises(OptionError, match="no latent site is called 'zz'; did you mean 'z'"):
        at(found, own, {"zz": found.latents["z"]})

    def discrete(x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x, 0.4).to_event(1))
            pyro.sample("w", dist.Poisson(z.sum(-1).exp()))

    drawn = trace_pair(model, discrete, {"x": torch.zeros(3, 2)}, 2)
    with pytest.raises(ContractError, match=r"site 'w' \(Poisson\) is not given, and its noise cannot be told from its draw"):
        at(drawn, discrete, {"z": drawn.latents["z"]})
    again = at(drawn, discrete, {"z": drawn.latents["z"], "w": drawn.latents["w"]})
    torch.testing.assert_close(again.log_weight, drawn.log_weight)


def test_moments_are_the_familys():
    found, _ = traced()
    x = found.batch["x"]
    mean, variance, location = moments(found, "z")
    torch.testing.assert_close(mean, x)
    torch.testing.assert_close(variance, torch.full((4, 2), 0.16))
    torch.testing.assert_close(location, x)

    def skewed(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.LogNormal(x, 0.5).to_event(1))

    found = trace_pair(lambda x: None, skewed, {"x": x})
    torch.testing.assert_close(moments(found, "z").location, (x - 0.25).exp())
    torch.testing.assert_close(moments(found, "z").mean, (x + 0.125).exp())

    def heavy(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.TransformedDistribution(dist.Normal(x, 1.0), dist.transforms.TanhTransform()).to_event(1))

    with pytest.raises(ContractError, match="has no mean and variance in closed form"):
        moments(trace_pair(lambda x: None, heavy, {"x": x}), "z")
