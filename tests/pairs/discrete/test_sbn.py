"""Sigmoid belief networks: log p(x), the bound of two draws and its gradient by enumeration of all bits of both layers."""

from __future__ import annotations

import pytest
import torch
from repeats import joined, repeat_loss
from torch.nn.functional import softplus

import pyrovae as pv
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import bounds

X = torch.tensor([[1.0, 0, 1, 1], [0, 0, 1, 0]])


def made(num_layers=2, latent_dim=2, **options):
    torch.manual_seed(0)
    spec = pv.data.DataSpec("toy", (4,), "binary", mean=torch.full((4,), 0.3))
    pair = pv.pairs.sbn(spec, latent_dim=latent_dim, num_layers=num_layers, **options)
    with torch.no_grad():
        for p in [*pair.model.parameters(), *pair.guide.parameters()]:
            p.copy_(0.8 * torch.randn_like(p))
    return pair


def log_bits(logits, z):
    return (z * logits - softplus(logits)).sum(-1)


def every_value(pair):
    """log p(x, z1, z2) and log q(z1, z2 | x), (V, B), by hand."""
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    z1, z2 = bits[:, None, :2], bits[:, None, 2:]
    model, guide = pair.model, pair.guide
    log_p = log_bits(model.prior, z2) + log_bits(model.layers[0](2 * z2 - 1), z1)
    log_p = log_p + model.likelihood(model.decoder(2 * z1 - 1)).log_prob(X)
    log_q = log_bits(guide.encoder(X - guide.mean), z1) + log_bits(guide.layers[0](2 * z1 - 1), z2)
    return log_p, log_q


def test_log_p_the_bound_of_two_draws_and_its_gradient_by_vimco():
    pair = made()
    log_p, log_q = every_value(pair)
    found = pv.log_evidence(pair, X, num_samples=20_000, seed=0)
    assert bool(((found.value - log_p.logsumexp(0)).abs() < 5 * found.stderr).all())
    two = torch.cartesian_prod(torch.arange(16), torch.arange(16))
    value = bounds.iwae((log_p - log_q)[two].transpose(0, 1))
    expected = -(log_q[two].sum(1).exp() * value).sum()
    parameters = dict(pair.guide.named_parameters())
    truth = torch.cat([g.flatten() for g in torch.autograd.grad(expected, list(parameters.values()))])
    losses, grads = repeat_loss(pv.objectives.get("vimco:num_particles=2"), pair, 3000, {"x": X})
    draws = joined(grads, "guide")
    assert ((draws.mean(0) - truth) / (draws.std(0) / len(draws) ** 0.5).clamp_min(1e-5)).abs().max() < 5
    assert abs(losses.mean() - expected.detach()) < 4 * losses.std() / len(losses) ** 0.5


def test_rws_gives_the_model_the_gradient_of_log_p_as_draws_grow():
    pair = made()
    log_p, _ = every_value(pair)
    truth = torch.autograd.grad(-log_p.logsumexp(0).sum(), pair.model.prior)[0]
    torch.manual_seed(0)
    loss = pv.objectives.get("rws:num_particles=40000").differentiable_loss(pair.model, pair.guide, x=X)
    torch.testing.assert_close(torch.autograd.grad(loss, pair.model.prior)[0], truth, rtol=0.05, atol=0.01)


def test_layers_that_depend_on_one_another_are_not_moved_at_once():
    x = X.repeat(9, 1)
    with pytest.raises(ContractError, match="sites z1, z2 of the guide depend on one another's draws, and REBAR"):
        pv.fit(made(), x, "rebar", steps=1, progress=False)
    for name in ("rebar", "elbo:estimator=arm"):
        pv.fit(made(1), x, name, steps=1, progress=False)
    for name in ("rws", "wake-sleep", "nvil", "iwae:num_particles=3,estimator=concrete"):
        pv.fit(made(3, hidden=[3]), x, name, steps=1, progress=False)
    with pytest.raises(OptionError, match="num_layers is 0"):
        made(0)
