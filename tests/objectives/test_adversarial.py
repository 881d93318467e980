"""The adversarial autoencoder: three updates in order, each of its own parameters, in every way of running them."""

from __future__ import annotations

import json
import math
import textwrap
from pathlib import Path

import fits
import pytest
import torch
from fits import state
from forked import run_script
from steppers import step_of

import pyrovae as pv
from pyrovae.errors import ContractError, NonFiniteError, OptionError
from pyrovae.files import load_state
from pyrovae.objectives import Given
from pyrovae.objectives.adversarial import AAE, sliced_wasserstein, sliced_wasserstein_null
from pyrovae.objectives.moves import moved_parameters, prepare_objective

UPDATES = ("reconstruct", "discriminate", "deceive")
PATHS = [str(Path(__file__).parents[i]) for i in (0, 1)]  # of this module and those that tests share, for other processes


def tiny(digits, **options):
    torch.manual_seed(0)
    return pv.pairs.aae(digits.spec, latent_dim=2, hidden=[16], discriminator_hidden=8, **options)


def quiet(pair, data, **options):
    return fits.quiet(pair, data, **{"batch_size": 200, **options})


def given(digits, posterior="deterministic"):
    """The pair, its objective with networks, and what its updates get."""
    pair = tiny(digits, posterior=posterior)
    objective, batch = pv.objectives.get(pair.objective), digits.train[torch.arange(20)]
    prepare_objective(objective, pair.model, pair.guide, batch)
    return pair, objective, Given(pair.model, pair.guide, [batch])


# ------------------------------------------------------------------------------------------------ routes
def test_each_update_moves_its_own_parameters_and_no_others(digits):
    """The table update x group of gradient norms, as differentiated; what backward() would reach is more."""
    pair, objective, what = given(digits)
    groups = {"model": list(pair.model.parameters()), "guide": list(pair.guide.parameters())}
    groups["objective"] = list(objective.networks.parameters())
    moved = moved_parameters(objective, pair.model, pair.guide)
    table, reached = {}, {}
    for update in objective.updates(what):
        every = [p for group in groups.values() for p in group]
        by_all, own = (
            dict(zip(map(id, ps), torch.autograd.grad(update.loss, ps, retain_graph=True, allow_unused=True), strict=True))
            for ps in (every, moved[update.name])
        )
        for grads, into in ((own, table), (by_all, reached)):
            for name, group in groups.items():
                norms = [float(grads[id(p)].norm()) for p in group if grads.get(id(p)) is not None]
                into[update.name, name] = sum(norms)
    zero = {key for key, norm in table.items() if norm == 0}
    assert zero == {
        ("reconstruct", "objective"),
        ("discriminate", "model"),
        ("discriminate", "guide"),
        ("deceive", "model"),
        ("deceive", "objective"),
    }
    assert all(norm > 1e-4 for key, norm in table.items() if key not in zero)
    assert reached["deceive", "objective"] > 1e-4  # which a backward() over the graph would have moved


class Undeceived(AAE):
    """Without the third update, by a skip."""

    def updates(self, given):
        steps = super().updates(given)
        for update in steps:
            yield update._replace(when=torch.zeros(())) if update.name == "deceive" else update
        return {}


class Unwatched(AAE):
    """Reconstruction alone."""

    moves = {"reconstruct": ("model", "guide")}
    optimizers = {}

    def updates(self, given):
        traced = self.trace(given)
        likelihood = traced.log_p["x"].mean(0)
        yield pv.objectives.Update("reconstruct", -likelihood.mean(), likelihood)
        self.prior_codes(given, ["z"])  # the same noise


@pytest.mark.parametrize("backend", ["eager", "graph"])
def test_without_its_third_update_the_encoder_moves_by_the_reconstruction_alone(digits, backend):
    moved = []
    for kind in (Undeceived, Unwatched, AAE):
        pair, objective = tiny(digits), kind(hidden=8)
        batch = digits.train[torch.arange(50)]
        torch.manual_seed(5)
        step = step_of(pair, batch, objective, backend)
        for seed in range(4):
            torch.manual_seed(seed)
            step(batch)
        moved.append(state(pair))
        if kind is Undeceived:
            states = step.optimizers["deceive"].state.values()
            assert all(not value.any() for kept in states for value in kept.values())  # Adam's counts and averages, too
    undeceived, alone, whole = moved
    for name, value in alone.items():
        assert torch.equal(undeceived[name], value), name
        assert not name.startswith("guide") or not torch.equal(whole[name], value), name


def test_a_constant_discriminator_has_the_loss_of_the_equilibrium_and_draws_are_the_priors_own(digits):
    _, objective, what = given(digits)
    with torch.no_grad():
        objective.networks[-1].weight.zero_()
        objective.networks[-1].bias.zero_()
    _, judged, fooled = list(objective.updates(what))
    assert judged.loss.item() == pytest.approx(2 * math.log(2), abs=1e-7)
    assert fooled.loss.item() == pytest.approx(math.log(2), abs=1e-7)
    assert {name: value.item() for name, value in judged.figures.items()} == {
        "accuracy": 0.0,
        "logit_prior": 0.0,
        "logit_code": 0.0,
    }
    rows = {"x": digits.train["x"][:1].expand(4000, -1, -1)}
    drawn = objective.prior_codes(Given(what.model, what.guide, [rows]), ["z"])
    assert drawn.shape == (1, 4000, 2) and abs(float(drawn.mean())) < 0.05 and abs(float(drawn.std()) - 1) < 0.05


# ------------------------------------------------------------------------------------------------ ways of running
def test_a_traced_step_is_the_eager_one(digits):
    results = []
    for compiled in (False, True):
        pair, objective = tiny(digits), AAE(hidden=8)
        batch = digits.train[torch.arange(50)]
        torch.manual_seed(5)
        step = step_of(pair, batch, objective, "graph" if compiled else "eager", clip_norm=0.5, lr=1e-2)
        bounds = []
        for seed in range(5):
            torch.manual_seed(seed)
            bounds.append(float(step(batch)))
        results.append((bounds, {**state(pair), **objective.networks.state_dict()}, dict(step.sums)))
    (eager, ours, sums), (traced, theirs, again) = results
    assert eager == pytest.approx(traced, rel=1e-6) and sums.keys() == again.keys() > set(UPDATES)
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-5, atol=2e-6, msg=lambda m, name=name: f"{name}: {m}")
    for name, value in sums.items():
        assert float(again[name]) == pytest.approx(float(value), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
def test_training_brings_the_codes_to_the_prior_and_logs_how_near_they_are(digits, posterior):
    run = quiet(tiny(digits, posterior=posterior), digits, epochs=25, batch_size=100, lr=5e-3)
    first, last = run.records[0], run.records[-1]
    assert last["train"] > first["train"] + 1 and last["code_distance"] < first["code_distance"]
    assert last["code_distance"] < 2 * last["code_distance_null"]
    columns = {*UPDATES, "accuracy", "logit_prior", "logit_code", "lr", "lr_discriminate", "lr_deceive"}
    assert columns <= first.keys() and "beta" not in first
    assert last["discriminate"] == pytest.approx(2 * math.log(2), abs=0.3)


def test_a_killed_run_resumes_bitwise(digits, tmp_path):
    whole = quiet(tiny(digits), digits, epochs=3, out=tmp_path / "whole")
    script = f"""
        import os, signal, sys
        sys.path[:0] = {PATHS!r}
        import pyrovae as pv
        from test_adversarial import quiet, tiny
        digits, calls = pv.data.load("digits"), [0]
        pair = tiny(digits)

        def called(*_):
            calls[0] += 1
            if calls[0] == 40:
                os.kill(os.getpid(), signal.SIGKILL)

        pair.guide.register_forward_pre_hook(called)
        quiet(pair, digits, epochs=3, out={str(tmp_path / "killed")!r}, checkpoint_seconds=0)
    """
    assert run_script(textwrap.dedent(script)) == -9
    before = load_state(tmp_path / "killed" / "checkpoint.safetensors")
    assert 0 < before["step"] < 21 and before["optimizers"].keys() == set(UPDATES)
    pv.resume(tmp_path / "killed", progress=False)
    ours, theirs = (load_state(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "killed"))
    for part in ("tensors", "networks"):
        for name, value in ours[part].items():
            assert torch.equal(value, theirs[part][name]), name
    for name in UPDATES:
        for i, kept in ours["optimizers"][name]["state"].items():
            assert all(torch.equal(kept[key], theirs["optimizers"][name]["state"][i][key]) for key in kept), name
    without = [[{k: v for k, v in row.items() if k != "seconds"} for row in saved["history"]] for saved in (ours, theirs)]
    assert without[0] == without[1] and len(whole.history) == 3


def test_two_processes_move_all_three_groups_alike(digits, tmp_path):
    script = f"""
        import json, os, sys
        sys.path[:0] = {PATHS!r}
        os.chdir({str(tmp_path)!r})
        import torch
        from lightning_fabric import Fabric
        import pyrovae as pv
        from test_adversarial import quiet, state, tiny

        def train(fabric):
            torch.set_num_threads(1)
            digits = pv.data.load("digits")
            pair = tiny(digits)
            run = quiet(pair, digits, epochs=4, batch_size=100, lr=5e-3, fabric=fabric, out="run")
            sums = torch.stack([p.double().sum() for p in state(pair).values()])
            every = fabric.all_gather(sums)
            if fabric.global_rank == 0:
                told = {{"same": bool(torch.equal(every[0], every[1])), "history": run.records}}
                open("told.json", "w").write(json.dumps(told))
            fabric.barrier()

        Fabric(accelerator="cpu", devices=2, strategy="ddp_fork").launch(train)
    """
    assert run_script(textwrap.dedent(script)) == 0
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["same"]
    alone = quiet(tiny(digits), digits, epochs=4, batch_size=100, lr=5e-3)
    for one, row in zip(alone.records, told["history"], strict=True):  # the noise of the prior differs
        assert row["train"] == pytest.approx(one["train"], rel=0.02)
        assert row["discriminate"] == pytest.approx(one["discriminate"], abs=0.15)


# ------------------------------------------------------------------------------------------------ evidence, refusals
def test_a_point_has_no_importance_weights_and_its_model_a_log_p_by_annealing_from_the_prior(digits):
    pair, few = tiny(digits), digits.test.subset(torch.arange(4))
    for options in ({}, {"method": "ais"}):
        with pytest.raises(ContractError, match="site 'z' of the guide is a point and no density"):
            pv.log_evidence(pair, few, **options)
    options = {"method": "ais", "start": "prior", "num_chains": 20, "num_distributions": 50}
    annealed = pv.log_evidence(pair, few, **options)
    z = torch.randn(20_000, 1, 2)
    with torch.no_grad():  # by the prior as proposal: two dimensions, an untrained decoder
        likelihood = pair.model.likelihood(pair.model.decoder(z)).log_prob(few["x"])
    truth = likelihood.logsumexp(0) - math.log(len(z))
    torch.testing.assert_close(annealed.value, truth.double(), atol=0.1, rtol=0)
    found = pv.evaluate(pair, few, **options)
    assert "no ELBO" in repr(found) and found.to_json()["elbo"] is None and found.evidence.mean == annealed.mean
    assert pv.objectives.get("aae").bound == "none"


def test_what_it_cannot_do_is_refused(digits):
    with pytest.raises(ContractError, match="several updates, and SVI makes one: train with pyrovae.fit"):
        AAE(hidden=8).loss(tiny(digits).model, tiny(digits).guide, x=digits.train["x"][:5])
    with pytest.raises(OptionError, match="no update of AAE.* is called 'deceiv'; did you mean 'deceive'"):
        quiet(tiny(digits), digits, epochs=1, optimizers={"deceiv": {"lr": 1.0}})
    with pytest.raises(OptionError, match="no posterior of aae is called 'gausian'"):
        tiny(digits, posterior="gausian")
    with pytest.raises(ContractError, match="no prior of its latent site"):
        quiet(pv.pairs.ae(digits.spec, latent_dim=2, hidden=[8]), digits, objective="aae:hidden=8", epochs=1)


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_an_update_that_is_not_finite_is_named_and_stops_those_after_it(digits):
    class Broken(AAE):
        def updates(self, given):
            for update in super().updates(given):
                yield update._replace(loss=update.loss * math.nan) if update.name == "discriminate" else update

    pair = tiny(digits)
    with pytest.raises(NonFiniteError, match="update 'discriminate' is not finite in batch 0 of epoch 1"):
        quiet(pair, digits, objective=Broken(hidden=8), epochs=1)
    assert all(torch.isfinite(p).all() for p in state(pair).values())


def test_the_sliced_distance_is_that_of_one_dimension_and_its_null_is_not_exceeded_by_equals():
    torch.manual_seed(0)
    one, other = torch.randn(400, 3), torch.randn(400, 3)
    assert float(sliced_wasserstein(one[:, :1], one[:, :1] + 2)) == pytest.approx(2.0, rel=1e-5)
    null = sliced_wasserstein_null(torch.randn(800, 3))
    below = [float(sliced_wasserstein(torch.randn(400, 3), torch.randn(400, 3)) < null) for _ in range(100)]
    assert 0.85 <= sum(below) / 100 <= 1.0
    assert sliced_wasserstein(one, 1.3 * other) > null


# ------------------------------------------------------------------------------------------------ priors, distances
@pytest.mark.parametrize("options", [{"prior": "petals"}, {"prior": "swiss-roll"}])
def test_each_prior_trains_and_its_distance_is_measured_by_its_own_draws(digits, options):
    run = quiet(tiny(digits, **options), digits, epochs=2, batch_size=100)
    last = run.records[-1]
    assert {"code_distance", "code_distance_null", "code_mmd", "code_mmd_null"} <= last.keys()
    assert last["code_mmd"] > last["code_mmd_null"] > 0  # after two epochs the codes are no draws of it


def test_priors_that_make_no_sense_are_refused(digits):
    with pytest.raises(OptionError, match="no prior of aae is called 'petal'"):
        tiny(digits, prior="petal")
    with pytest.raises(OptionError, match="lies in the plane, and latent_dim is 3"):
        pv.pairs.aae(digits.spec, latent_dim=3, prior="petals")
    with pytest.raises(OptionError, match="goes with prior='swiss-roll'"):
        tiny(digits, prior="petals", blur=0.1)
    with pytest.raises(OptionError, match="blur is -1"):
        tiny(digits, prior="swiss-roll", blur=-1.0)
