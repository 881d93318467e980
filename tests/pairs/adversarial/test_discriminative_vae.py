"""A classifier's features as observed sites: densities add up, scales end at the residuals, and log p(x) goes without them."""

from __future__ import annotations

import fits
import pytest
import torch
from fits import state

import pyrovae as pv
from pyrovae import models
from pyrovae.core.trace import trace_pair
from pyrovae.effects import without_sites
from pyrovae.errors import ContractError, OptionError
from pyrovae.nets import Classifier

SIZES = {"latent_dim": 2, "channels": [4, 6], "hidden": 16}


def tiny(data, **options):
    torch.manual_seed(0)
    return pv.pairs.discriminative_vae(data.spec, **{**SIZES, **options})


def as_vae(pair):
    """The plain VAE of the same networks."""
    return models.VAE(pair.model.decoder, pair.model.likelihood, pair.model.latent_dim)


def traced(model, guide, batch, num_particles=3):
    torch.manual_seed(1)
    return trace_pair(model, guide, batch, num_particles)


def test_without_layers_it_is_the_vae(grey):
    pair, batch = tiny(grey), grey.train[torch.arange(10)]
    none = models.DiscriminativeVAE(pair.model.decoder, pair.model.likelihood, 2, Classifier((8, 8), [], [5], 10))
    found = []
    for model in (none, as_vae(pair)):
        weight = traced(model, pair.guide, batch).log_weight
        params = [*pair.model.decoder.parameters(), *pair.model.likelihood.parameters(), *pair.guide.parameters()]
        found.append((weight.detach(), *torch.autograd.grad(weight.mean(), params)))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_the_density_is_that_of_the_vae_times_those_of_the_features(grey):
    pair, batch = tiny(grey), grey.train[torch.arange(10)]
    joint, alone = traced(pair.model, pair.guide, batch), traced(as_vae(pair), pair.guide, batch)
    more, mean, classifier = 0.0, joint.model_sites["x"]["fn"].mean, pair.model.classifier
    for seen, meant, scale in zip(classifier.features(batch["x"]), classifier.features(mean), pair.model.scales, strict=True):
        more = more + torch.distributions.Normal(meant, scale).log_prob(seen).sum(-1)
    torch.testing.assert_close(joint.log_weight, alone.log_weight + more)
    assert [h.shape[1] for h in classifier.features(batch["x"])] == classifier.feature_dims == [64, 24]


def test_learned_scales_are_the_root_mean_square_of_what_is_left(grey):
    """At the closed form the gradient is 0; from elsewhere ascent ends there."""
    pair, batch = tiny(grey), grey.train[torch.arange(200)]
    torch.manual_seed(0)
    with torch.no_grad():
        mean = traced(pair.model, pair.guide, batch, 1).model_sites["x"]["fn"].mean
        left = [
            (one - other).square().mean((0, 1)).sqrt()
            for one, other in zip(
                pair.model.classifier.features(batch["x"]), pair.model.classifier.features(mean), strict=True
            )
        ]
        for log_scale in pair.model.log_scales:
            log_scale.fill_(-1.0)
    ascent = torch.optim.LBFGS(list(pair.model.log_scales), max_iter=200, tolerance_grad=1e-7, line_search_fn="strong_wolfe")
    fixed = traced(pair.model, pair.guide, batch, 1)
    draws = [(fixed.model_sites[f"h{i}"]["value"], fixed.model_sites[f"h{i}"]["fn"].base_dist.loc.detach()) for i in (1, 2)]

    def loss():
        ascent.zero_grad()
        scores = (
            torch.distributions.Normal(meant, scale).log_prob(seen).mean((0, 1)).sum()
            for (seen, meant), scale in zip(draws, pair.model.scales, strict=True)
        )
        value = -sum(scores)
        value.backward()
        return value

    before = loss().item()
    torch.testing.assert_close(-before, float(sum(fixed.log_p[f"h{i}"].mean().detach() for i in (1, 2))), rtol=1e-4, atol=1e-3)
    ascent.step(loss)
    for scale, expected in zip(pair.model.scales, left, strict=True):
        torch.testing.assert_close(scale, expected.clamp_min(1e-3), rtol=0.01, atol=2e-4)
    with torch.no_grad():
        for log_scale, expected in zip(pair.model.log_scales, left, strict=True):
            log_scale.copy_((expected - 1e-3).clamp_min(1e-6).log())
    value = traced(pair.model, pair.guide, batch, 1)
    total = sum(value.log_p[f"h{i}"].mean() for i in (1, 2))
    for gradient, expected in zip(torch.autograd.grad(total, list(pair.model.log_scales)), left, strict=True):
        assert float(gradient[expected > 1e-2].abs().max()) < 1e-3


def test_the_classifier_is_trained_in_a_stage_and_then_gets_nothing(grey):
    pair = tiny(grey)
    classifier = pair.model.classifier
    x, y = (grey.valid[:][key] for key in ("x", "y"))
    before = float((classifier(x).argmax(1) == y).float().mean())
    seen = {}

    class Look(pv.train.Callback):
        def on_fit_start(self, run):
            seen.update({name: value.clone() for name, value in classifier.state_dict().items()})

    options = {"batch_size": 100, "lr": 3e-3, "progress": False, "compile": False}
    run = pv.fit_stages(pair, grey, epochs=2, stage_options={"epochs": 6}, callbacks=[Look()], **options)
    assert all(torch.equal(value, seen[name]) for name, value in classifier.state_dict().items())
    assert float((classifier(x).argmax(1) == y).float().mean()) > before + 0.4
    assert not any(p.requires_grad for p in classifier.parameters()) and run.config["bound"] == "lower"
    weight = traced(pair.model, pair.guide, {"x": x[:5]}).log_weight.mean()
    assert torch.autograd.grad(weight, list(pair.model.log_scales))[0].any()  # which are trained, and move with the others


def test_rows_without_a_label_have_no_part_in_the_stage(grey):
    (first,) = tiny(grey).stages
    batch = {key: grey.train[torch.arange(6)][key] for key in ("x", "y")}
    few = {**batch, "y": torch.where(torch.arange(6) < 3, batch["y"], -1)}
    scores = pv.objectives.get("elbo").evaluate(first.model, first.guide, few)
    known = torch.log_softmax(tiny(grey).model.classifier(batch["x"]), 1)[torch.arange(6), batch["y"]]
    torch.testing.assert_close(scores, torch.where(torch.arange(6) < 3, known, 0.0))
    pv.check(first, few)


def test_log_p_of_x_goes_without_the_features(grey):
    pair, few = tiny(grey), grey.test.subset(torch.arange(6))
    both = pv.evaluate(pair, few, num_samples=10)
    alone = without_sites(pair, "h1", "h2")
    found = pv.evaluate(alone, few, num_samples=10)
    plain = pv.log_evidence((as_vae(pair), pair.guide), few, num_samples=10)
    assert torch.equal(found.evidence.value, plain.value) and not torch.equal(both.evidence.value, plain.value)
    assert both.quantity == "log p(x, h)" and found.quantity == "log p(x)"
    annealed = pv.log_evidence(alone, few, "ais", start="prior", num_chains=8, num_distributions=20)
    assert annealed.value.shape == (6,) and pv.sample(alone, 3)["x"].shape == (3, 8, 8)
    with pytest.raises(ContractError, match="has no site 'h3' to leave out"):
        pv.log_evidence(without_sites(pair, "h3"), few)
    with pytest.raises(ContractError, match="site 'z' of .* is latent: without it the others have no density"):
        pv.log_evidence(without_sites(pair, "z"), few)


def test_a_resumed_run_is_bitwise_the_same(grey, tmp_path, caplog):
    fits.quiet(one := tiny(grey), grey, epochs=2, batch_size=400)
    fits.quiet(tiny(grey), grey, epochs=1, batch_size=400, out=tmp_path / "run")
    resumed = pv.resume(tmp_path / "run", epochs=2, progress=False)
    assert all(torch.equal(value, state(resumed.pair)[name]) for name, value in state(one).items())
    assert "built on 1 of 1 stages" in caplog.text


def test_data_without_labels_or_images_are_refused(grey):
    bare = pv.data.DataSpec("bare", (8, 8), "unit")
    with pytest.raises(OptionError, match="bare has no labels y"):
        pv.pairs.discriminative_vae(bare)
