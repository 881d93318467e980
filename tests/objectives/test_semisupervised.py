"""Semi-supervised objectives against brute-force sums over classes, with the same draws of z."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from repeats import joined, repeat
from torch.fx.experimental.proxy_tensor import make_fx

import pyrovae as pv
from pyrovae import objectives
from pyrovae.compile.step import Step
from pyrovae.core.parameters import parameters
from pyrovae.data import DataSpec
from pyrovae.effects.labels import Labelled
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives.semisupervised import Parts

SPEC = DataSpec("toy", (4,), "binary", classes=3)
LABELS = torch.tensor([2, -1, 0, -1, -1, 1])


def toy():
    torch.manual_seed(0)
    pair = pv.pairs.m2(SPEC, latent_dim=2, hidden=[5])
    with torch.no_grad():
        pair.guide.encoder.mlp[-1].weight *= 0.3  # near the prior, so that importance weights have a small variance
    return pair, {"x": torch.bernoulli(torch.full((6, 4), 0.5)), "y": LABELS.clone()}


def bounds_of(pair, batch, draws=3000, **options):
    """Draws of the reported bound, (draws, B): the batch is repeated, not the trace."""
    repeated = {key: value.repeat(100, *[1] * (value.dim() - 1)) for key, value in batch.items()}
    objective = objectives.get("semisupervised", alpha=0.0, **options)
    given = objectives.Given(pair.model, pair.guide, [repeated])
    objective.build(objective.trace(given))
    with torch.no_grad():
        terms = [objective.terms(objective.trace(given)).bound for _ in range(draws // 100)]
    return torch.cat(terms).unflatten(0, (-1, len(batch["y"])))


def kingma(pair, batch, z, analytic, num_particles=1, base="elbo"):
    """Eq. (6) to (8) term by term from the networks alone: a loop over classes, no trace, no masks."""
    x, y = batch["x"], batch["y"]
    log_q_y = pair.guide.classifier(x).log_softmax(-1)
    per_class = []
    for c in range(3):
        one_hot = torch.eye(3)[c].expand(num_particles, 6, 3)
        loc, raw = pair.guide.encoder(x, torch.eye(3)[c].expand(6, 3)).chunk(2, -1)
        scale = torch.nn.functional.softplus(raw) + 1e-3
        draw = loc + scale * ((z[c] - loc) / scale).detach()
        likelihood = dist.Bernoulli(logits=pair.model.decoder(draw, one_hot).squeeze(-2)).log_prob(x).sum(-1)
        q, p = dist.Normal(loc, scale), dist.Normal(torch.zeros(2), torch.ones(2))
        kl = torch.distributions.kl_divergence(q, p).sum(-1) if analytic else (q.log_prob(draw) - p.log_prob(draw)).sum(-1)
        per_class.append(likelihood - math.log(3) - kl)  # L(x, y) of each particle, (K, B)
    bounds = torch.stack(per_class, -1)
    rows = []
    for b in range(6):
        unlabelled = (log_q_y[b].exp() * (bounds[:, b] - log_q_y[b])).sum(-1)
        values = bounds[:, b, y[b]] if y[b] >= 0 else unlabelled
        rows.append(values.mean() if base != "iwae" else values.logsumexp(0) - math.log(num_particles))
    labelled = [log_q_y[b, y[b]] for b in range(6) if y[b] >= 0]
    return torch.stack(rows), torch.stack(labelled).mean()


@pytest.mark.parametrize(
    ("base", "num_particles"), [("elbo", 1), ("elbo", 3), ("meanfield", 1), ("meanfield", 2), ("iwae", 1), ("iwae", 4)]
)
def test_value_and_gradient_equal_the_sums_of_kingma(base, num_particles):
    pair, batch = toy()
    objective = objectives.get("semisupervised", alpha=0.7, base=base, num_particles=num_particles)
    traced = objective.trace(objectives.Given(pair.model, pair.guide, [batch]))
    bound, surrogate, _ = objective.terms(traced)
    truth, classification = kingma(pair, batch, traced.latents["z"].detach(), base == "meanfield", num_particles, base)
    torch.testing.assert_close(bound, truth, rtol=1e-5, atol=1e-5)
    params = parameters(pair.model, pair.guide)
    ours = torch.autograd.grad(surrogate.mean(), params.values(), retain_graph=True)
    expected = torch.autograd.grad(truth.mean() + 0.7 * classification, params.values())
    for name, one, other in zip(params, ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")


def test_without_labels_it_is_the_elbo_and_a_labelled_row_gives_the_classifier_no_gradient_but_alphas():
    pair, batch = toy()
    batch["y"].fill_(-1)
    values = []
    for name in ("semisupervised", "elbo"):
        torch.manual_seed(3)
        values.append(objectives.get(name).loss(pair.model, pair.guide, **batch))
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    batch["y"] = torch.tensor([0, 1, 2, 0, 1, 2])
    for alpha, moved in ((0.0, False), (1.0, True)):
        pair.guide.zero_grad()
        objectives.get("semisupervised", alpha=alpha).differentiable_loss(pair.model, pair.guide, **batch).backward()
        assert all(bool((p.grad != 0).any()) == moved for p in pair.guide.classifier.parameters())


def test_rows_do_not_depend_on_the_others_labels_nor_on_their_order():
    pair, batch = toy()
    objective = objectives.get("semisupervised:base=meanfield")

    def log_weight(y):
        torch.manual_seed(1)
        return objective.terms(objective.trace(objectives.Given(pair.model, pair.guide, [{"x": batch["x"], "y": y}]))).bound

    one = log_weight(batch["y"])
    other = log_weight(torch.tensor([2, -1, 1, 0, -1, 1]))
    assert torch.equal(one[[0, 1, 4, 5]], other[[0, 1, 4, 5]]) and (one[[2, 3]] != other[[2, 3]]).all()


def test_the_classification_term_is_a_mean_over_labelled_rows_and_nothing_without_them():
    pair, batch = toy()
    objective = objectives.get("semisupervised:alpha=2.0")
    traced = objective.trace(objectives.Given(pair.model, pair.guide, [batch]))
    terms = objective.terms(traced)
    log_q = pair.guide.classifier(batch["x"]).log_softmax(-1)
    mean = log_q[[0, 2, 5], [2, 0, 1]].mean()
    torch.testing.assert_close((terms.surrogate - terms.bound).mean(), 2.0 * mean)
    batch["y"].fill_(-1)
    terms = objective.terms(objective.trace(objectives.Given(pair.model, pair.guide, [batch])))
    assert torch.equal(terms.surrogate, terms.bound)


# ------------------------------------------------------------------------------------------------ evidence
def exact_joint(pair, x, order=40):
    """log p(x, y) of the toy M2 by Gauss-Hermite quadrature over its two latent dimensions, (B, 3)."""
    import numpy as np

    points, weights = (torch.tensor(v, dtype=torch.float32) for v in np.polynomial.hermite_e.hermegauss(order))
    z = torch.cartesian_prod(points, points)
    log_weights = torch.cartesian_prod(*[(weights / math.sqrt(2 * math.pi)).log()] * 2).sum(1)
    columns = []
    for c in range(3):
        logits = pair.model.decoder(z, torch.eye(3)[c].expand(len(z), 3)).squeeze(-2)
        scores = dist.Bernoulli(logits=logits).to_event(1).log_prob(x.unsqueeze(1))
        columns.append((scores + log_weights).logsumexp(1) - math.log(3))
    return torch.stack(columns, 1).detach()


def test_evidence_sums_y_out_and_the_labelled_pair_has_log_p_x_y():
    pair, batch = toy()
    joint = exact_joint(pair, batch["x"])
    evidence = pv.log_evidence(pair, {"x": batch["x"]}, num_samples=4000)
    z = (evidence.value - joint.logsumexp(1)) / evidence.stderr
    assert z.abs().max() < 5 and evidence.stderr.max() < 0.1
    labels = torch.tensor([2, 1, 0, 0, 2, 1])
    programs = (Labelled(pair.model, "model", "sampled"), Labelled(pair.guide, "guide", "sampled"))
    given = pv.log_evidence(programs, {"x": batch["x"], "y": labels}, num_samples=4000)
    z = (given.value - joint[torch.arange(6), labels]) / given.stderr
    assert z.abs().max() < 5 and given.stderr.max() < 0.1


def test_the_bound_of_a_mixed_batch_rises_to_log_p_of_what_is_known():
    pair, batch = toy()
    joint = exact_joint(pair, batch["x"])
    truth = torch.where(LABELS >= 0, joint.gather(1, LABELS.clamp_min(0).unsqueeze(1)).squeeze(1), joint.logsumexp(1))
    programs = (Labelled(pair.model, "model"), Labelled(pair.guide, "guide"))
    evidence = pv.log_evidence(programs, batch, num_samples=4000)
    assert ((evidence.value - truth) / evidence.stderr).abs().max() < 5
    bounds = {base: bounds_of(pair, batch, 500, base=base, num_particles=20) for base in ("elbo", "iwae")}
    error = bounds["elbo"].std(0) / 500**0.5 + bounds["iwae"].std(0) / 500**0.5
    assert (bounds["elbo"].mean(0) < bounds["iwae"].mean(0) + 4 * error).all()
    assert (bounds["iwae"].mean(0) < truth + 4 * error).all()


def test_completions_of_a_pair_with_a_class_have_the_conditional_law():
    """p(x_3, x_4 | x_1, x_2) by the sum over all completions of log p(x), against Markov chains through y and z."""
    pair, _ = toy()
    known = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    rest = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 2)
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0])
    draws = pv.complete(
        pair,
        {"x": torch.cat([known, torch.zeros(2, 2)], 1), "mask": mask.expand(2, 4)},
        num_samples=4000,
        num_steps=40,
    )
    for row in range(2):
        every = torch.cat([known[row].expand(4, 2), rest], 1)
        truth = exact_joint(pair, every).logsumexp(1).softmax(0)
        came = (draws[:, row, None, 2:] == rest).all(-1).float().mean(0)
        assert ((came - truth).abs() < 5 * (truth * (1 - truth) / 4000).sqrt() + 0.01).all(), (came, truth)


# ------------------------------------------------------------------------------------------------ drawn and relaxed y
@pytest.mark.parametrize("options", [{"y": "sampled"}, {"y": "sampled", "base": "nvil"}, {"y": "sampled", "base": "iwae"}])
def test_sampled_y_has_the_mean_of_the_enumerated_bound(options):
    pair, batch = toy()
    values = {"drawn": bounds_of(pair, batch, **options), "summed": bounds_of(pair, batch)}
    error = sum(v.var(0) / len(v) for v in values.values()).sqrt()
    assert ((values["drawn"].mean(0) - values["summed"].mean(0)) / error).abs().max() < 4.5
    assert (values["drawn"].var(0) > values["summed"].var(0))[LABELS < 0].all()


def test_the_score_function_gradient_is_unbiased():
    pair, batch = toy()

    def gradients(n, **options):
        objective = objectives.get("semisupervised", alpha=0.3, **options)

        def surrogate(model, guide):
            return objective.terms(objective.trace(objectives.Given(model, guide, [batch]))).surrogate.mean()

        return joined(repeat(surrogate, pair.model, pair.guide, n)[1], "guide.classifier")

    drawn, summed = gradients(1500, y="sampled"), gradients(200)
    error = (drawn.var(0) / len(drawn) + summed.var(0) / len(summed)).sqrt().clamp_min(1e-7)
    assert ((drawn.mean(0) - summed.mean(0)) / error).abs().max() < 5
    assert summed.var(0).sum() < 0.5 * drawn.var(0).sum()


def test_the_relaxed_y_tends_to_the_enumerated_bound_as_it_cools_and_says_that_it_is_none():
    pair, batch = toy()

    truth = bounds_of(pair, batch, base="meanfield").mean(0)
    values = bounds_of(pair, batch, base="meanfield", y="relaxed", temperature=0.02)
    cold, error = values.mean(0), values.std(0) / len(values) ** 0.5
    assert ((cold - truth).abs() < 5 * error + 0.02).all()
    assert objectives.get("semisupervised:y=relaxed").bound == "estimate"
    objective = objectives.get("semisupervised:y=relaxed,base=meanfield,temperature=1.0")
    surrogate = objective.terms(objective.trace(objectives.Given(pair.model, pair.guide, [batch]))).surrogate.mean()
    grads = torch.autograd.grad(surrogate, list(pair.guide.classifier.parameters()))
    assert all((g != 0).any() for g in grads)


# ------------------------------------------------------------------------------------------------ refusals
def test_what_it_refuses():
    pair, batch = toy()
    with pytest.raises(OptionError, match="base 'nvil' is for a drawn y"):
        objectives.get("semisupervised:base=nvil")
    with pytest.raises(OptionError, match="did you mean 'sampled'"):
        objectives.get("semisupervised:y=sampld")
    with pytest.raises(OptionError, match="alpha is -1"):
        objectives.get("semisupervised:alpha=-1")
    with pytest.raises(OptionError, match="did you mean 'meanfield'"):
        objectives.get("semisupervised:base=mean-field")
    with pytest.raises(OptionError, match="did you mean 'beta'"):
        objectives.get("semisupervised", base={"name": "elbo", "bet": 2})
    with pytest.raises(OptionError, match="no option of objective meanfield is called 'betta'; did you mean 'beta'"):
        objectives.get("semisupervised:base=meanfield,base.betta=2")
    with pytest.raises(ContractError, match="data lack y"):
        objectives.get("semisupervised").loss(pair.model, pair.guide, x=batch["x"])
    vae = pv.pairs.vae(SPEC, latent_dim=2)
    with pytest.raises(ContractError, match="latent site 'y' in both programs"):
        objectives.get("semisupervised").loss(vae.model, vae.guide, **batch)
    with pytest.raises(OptionError, match="has no labels y"):
        pv.pairs.m2(DataSpec("toy", (4,), "binary"))


def test_options_of_the_base_in_one_text():
    objective = objectives.get("semisupervised:alpha=2,base=meanfield,base.beta=3,base.num_particles=4")
    assert type(objective.inner) is objectives.MeanField and (objective.alpha, objective.num_particles) == (2, 4)
    assert objective.inner.beta == 3 and objectives.get("semisupervised:base.beta=5").inner.beta == 5
    assert repr(objectives.get("semisupervised:base.beta=3,base=meanfield").base) == "{'beta': 3, 'name': 'meanfield'}"


# ------------------------------------------------------------------------------------------------ training
def test_m2_learns_the_digits_from_five_labels_a_class_better_than_a_classifier_alone():
    data = pv.data.load("digits", binarization="threshold", transforms=["few-labels:num_labels=50,seed=1"])
    accuracy = {}
    for name, objective in {"m2": {"base": "meanfield", "alpha": 1.0}, "alone": {"alpha": 1e4}}.items():
        torch.manual_seed(0)
        pair = pv.pairs.m2(data.spec, latent_dim=10, hidden=[60])
        options = {"epochs": 25, "lr": 1e-2, "batch_size": 200, "validate": False, "progress": False}
        pv.fit(pair, data, {"name": "semisupervised", **objective}, **options)
        with torch.no_grad():
            accuracy[name] = float((pair.guide.classifier(data.test["x"]).argmax(-1) == data.test["y"]).float().mean())
    assert accuracy["m2"] > 0.85 > accuracy["alone"] + 0.04, accuracy


def test_learned_baselines_of_a_drawn_y_train_and_resume(tmp_path):
    data = pv.data.load("digits", transforms=["few-labels:num_labels=50"])
    objective = {"name": "semisupervised", "y": "sampled", "base": "nvil", "alpha": 1.0}

    def pair():
        torch.manual_seed(0)
        return pv.pairs.m2(data.spec, latent_dim=3, hidden=[10])

    whole = pv.fit(pair(), data, objective, steps=12, batch_size=200, progress=False)
    pv.fit(pair(), data, objective, steps=5, batch_size=200, progress=False, out=tmp_path / "run", tensorboard=False)
    resumed = pv.resume(tmp_path / "run", steps=12, progress=False)
    for one, other in zip(whole.guide.parameters(), resumed.guide.parameters(), strict=True):
        assert torch.equal(one, other)


# ------------------------------------------------------------------------------------------------ static shapes
@pytest.mark.parametrize("name", ["m2", "m1-m2", "adgm", "sdgm"])
@pytest.mark.parametrize(
    "options", [{"base": "meanfield"}, {"base": "iwae", "num_particles": 2}, {"y": "sampled"}, {"y": "relaxed"}]
)
def test_a_step_traced_once_serves_any_labels(name, options):
    """The graph of loss and gradients, recorded on one batch, gives the eager values on another with other rows labelled."""
    torch.manual_seed(0)
    pair = pv.pairs.get(name).build(SPEC, latent_dim=2, hidden=[5])
    objective = objectives.get("semisupervised", **options)
    params = [p for p in parameters(pair.model, pair.guide).values() if p.requires_grad]

    def step(x, y):
        terms = objective.terms(objective.trace(objectives.Given(pair.model, pair.guide, [{"x": x, "y": y}])))
        return (terms.bound, *torch.autograd.grad(terms.surrogate.mean(), params))

    x = torch.bernoulli(torch.full((6, 4), 0.5))
    with pyro.validation_enabled(False):
        graph = make_fx(step)(x, torch.full((6,), -1))
        for labels in (LABELS, torch.tensor([0, 1, 2, 2, 1, 0])):
            results = []
            for run in (step, graph):
                torch.manual_seed(4)
                results.append(run(1 - x, labels))
            for eager, traced in zip(*results, strict=True):
                torch.testing.assert_close(eager, traced)


@pytest.mark.parametrize("name", ["m2", "m1-m2", "adgm", "sdgm"])
@pytest.mark.parametrize("base", ["elbo", {"name": "meanfield", "beta": 2.0}, {"name": "iwae", "num_particles": 3}])
def test_labelled_rows_apart_have_the_same_bound_and_gradient(name, base, monkeypatch):
    """At draws of zero noise, where whatever is drawn more than once is drawn alike."""
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda shape, dtype, device: torch.zeros(shape))
    data = pv.data.load("digits", transforms=["few-labels:num_labels=100,share=0.3"])
    torch.manual_seed(0)
    pair = pv.pairs.get(name).build(data.spec, latent_dim=3, hidden=[20])
    batch = next(data.train.epoch(50, seed=0, epoch=0))
    objective = objectives.get({"name": "semisupervised", "alpha": 0.7, "base": base})
    params = [p for p in parameters(pair.model, pair.guide).values() if p.requires_grad]
    found = []
    for apart in (False, True):
        objective.labelled_first = apart
        traced = objective.trace(objectives.Given(pair.model, pair.guide, [batch]))
        assert isinstance(traced, Parts) == apart
        terms = objective.terms(traced)
        found.append((terms.bound, *torch.autograd.grad(terms.surrogate.mean(), params)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-4)


def test_labelled_rows_are_apart_only_where_they_come_first_and_no_penalty_joins_the_rows():
    data = pv.data.load("digits", transforms=["few-labels:num_labels=100,share=0.3"])
    pair = pv.pairs.m2(data.spec, latent_dim=3, hidden=[20])
    batch = next(data.train.epoch(50, seed=0, epoch=0))
    mixed = {key: value.flip(0) for key, value in batch.items()}
    whole = data.valid[torch.arange(50)]
    for given, base, apart in (
        (batch, "elbo", True),
        (mixed, "elbo", False),
        (whole, "elbo", False),
        (batch, {"name": "elbo", "free_bits": 0.1}, False),
        (batch, {"name": "meanfield", "capacity": 3.0}, False),
    ):
        objective = objectives.get({"name": "semisupervised", "base": base})
        objective.labelled_first = True
        assert isinstance(objective.trace(objectives.Given(pair.model, pair.guide, [given])), Parts) == apart


def test_a_compiled_step_with_labelled_rows_apart_is_the_eager_one_and_refuses_other_batches_by_nan():
    data = pv.data.load("digits", transforms=["few-labels:num_labels=100,share=0.3"])
    batch = next(data.train.epoch(50, seed=0, epoch=0))
    bounds = []
    for compiled in (False, True):
        torch.manual_seed(0)
        pair = pv.pairs.m2(data.spec, latent_dim=3, hidden=[20])
        objective = objectives.get({"name": "semisupervised", "base": "meanfield"})
        objective.labelled_first = True
        if compiled:
            step = pv.compile_step(pair, batch, objective, backend="graph", matmul="mkl")
            assert step.backend == "graph"
        else:
            optimizer = torch.optim.Adam(parameters(pair.model, pair.guide).values())
            step = Step(objective, pair.model, pair.guide, {"pair": optimizer})
        torch.manual_seed(1)
        bounds.append([float(step(batch)) for _ in range(3)])
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-4)
    before = {name: p.detach().clone() for name, p in parameters(pair.model, pair.guide).items()}
    assert math.isnan(step({key: value.flip(0) for key, value in batch.items()}))
    assert all(torch.equal(p, before[name]) for name, p in parameters(pair.model, pair.guide).items())


def test_fit_has_labelled_rows_apart_for_data_with_a_fixed_number_of_them():
    objective = objectives.get("semisupervised")
    few, whole = (pv.data.load("digits", transforms=t) for t in (["few-labels:num_labels=100"], []))
    for data, apart in ((few, True), (whole, False)):
        pair = pv.pairs.m2(data.spec, latent_dim=3, hidden=[20])
        run = pv.fit(pair, data, objective, epochs=1, progress=False)
        assert objective.labelled_first == apart and math.isfinite(run.history["valid"].iloc[-1])
