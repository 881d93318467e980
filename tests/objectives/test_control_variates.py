"""REBAR, RELAX and ARM: unbiased, of less variance than the score function; the Gumbel-softmax objective by its two terms."""

from __future__ import annotations

import pytest
import torch
from relaxed_pairs import Looks, LooksGuide, X, every_value, gradient, tiny_pair
from steppers import assert_same_steps, steppers

import pyrovae as pv
from pyrovae import objectives
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives import Given
from pyrovae.objectives.objective import as_updates


def built(name, pair, **options):
    objective = objectives.get(name, **options)
    given = Given(pair.model, pair.guide, [{"x": X}])
    if objective.lacks_networks:
        with torch.no_grad():
            objective.build(objective.trace(given))
    return objective, given


def draws(name, pair, number, num_particles, seed=0):
    """Gradients of the guide and the model, summed over the data, and values, of so many estimates."""
    objective, given = built(name, pair, num_particles=num_particles)
    torch.manual_seed(seed)
    if name == "relax":
        for p in objective.networks.network.parameters():
            torch.nn.init.normal_(p)
    rows, values = [], []
    parameters = [*pair.guide.parameters(), *pair.model.parameters()]
    for _ in range(number):
        update = as_updates(next(objective.updates(given)))[0]
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(update.loss * len(X), parameters)]))
        values.append(update.bound.detach().sum())
    return torch.stack(rows), torch.stack(values)


@pytest.mark.parametrize(("name", "num_classes"), [("rebar", 2), ("rebar", 3), ("relax", 2), ("arm", 2)])
def test_they_are_unbiased_for_the_elbo_by_enumeration_and_of_less_variance(name, num_classes):
    pair = tiny_pair(num_variables=1 if num_classes == 3 else 2, num_classes=num_classes)
    joint, log_q = every_value(pair)
    expected = -(log_q.exp() * (joint - log_q)).sum()
    truth = torch.cat([gradient(expected, pair, part) for part in ("guide", "model")])
    found, values = draws(name, pair, 24, 800)
    z = (found.mean(0) - truth) / (found.std(0) / len(found) ** 0.5).clamp_min(1e-5)
    assert z.abs().max() < 5 and z.square().mean() < 2.5
    assert abs(values.mean() + expected.detach()) < 4.5 * values.std() / len(values) ** 0.5
    score, _ = draws("elbo", pair, 24, 800)
    guide = slice(0, sum(p.numel() for p in pair.guide.parameters()))
    if num_classes == 2 and name != "relax":  # whose network is random here
        assert found[:, guide].var(0).sum() < 0.5 * score[:, guide].var(0).sum()


def test_rebar_without_its_variate_is_the_score_function_and_relax_begins_as_rebar():
    pair, results = tiny_pair(num_classes=2), {}
    for name in ("rebar:eta=0", "rebar", "relax"):
        objective, given = built(name, pair)
        torch.manual_seed(4)
        update = as_updates(next(objective.updates(given)))[0]
        results[name] = gradient(update.loss, pair)
    assert torch.equal(results["rebar"], results["relax"]) and not torch.equal(results["rebar"], results["rebar:eta=0"])
    objective, given = built("rebar:eta=0", pair)
    torch.manual_seed(4)
    traced, sites = objective.many(given)
    loss = as_updates(objective.estimate(given, traced, sites))[0]
    torch.manual_seed(4)
    traced, sites = objective.many(given)
    ((_, logits),) = sites.values()
    b = ((logits + torch.rand_like(logits).clamp_min(1e-8).logit()) > 0).float()
    scored = objective.scored(given, traced, {"z": (b, b, b)})
    weight, score = scored.log_weight[:1], scored.log_q["z"][:1]
    by_hand = -(weight + (weight.detach() * score) + score - score.detach()).mean()
    torch.testing.assert_close(gradient(loss.loss, pair), gradient(by_hand, pair), rtol=1e-4, atol=1e-5)


def test_the_second_update_lowers_the_square_of_the_first_and_moves_nothing_else():
    pair = tiny_pair(num_classes=2)
    objective, _ = built("relax", pair)
    pairs = [*pair.model.parameters(), *pair.guide.parameters()]
    torch.manual_seed(0)
    first, control = as_updates(next(objective.updates(Given(pair.model, pair.guide, [{"x": X}], params={"pair": pairs}))))
    grads = torch.autograd.grad(first.loss, pairs, retain_graph=True)
    torch.testing.assert_close(control.loss, sum(g.square().sum() for g in grads), rtol=1e-4, atol=1e-6)
    own = torch.autograd.grad(control.loss, list(objective.networks.parameters()), retain_graph=True, allow_unused=True)
    assert all(g is not None and bool(g.isfinite().all()) for g in own)
    assert own[0] != 0 and own[1] != 0


@pytest.mark.parametrize("name", ["rebar", "relax:hidden=5", "arm:num_particles=2", "gumbel-kl"])
def test_a_traced_step_is_the_eager_one(name):
    pair = tiny_pair(num_classes=2)
    step, eager = steppers(pair.model, pair.guide, {"x": X}, name)
    assert_same_steps(step, eager, {"x": X})


@pytest.mark.parametrize("num_classes", [2, 3])
def test_gumbel_kl_is_a_relaxed_reconstruction_and_the_discrete_kl(num_classes):
    pair = tiny_pair(num_classes=num_classes)
    joint, log_q = (each.detach() for each in every_value(pair))
    n, c = pair.model.num_variables, num_classes
    kl = (log_q.exp() * (log_q + n * torch.tensor(float(c)).log())).sum(0)
    objective, given = built("gumbel-kl:temperature=0.4", pair)
    torch.manual_seed(0)
    traced = objective.trace(given)
    terms = objective.terms(traced)
    torch.testing.assert_close(traced.log_likelihood.mean(0) - terms.bound, kl, rtol=1e-4, atol=1e-5)
    z = traced.latents["z"]
    assert bool(((z > 1e-3) & (z < 1 - 1e-3)).any())
    sharp, _ = built("gumbel-kl:temperature=0.02,num_particles=20000", pair)
    expected = (log_q.exp() * (joint - log_q)).sum(0)
    torch.testing.assert_close(sharp.value(given).detach(), expected, rtol=0, atol=0.05)
    with torch.no_grad():
        torch.manual_seed(3)
        hard = objectives.get("elbo").value(given)
        torch.manual_seed(3)
        assert torch.equal(objective.value(given), hard)


def test_what_they_do_not_serve_is_refused():
    def fit(pair, name):
        pv.fit(pair, X.repeat(9, 1), name, steps=1, progress=False)

    with pytest.raises(ContractError, match=r"site 'z' is a OneHotCategorical, and ARM.* is for bits; use 'rebar'"):
        fit(tiny_pair(num_classes=3).pair, "elbo:estimator=arm")
    for name in ("rebar", "arm", "gumbel-kl"):
        with pytest.raises(ContractError, match="no latent site of the guide is discrete"):
            fit((Looks("normal"), LooksGuide("normal")), name)
    with pytest.raises(OptionError, match="expected a positive number"):
        objectives.get("relax:temperature=0")
