"""The score function with a baseline a layer: what each sees, its gradient by enumeration, its noise, its state."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from steppers import step_of
from torch import nn
from torch.nn.functional import softplus

import pyrovae as pv
from pyrovae.core.dependence import downstream, score_dependence
from pyrovae.errors import UnusedOptionError
from pyrovae.objectives.nvil import signals
from pyrovae.objectives.objective import Given, as_updates, commit

X = torch.tensor([[1.0, 0, 1, 1, 0], [0, 0, 1, 0, 1]])


def made(num_layers=2, latent_dim=3):
    torch.manual_seed(0)
    spec = pv.data.DataSpec("toy", (5,), "binary", mean=torch.full((5,), 0.4))
    pair = pv.pairs.sbn(spec, latent_dim=latent_dim, num_layers=num_layers)
    with torch.no_grad():
        for p in [*pair.model.parameters(), *pair.guide.parameters()]:
            p.copy_(0.7 * torch.randn_like(p))
    return pair


def given(pair, x=X):
    return Given(pair.model, pair.guide, [{"x": x}])


def exact_gradient(pair):
    """Of the sum over data of the ELBO, by all 64 values of the bits of two layers, written by hand."""

    def log_bits(logits, z):
        return (z * logits - softplus(logits)).sum(-1)

    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6)
    z1, z2 = bits[:, None, :3], bits[:, None, 3:]
    log_p = log_bits(pair.model.prior, z2) + log_bits(pair.model.layers[0](2 * z2 - 1), z1)
    log_p = log_p + pair.model.likelihood(pair.model.decoder(2 * z1 - 1)).log_prob(X)
    log_q = log_bits(pair.guide.encoder(X - pair.guide.mean), z1) + log_bits(pair.guide.layers[0](2 * z1 - 1), z2)
    value = (log_q.exp() * (log_p - log_q)).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(pair.guide.parameters()))])


def estimates(pair, name, repeats=300, number=120, steps=150):
    """Independent estimates of that gradient, each of so many rows, what is learned beside the pair trained before."""
    torch.manual_seed(1)
    objective, many = pv.objectives.get(name), given(pair, X.repeat(repeats, 1))
    if objective.lacks_networks:
        with torch.no_grad():
            objective.build(objective.trace(many))
        own = list(objective.networks.parameters())
        adam = torch.optim.Adam([*own, nn.Parameter(torch.zeros(()))], lr=0.02)
        for _ in range(steps if own else 20):
            updates = objective.updates(many)
            (update,) = as_updates(next(updates))
            for parameter, grad in zip(own, torch.autograd.grad(update.loss, own) if own else [], strict=True):
                parameter.grad = grad
            adam.step()
            with pytest.raises(StopIteration) as end:
                next(updates)
            commit(end.value.value)
    found, parameters = [], list(pair.guide.parameters())
    for _ in range(number):
        (update,) = as_updates(next(objective.updates(many)))
        grads = torch.autograd.grad(-update.loss * len(X), parameters)
        found.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(found)


def test_each_layers_signal_is_what_it_reaches_and_its_baseline_sees_what_it_is_drawn_from():
    traced = pv.objectives.get("nvil").trace(given(made(3)))
    first, second, third = signals(traced)
    assert first == ((), (), ())
    assert second == (("z1",), ("x",), ("z1",))  # log p(z1 | z2) p(z2 | z3) p(z3) / q(z2 | z1) q(z3 | z2), as in the paper
    assert third == (("z2",), ("z1", "x"), ("z1", "z2"))
    objective = pv.objectives.get("nvil")
    objective.build(traced)
    for own, term in zip(objective.networks, (None, "x", "z1"), strict=True):
        out = traced.total(own.left_out(traced))
        expected = torch.zeros(1, 2) if term is None else traced.log_p["x"] - traced.log_q["z1"]
        expected = expected + (traced.log_p["z1"] - traced.log_q["z2"] if term == "z1" else 0.0)
        torch.testing.assert_close(out, expected)


def test_a_baseline_a_layer_is_unbiased_by_enumeration_and_takes_noise_away():
    pair = made()
    truth, deviation = exact_gradient(pair), {}
    for name in ("nvil:baseline=none", "nvil:baseline=average,normalize=false", "nvil:normalize=false"):
        draws = estimates(pair, name)
        z = (draws.mean(0) - truth) / (draws.std(0) / len(draws) ** 0.5)
        assert float(z.abs().max()) < 4, name
        deviation[name] = float(draws.var(0).sum().sqrt())
    plain, average, network = deviation.values()
    assert network < 0.95 * average < 0.6 * plain


def test_a_draw_that_reaches_another_through_a_third_is_told():
    class Model(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x), dim=-1):
                drawn = [pyro.sample(name, dist.Bernoulli(0.5 * torch.ones(2)).to_event(1)) for name in ("a", "b", "c")]
                pyro.sample("x", dist.Normal(drawn[2], 1.0).to_event(1), obs=x)

    class Guide(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))  # so that no value tells what depends on what

        def forward(self, x):
            with pyro.plate("data", len(x), dim=-1):
                a = pyro.sample("a", dist.Bernoulli(logits=x).to_event(1))
                b = pyro.sample("b", dist.Bernoulli(logits=x + self.w * a).to_event(1))
                pyro.sample("c", dist.Bernoulli(logits=x + self.w * (b > 0.5)).to_event(1))

    traced = pv.objectives.get("nvil").trace(given((pair := pv.Pair(Model(), Guide())), torch.zeros(3, 2)))
    model, guide = score_dependence(traced)
    assert model["x"] == {"c"} and guide["c"] == {"b", "c"} and guide["b"] == {"a", "b"}
    assert downstream("a", guide) == {"a", "b", "c"} and downstream("c", guide) == {"c"}
    assert signals(traced)[0].model == () and signals(traced)[2].model == ("a", "b")
    assert pair.guide.w.grad is None


def test_compiled_and_resumed_steps_are_the_eager_ones(tmp_path):
    results = []
    for backend in ("eager", "graph"):
        pair, x = made(), X.repeat(5, 1)
        step, bounds = step_of(pair, {"x": x}, "nvil", backend, lr=1e-2), []
        for seed in range(3):
            torch.manual_seed(seed)
            bounds.append(float(step({"x": x})))
        results.append((bounds, pair.state_dict()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    for name, value in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], value, rtol=1e-4, atol=1e-5)
    x, ends = X.repeat(30, 1), []
    for epochs in ((2,), (1, 2)):
        pair, folder = made(), tmp_path / str(len(epochs))
        pv.fit(pair, (x, x), "nvil", epochs=epochs[0], batch_size=20, progress=False, out=folder, seed=0)
        if len(epochs) > 1:
            pv.resume(folder, pair=pair, data=(x, x), epochs=2, progress=False)
        ends.append(pair.state_dict())
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name


def test_normalize_without_a_baseline_is_refused():
    with pytest.raises(UnusedOptionError, match="normalize=False goes with a baseline"):
        pv.objectives.get("nvil:baseline=none,normalize=false")
