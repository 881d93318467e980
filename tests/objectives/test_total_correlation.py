"""beta-TCVAE's and FactorVAE's objectives: against the ELBO, closed forms, and each other's parameters."""

from __future__ import annotations

import math
import signal

import pytest
import torch
from fits import assert_same, comparable
from steppers import step_of

import pyrovae as pv
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import Factor, Given, TotalCorrelation
from pyrovae.objectives.moves import moved_parameters, prepare_objective
from pyrovae.objectives.total_correlation import permuted


def tiny(digits):
    torch.manual_seed(0)
    return pv.pairs.vae(digits.spec, latent_dim=3, hidden=[16])


def loss_and_gradient(pair, objective, batch, data_size):
    torch.manual_seed(1)
    given = Given(pair.model, pair.guide, [batch], data_size=data_size)
    (update,) = list(objective.updates(given))
    grads = torch.autograd.grad(update.loss, [*pair.model.parameters(), *pair.guide.parameters()])
    return [update.loss, update.bound, *grads]


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
@pytest.mark.parametrize("weighting", ["minibatch", "stratified"])
def test_with_all_weights_one_it_is_the_elbo_whatever_the_weighting(digits, kl, weighting):
    pair, batch = tiny(digits), digits.train[torch.arange(20)]
    plain = pv.objectives.get({"analytic": "meanfield", "sampled": "elbo"}[kl], num_particles=2)
    ours = TotalCorrelation(beta=1.0, weighting=weighting, kl=kl, num_particles=2)
    for one, other in zip(*(loss_and_gradient(pair, each, batch, 1000) for each in (ours, plain)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_each_weight_counts_its_own_part(digits):
    """By finite differences in the weights, the sampled form is Eq. (4) term by term, from scores made by hand."""
    pair, batch = tiny(digits), digits.train[torch.arange(20)]

    def loss(**options):
        return loss_and_gradient(pair, TotalCorrelation(kl="sampled", **options), batch, 20)[0]

    torch.manual_seed(1)
    traced = pv.objectives.ELBO().trace(Given(pair.model, pair.guide, [batch]))
    fn, z = traced.guide_sites["z"]["fn"].base_dist, traced.latents["z"][0]
    scores = torch.distributions.Normal(fn.loc[0], fn.scale[0]).log_prob(z.unsqueeze(1))  # (B, B', d)
    joint = scores.sum(-1).logsumexp(1) - math.log(20) - math.log(20)  # minibatch weights, N = B = 20
    product = (scores.logsumexp(1) - math.log(20) - math.log(20)).sum(-1)
    parts = {
        "alpha": traced.log_q["z"][0] - joint,
        "beta": joint - product,
        "gamma": product - traced.log_p["z"][0],
    }
    base = loss(alpha=1.0, beta=1.0, gamma=1.0)
    for name, part in parts.items():
        raised = loss(**{"alpha": 1.0, "beta": 1.0, "gamma": 1.0, name: 3.0})
        torch.testing.assert_close(raised - base, 2 * part.mean(), rtol=1e-4, atol=1e-4)


def test_the_discriminators_logit_is_the_density_ratio():
    torch.manual_seed(0)
    root = torch.linalg.cholesky(torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
    objective = Factor(hidden=32, depth=2)
    objective.build(type("Traced", (), {"latents": {"z": torch.zeros(1, 1, 2)}})())
    optimizer = torch.optim.Adam(objective.networks.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
    for _ in range(1500):
        joint, other = torch.randn(1, 1000, 2) @ root.T, torch.randn(1, 1000, 2) @ root.T
        loss = torch.nn.functional.softplus(-objective.ratio(joint)).mean()
        loss = loss + torch.nn.functional.softplus(objective.ratio(permuted(other))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    with torch.no_grad():
        estimate = objective.ratio(torch.randn(1, 200_000, 2) @ root.T).mean()
    assert float(estimate) == pytest.approx(0.5108, abs=0.03)


def test_permuted_codes_keep_their_marginals_and_lose_their_dependence():
    torch.manual_seed(0)
    z = torch.randn(2, 500, 1).expand(2, 500, 3)
    shuffled = permuted(z)
    for k in range(2):
        assert torch.corrcoef(shuffled[k].T).fill_diagonal_(0).abs().max() < 0.2
        for j in range(3):
            assert torch.equal(shuffled[k, :, j].sort().values, z[k, :, j].sort().values)


def test_each_loss_moves_its_own_parameters_and_no_others(digits):
    """The table update x group of gradient norms: what backward() on the same graph would reach, and what is applied."""
    pair, objective = tiny(digits), Factor(gamma=3.0, hidden=8, depth=1)
    batches = [digits.train[torch.arange(20)], digits.train[torch.arange(20, 40)]]
    prepare_objective(objective, pair.model, pair.guide, batches[0])
    groups = {"model": pair.model, "guide": pair.guide, "objective": objective.networks}
    moved = moved_parameters(objective, pair.model, pair.guide)
    (updates,) = list(objective.updates(Given(pair.model, pair.guide, batches)))
    table, reached = {}, {}
    for update in updates:
        for name, module in groups.items():
            ps = list(module.parameters())
            grads = torch.autograd.grad(update.loss, ps, retain_graph=True, allow_unused=True)
            own = {id(p) for p in moved[update.name]}
            reached[update.name, name] = sum(float(g.norm()) for g in grads if g is not None)
            table[update.name, name] = sum(
                float(g.norm()) for p, g in zip(ps, grads, strict=True) if g is not None and id(p) in own
            )
    assert {key for key, norm in table.items() if norm == 0} == {
        ("pair", "objective"),
        ("discriminator", "model"),
        ("discriminator", "guide"),
    }
    assert reached["discriminator", "guide"] == 0 and reached["discriminator", "model"] == 0  # codes are detached
    assert reached["pair", "objective"] > 1e-4 and table["discriminator", "objective"] > 1e-4


@pytest.mark.parametrize(
    "objective",
    [lambda: Factor(hidden=8, depth=1), lambda: TotalCorrelation(weighting="stratified", num_particles=2, data_size=700)],
)
def test_a_traced_step_is_the_eager_one(digits, objective):
    results = []
    for backend in ("eager", "graph"):
        pair, ours = tiny(digits), objective()
        batches = [digits.train[torch.arange(50)], digits.train[torch.arange(50, 100)]][: ours.num_batches]
        torch.manual_seed(5)
        step, bounds = step_of(pair, batches, ours, backend, lr=1e-2), []
        for seed in range(4):
            torch.manual_seed(seed)
            bounds.append(float(step(batches)))
        results.append((bounds, list(pair.model.parameters()) + list(pair.guide.parameters())))
    (eager, ours), (traced, theirs) = results
    assert eager == pytest.approx(traced, rel=1e-5)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("objective", ["factor:hidden=8,depth=1", "tc:beta=3"])
def test_a_run_that_was_ended_resumes_bitwise(digits, tmp_path, objective):
    options = {"batch_size": 200, "progress": False, "compile": False}
    pv.fit(tiny(digits), digits, objective, epochs=2, out=tmp_path / "whole", **options)

    class Stopped(pv.train.Callback):
        def on_step_end(self, run, step, bound):
            if run.step == 5 and not again:
                again.append(run.step)
                signal.raise_signal(signal.SIGTERM)

    again = []
    broken = pv.fit(tiny(digits), digits, objective, epochs=2, out=tmp_path / "part", callbacks=[Stopped()], **options)
    assert again == [5] and broken.unfinished
    pv.resume(tmp_path / "part", callbacks=[], progress=False)
    assert_same(comparable(tmp_path / "part"), comparable(tmp_path / "whole"))


def test_what_they_cannot_do_is_refused(digits):
    batch = digits.train[torch.arange(5)]
    pair = tiny(digits)
    with pytest.raises(OptionError, match="needs N, the number of training data: train with fit, or give it data_size"):
        pv.objectives.get("tc").differentiable_loss(pair.model, pair.guide, **batch)
    with pytest.raises(ContractError, match="site 'z2' of the guide depends on the draw of another latent site"):
        pv.fit(pv.pairs.two_layer_vae(digits.spec, hidden=[8], upper_hidden=[8]), digits, "tc", epochs=1, progress=False)
    with pytest.raises(OptionError, match="no weighting is called 'stratifed'; did you mean 'stratified'"):
        TotalCorrelation(weighting="stratifed")
    with pytest.raises(OptionError, match="no kl is called 'exact'"):
        Factor(kl="exact")
    with pytest.raises(OptionError, match="gamma is -1; expected a number of at least 0"):
        Factor(gamma=-1)
    with pytest.raises(OptionError, match="depth is 0; expected a whole number of at least 1"):
        Factor(depth=0)
