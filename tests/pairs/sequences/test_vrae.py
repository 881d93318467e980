"""The VRAE: the joint Gaussian of a linear one in closed form, teacher forcing, lengths."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.distributions import AutoregressiveBernoulli
from pyrovae.errors import OptionError
from pyrovae.nets import ContextRNN

SPEC = pv.data.DataSpec("toy", (5, 4), "binary", keys={"lengths": pv.data.KeySpec((), "count")})
X = torch.bernoulli(torch.full((3, 5, 4), 0.4), generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([5, 2, 4])


@torch.no_grad()
def linear_vrae(steps, dims, latent_dim):
    """Without tanh and with constant scales, so that x given z is linear-Gaussian, in float64."""
    pair = pv.pairs.vrae(pv.data.DataSpec("real", (steps, dims), "real"), latent_dim=latent_dim, recurrent_dim=3)
    network = pair.model.network
    network.activation = nn.Identity()
    network.out.weight[dims:].zero_()
    network.out.bias[dims:].copy_(torch.linspace(-0.5, 0.2, dims))
    return pair


def joint(network, steps, dims, latent_dim):
    """Mean and covariance of z and x, flat, by propagating the coefficients of z and of the noise."""
    W, U, V = network.recurrent.weight.double(), network.inputs.weight.double(), network.out.weight[:dims].double()
    b, c, scale = network.inputs.bias.double(), network.out.bias[:dims].double(), network.out.bias[dims:].double().exp()
    size = latent_dim + steps * dims
    h = torch.cat([network.from_context.weight.double(), torch.zeros(3, steps * dims)], 1)  # coefficients of z and noise
    mean_h, rows, means = network.from_context.bias.double(), [torch.eye(size).double()[:latent_dim]], []
    for t in range(steps):
        x = V @ h
        noise = torch.zeros(dims, size, dtype=torch.float64)
        noise[:, latent_dim + t * dims : latent_dim + (t + 1) * dims] = scale.diag()
        x, mean_x = x + noise, V @ mean_h + c
        rows, means = [*rows, x], [*means, mean_x]
        h, mean_h = W @ h + U @ x, W @ mean_h + U @ mean_x + b
    rows = torch.cat(rows)
    return torch.cat([torch.zeros(latent_dim), *means]).double(), rows @ rows.T


def test_a_linear_one_has_the_joint_gaussian_in_closed_form_and_its_evidence():
    pair, x = linear_vrae(4, 2, 2), torch.randn(5, 4, 2)
    with torch.no_grad():
        mean, covariance = joint(pair.model.network, 4, 2, 2)
        traced = trace_pair(pair.model, pair.guide, {"x": x}, 7)
    whole = torch.cat([traced.latents["z"], x.flatten(1).expand(7, -1, -1)], -1).double()
    truth = MultivariateNormal(mean, covariance).log_prob(whole)
    torch.testing.assert_close((traced.log_p["z"] + traced.log_p["x"]).double(), truth, atol=1e-4, rtol=1e-5)
    evidence = MultivariateNormal(mean[2:], covariance[2:, 2:]).log_prob(x.double().flatten(1))
    found = pv.log_evidence(pair, {"x": x}, num_samples=20_000)
    assert (found.elbo < evidence).all() and ((found.value - evidence).abs() < 5 * found.stderr + 1e-3).all()


def test_teacher_forcing_is_the_sum_of_the_steps_and_of_what_is_drawn():
    network, c = ContextRNN(4, 6, 4, 2), torch.randn(7, 3, 2)
    fn = AutoregressiveBernoulli(network, (5, 4), c, LENGTHS)
    x = fn.sample()
    assert x.shape == (7, 3, 5, 4) and not x[:, 1, 2:].any()
    state, total = network.start(torch.Size([7, 3]), c, c), torch.zeros(7, 3)
    for t in range(5):
        score = torch.distributions.Bernoulli(logits=network.at(state)).log_prob(x[..., t, :]).sum(-1)
        total += (t < LENGTHS) * score
        state = network.cell(*state, x[..., t, :])
    torch.testing.assert_close(fn.log_prob(x), total, atol=1e-5, rtol=1e-5)


def test_its_mass_over_all_sequences_is_one():
    network, c = ContextRNN(1, 6, 1, 2), torch.randn(3, 2)
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).reshape(16, 1, 4, 1)
    total = AutoregressiveBernoulli(network, (4, 1), c).log_prob(x).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(3), atol=1e-5, rtol=0)


def test_steps_beyond_the_lengths_change_no_score_and_no_posterior():
    torch.manual_seed(0)
    pair, found = pv.pairs.vrae(SPEC, latent_dim=2, recurrent_dim=6), []
    beyond = (torch.arange(5) >= LENGTHS.unsqueeze(1)).unsqueeze(-1)
    for fill in (0.0, 1.0):
        torch.manual_seed(0)
        x = torch.where(beyond, torch.tensor(fill), X)
        found.append(pv.log_evidence(pair, {"x": x, "lengths": LENGTHS}, num_samples=5).value)
    assert torch.equal(*found)
    with torch.no_grad():
        h = pair.guide.recurrent(X[1:2, :2])[:, -1]
        torch.testing.assert_close(pv.encode(pair, {"x": X, "lengths": LENGTHS})["z"][1:2], pair.guide.out(h)[:, :2])
    assert pv.check(pair, {"x": X, "lengths": LENGTHS}).is_density


def test_other_data_are_refused():
    with pytest.raises(OptionError, match="does not score unit data"):
        pv.pairs.vrae(pv.data.DataSpec("grey", (4, 4), "unit"))
