"""The conditional sigmoid belief network: log p(x | c), bound and gradient by enumeration of all bits of both layers."""

from __future__ import annotations

import pytest
import torch
from repeats import joined, repeat_loss
from torch.nn.functional import softplus

import pyrovae as pv
from pyrovae.data.conditions import _Half
from pyrovae.errors import OptionError


def made(posterior="prior", **options):
    torch.manual_seed(0)
    x = torch.bernoulli(torch.full((60, 2, 3), 0.5))
    data = pv.data.load({"x": x}, kinds={"x": "binary"}, transforms=["halves"])
    pair = pv.pairs.conditional_sbn(data.spec, latent_dim=2, posterior=posterior, **options)
    with torch.no_grad():
        for p in [*pair.model.parameters(), *pair.guide.parameters()]:
            p.copy_(0.5 * torch.randn_like(p))
    return pair, data


def log_bits(logits, z):
    return (z * logits - softplus(logits)).sum(-1)


def every_value(pair, batch):
    """log p(x_rest, z1, z2 | c) and log q(z1, z2 | x, c), (16, B), by hand."""
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    z1, z2 = bits[:, None, :2], bits[:, None, 2:]
    model, guide, (x, c, given) = pair.model, pair.guide, (batch[key] for key in ("x", "c", "given"))
    prior = log_bits(model.prior(c, given), z2) + log_bits(model.layers[0](2 * z2 - 1), z1)
    logits = model.decoder(2 * z1 - 1)[..., 0, :, :]
    log_p = prior + ((x * logits - softplus(logits)) * (1 - given)).sum((-2, -1))
    if hasattr(guide, "encoder"):
        ones = [torch.ones(16, 1, 1, 1) * each for each in (c, given)]
        log_q = log_bits(guide.encoder(x, c, given), z1)
        return log_p, log_q + log_bits(guide.layers[0](2 * z1.expand(-1, len(x), -1) - 1, *ones), z2)
    return log_p, prior


@pytest.mark.parametrize("posterior", ["prior", "encoder"])
def test_log_p_of_the_rest_given_the_half_and_the_gradient_of_the_bound(posterior):
    pair, data = made(posterior)
    batch = {key: value for key, value in data.train[torch.arange(2)].items() if key in ("x", "c", "given")}
    log_p, log_q = every_value(pair, batch)
    found = pv.log_evidence(pair, batch, num_samples=20_000, seed=0)
    assert pair.model.quantity == "log p(x | c)" and found.bound == "lower"
    assert bool(((found.value - log_p.logsumexp(0)).abs() < 5 * found.stderr).all())
    parameters = dict(pair.guide.named_parameters())
    weight = log_p - log_q
    value = (log_q.exp() * weight).sum()
    truth = torch.cat([g.flatten() for g in torch.autograd.grad(-value, list(parameters.values()))])
    losses, grads = repeat_loss(pv.objectives.get("nvil:baseline=none"), pair, 3000, batch)
    owners = "model" if posterior == "prior" else "guide"  # which shares its modules
    names = {f"{owners}.{name}" for name in parameters}
    draws = joined({name: grad for name, grad in grads.items() if name in names})
    assert ((draws.mean(0) - truth) / (draws.std(0) / len(draws) ** 0.5).clamp_min(1e-5)).abs().max() < 4.5
    assert abs(losses.mean() + value.detach()) < 4 * losses.std() / len(losses) ** 0.5


def test_what_is_given_is_not_scored_and_the_halves_are_those_of_the_name():
    pair, data = made()
    batch = data.train[torch.arange(2)]
    assert batch["given"][0].tolist() == [[1, 1, 1], [0, 0, 0]]
    x = torch.arange(15.0).reshape(1, 3, 5)
    shown = {name: _Half(name)({"x": x + 1}, None)["given"][0] for name in ("upper", "lower", "left", "right")}
    assert shown["upper"].sum(1).tolist() == [5, 0, 0] and shown["lower"].sum(1).tolist() == [0, 5, 5]
    assert shown["left"].sum(0).tolist() == [3, 3, 0, 0, 0] and shown["right"].sum(0).tolist() == [0, 0, 3, 3, 3]
    found = [pv.log_evidence(pair, {**batch, "x": value}, num_samples=50).value for value in (
        batch["x"], torch.where(batch["given"] > 0, 1 - batch["x"], batch["x"])
    )]  # fmt: skip
    assert torch.equal(*found)  # by the prior as guide, which sees c alone


def test_it_trains_by_every_estimator_that_takes_layers_and_refuses_what_makes_no_sense():
    pair, data = made(hidden=[3])
    for name in ("elbo:estimator=straight-through", "elbo:estimator=concrete", "nvil", "vimco:num_particles=2"):
        run = pv.fit(pair, data, name, epochs=1, batch_size=20, progress=False)
        assert run.records[-1]["train"] < 0
    with pytest.raises(OptionError, match="num_layers is 0"):
        made(num_layers=0)
    with pytest.raises(OptionError, match="given is 'top'; expected one of upper, lower, left, right"):
        pv.data.load("digits", transforms=["halves:given=top"])
    with pytest.raises(OptionError, match="has no condition"):
        pv.pairs.conditional_sbn(pv.data.DataSpec("toy", (4,), "binary"))
