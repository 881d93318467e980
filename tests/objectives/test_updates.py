"""The form of every objective: updates in order, their state, their schedules; and what earlier versions saved of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import exact
import fits
import pytest
import torch
from fits import small, state
from steppers import step_of
from torch import nn

import pyrovae as pv
from pyrovae.core.parameters import owned_parameters, parameters
from pyrovae.errors import ContractError, OptionError, RunError
from pyrovae.files import load_state, read_json, save_state, write_json
from pyrovae.objectives import ELBO, Given, Objective, Terms, Update
from pyrovae.objectives.moves import moved_parameters

PAIR = "linear-gaussian 2x4 wrong"


def quiet(pair, data, *args, **options):
    return fits.quiet(pair, data, *args, **{"batch_size": 200, **options})


def step_and_pair(objective, backend, pair=None, **options):
    pair = pair or exact.PAIRS[PAIR]()
    return step_of(pair, pair.batch, objective, backend, **options), pair


# ------------------------------------------------------------------------------------------- hand-written steps
@pytest.mark.parametrize("objective", ["elbo", "iwae:num_particles=3"])
def test_a_run_is_the_loop_that_one_would_write_by_hand(digits, objective):
    ours, theirs = small(digits), small(digits)
    quiet(ours, digits, objective, steps=5, seed=3, validate=False, compile=False)
    optimizer = torch.optim.Adam(list(parameters(theirs.model, theirs.guide).values()), lr=1e-3, fused=True)
    k = pv.objectives.get(objective).num_particles
    torch.manual_seed(3)
    for batch in digits.train.epoch(200, seed=3, epoch=0):
        x = batch["x"]
        loc, log_scale = theirs.guide.encoder(x).chunk(2, -1)
        q, p = (torch.distributions.Normal(*of) for of in ((loc, log_scale.exp()), (0.0, 1.0)))
        z = q.rsample((k,))
        likelihood = torch.distributions.Bernoulli(logits=theirs.model.decoder(z).squeeze(2)).log_prob(x).sum((-2, -1))
        log_weight = likelihood + p.log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
        bound = log_weight.mean(0) if k == 1 else log_weight.logsumexp(0) - math.log(k)
        optimizer.zero_grad()
        (-bound.mean()).backward()
        optimizer.step()
        if (steps := len(optimizer.state) and int(next(iter(optimizer.state.values()))["step"])) == 5:
            break
    assert steps == 5
    for name, value in state(theirs).items():
        torch.testing.assert_close(state(ours)[name], value, rtol=1e-4, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")


# ------------------------------------------------------------------------------------------------ state
class Counting(ELBO):
    """An ELBO that counts its steps and averages its bound in buffers, which a bad batch must not reach."""

    def __init__(self, num_particles: int = 1) -> None:
        super().__init__(num_particles)
        self.networks = nn.Module()
        self.networks.register_buffer("count", torch.zeros(()))
        self.networks.register_buffer("average", torch.zeros(()))

    def terms(self, traced, schedule=None):
        bound, surrogate, _ = super().terms(traced, schedule or {})
        count, average = self.networks.count, self.networks.average
        return Terms(bound, surrogate, {count: count + 1, average: average.lerp(bound.mean().detach(), 0.5)})


@pytest.mark.parametrize("backend", ["eager", "graph"])
def test_returned_state_is_written_once_a_step_and_only_if_all_was_finite(backend):
    step, pair = step_and_pair(Counting(), backend)
    networks, average = step.objective.networks, 0.0
    assert not networks.count and not networks.average  # looking at it and tracing it wrote nothing
    for i in range(3):
        average += 0.5 * (float(step(pair.batch)) - average)
        assert float(networks.count) == i + 1 and float(networks.average) == pytest.approx(average, rel=1e-5)
    bad = {"x": pair.batch["x"] * math.nan}
    before = state(pair)
    assert math.isnan(step(bad)) and math.isnan(step(pair.batch)) and float(networks.count) == 3
    assert all(torch.equal(value, before[name]) for name, value in state(pair).items())
    step.reset()
    assert math.isfinite(step(pair.batch)) and float(networks.count) == 4


def test_state_and_losses_of_the_whole_batch_are_refused_in_several_processes(digits):
    class Alone:
        global_rank, world_size, device = 0, 1, torch.device("cpu")

    for objective, message in (
        (Counting(), "keeps moving averages of its batches"),
        ("meanfield:free_bits=0.5", "not the mean of its rows' losses"),
        ("elbo:capacity=3", "not the mean of its rows' losses"),
    ):
        with pytest.raises(OptionError, match=message):
            quiet(small(digits), digits, objective, epochs=1, fabric=Alone())
    assert ELBO().separable and not ELBO(free_bits=1.0).separable and not pv.objectives.get("sparsity").separable


# ------------------------------------------------------------------------------------------------ several updates
class Halves(Objective):
    """The ELBO, moved by two updates yielded together or one after another; the guide's may be skipped."""

    moves = {"first": ("model",), "second": ("guide",)}
    optimizers = {"second": {"name": "SGD", "lr": 0.1, "momentum": 0.5}}

    def __init__(self, together=True, skip=False):
        super().__init__()
        self.together, self.skip = together, skip

    def updates(self, given):
        when = torch.zeros(()) if self.skip else None
        bound = self.trace(given).log_weight.mean(0)
        if self.together:
            yield Update("first", -bound.mean(), bound), Update("second", -bound.mean(), when=when)
        else:
            yield Update("first", -bound.mean(), bound)
            yield Update("second", -self.trace(given).log_weight.mean(), when=when, figures={"twice": 2 * bound.mean()})


@pytest.mark.parametrize("backend", ["eager", "graph"])
@pytest.mark.parametrize("together", [True, False])
def test_what_is_yielded_together_sees_the_same_parameters_and_what_comes_later_moved_ones(backend, together):
    step, pair = step_and_pair(Halves(together), backend, optimizer="SGD", lr=0.05)
    assert type(step.optimizers["first"]) is type(step.optimizers["second"]) is torch.optim.SGD
    assert [o.param_groups[0]["lr"] for o in step.optimizers.values()] == [0.05, 0.1]
    again, params = exact.PAIRS[PAIR](), {}
    for label in ("model", "guide"):
        params[label] = [p for n, p in parameters(again.model, again.guide).items() if n.startswith(label)]

    def loss(seeded):
        if seeded:
            torch.manual_seed(2)
        return -ELBO().evaluate(again.model, again.guide, again.batch).mean()

    torch.manual_seed(2)
    step(pair.batch)
    first = loss(True)
    grads = torch.autograd.grad(first, params["model"], retain_graph=True, allow_unused=True)
    held = torch.autograd.grad(first, params["guide"])
    with torch.no_grad():
        for p, grad in zip(params["model"], grads, strict=True):
            if grad is not None:
                p -= 0.05 * grad
    later = held if together else torch.autograd.grad(loss(False), params["guide"])
    with torch.no_grad():
        for p, grad in zip(params["guide"], later, strict=True):
            p -= 0.1 * grad
    for name, value in state(again).items():
        torch.testing.assert_close(state(pair)[name], value, rtol=1e-5, atol=1e-6)
    if not together:
        assert float(step.sums["twice"]) == pytest.approx(2 * float(step.total), rel=1e-5)


@pytest.mark.parametrize("backend", ["eager", "graph"])
def test_a_skipped_update_leaves_parameters_and_optimizer_bitwise(backend):
    step, pair = step_and_pair(Halves(skip=True), backend, optimizers={"second": {"name": "Adam"}}, clip_norm=1.0)
    before = state(pair)
    for _ in range(3):
        step(pair.batch)
    for name, value in state(pair).items():
        assert torch.equal(value, before[name]) == name.startswith("guide"), name
    assert all(not value.any() for kept in step.optimizers["second"].state.values() for value in kept.values())
    assert float(step.moves) == 3


class Twice(Halves):
    """The second half on a second batch."""

    num_batches = 2

    def updates(self, given):
        bound, other = (self.trace(given, batch).log_weight.mean(0) for batch in (0, 1))
        yield Update(
            "first", -bound.mean(), bound, figures={"same": (given.batches[0]["x"] == given.batches[1]["x"]).float().mean()}
        )
        yield Update("second", -self.trace(given, 1).log_weight.mean())
        self.sizes = {len(bound), len(other), given.data_size}


def test_independent_batches_come_in_orders_of_their_own(digits):
    objective = Twice()
    run = quiet(small(digits), digits, objective, epochs=2)
    assert 0.4 < run.history["same"].iloc[0] < 0.95 and objective.sizes == {97, len(digits.train)}
    again = quiet(small(digits), digits, Twice(), epochs=2)
    assert [row["train"] for row in run.records] == [row["train"] for row in again.records]
    with pytest.raises(OptionError, match="2 independent batches a step, which a DataLoader does not give"):
        quiet(small(digits), torch.utils.data.DataLoader([{"x": x} for x in digits.train["x"][:50]], 10), Twice(), epochs=1)


def test_an_optimizer_that_has_no_graph_is_refused_between_updates_in_a_sentence(caplog):
    for objective, backend in ((Halves(True), "graph"), (Halves(False), "eager")):
        pair = exact.PAIRS[PAIR]()
        step = pv.compile_step(pair, pair.batch, objective, optimizer="Adagrad", backend="graph", matmul="mkl")
        assert step.backend == backend
        assert math.isfinite(step(pair.batch)) and float(step.moves) == 1
    assert "yields its updates one after another, and optimizer Adagrad cannot stand between them" in caplog.text


def test_what_updates_get_wrong_is_refused_before_training(digits):
    class Misnamed(Halves):
        def updates(self, given):
            bound = self.trace(given).log_weight.mean(0)
            yield Update("frist", -bound.mean(), bound)

    class Unbounded(Halves):
        def updates(self, given):
            yield Update("first", -self.trace(given).log_weight.mean())

    class Idle(Halves):
        moves = {"first": ("model",), "second": ("objective",)}

    class Late(Halves):  # uses a graph from before a yield
        def updates(self, given):
            bound = self.trace(given).log_weight.mean(0)
            yield Update("first", -bound.mean(), bound)
            yield Update("second", -bound.mean())

    before = state(pair := small(digits))
    for objective, error, message in (
        (Misnamed(), ContractError, "no update of .* is called 'frist'; did you mean 'first'"),
        (Unbounded(), ContractError, "yields no update with a bound"),
        (Idle(), ContractError, "update 'second' of .* moves the parameters of objective, and none of them can be trained"),
        (Late(), RuntimeError, "second time"),
    ):
        with pytest.raises(error, match=message):
            quiet(pair, digits, objective, epochs=1)
        if error is ContractError:
            assert all(torch.equal(value, before[name]) for name, value in state(pair).items())
    with pytest.raises(OptionError, match="optimizer is one object, and .* makes the updates first, second"):
        quiet(
            small(digits), digits, Halves(), epochs=1, optimizer=torch.optim.Adam(parameters(pair.model, pair.guide).values())
        )
    with pytest.raises(ContractError, match="train with pyrovae.fit"):
        Halves().loss(pair.model, pair.guide, x=digits.train["x"][:5])


def test_a_parameter_that_both_programs_hold_is_moved_as_either(digits):
    pair = small(digits)
    pair.guide.shared = pair.model.decoder
    moved = moved_parameters(Halves(), pair.model, pair.guide)
    decoder = {id(p) for p in pair.model.decoder.parameters()}
    assert all(decoder <= {id(p) for p in params} for params in moved.values())
    names = [name for name, _ in owned_parameters(pair.model, pair.guide)]
    assert any(name.startswith("guide.shared.") for name in names)
    assert not any(name.startswith("guide.shared.") for name in parameters(pair.model, pair.guide))  # saved once


# ------------------------------------------------------------------------------------------------ schedules
def test_scheduled_options_and_weights_are_logged_under_their_own_names(digits, tmp_path):
    assert quiet(small(digits), digits, "elbo:beta=4", epochs=1).history["beta"].iloc[0] == 4
    assert "beta" not in quiet(small(digits), digits, "iwae:num_particles=2", epochs=1).history
    schedule = {"beta": "linear:start=1,end=3,epochs=2", "free_bits": {"name": "constant", "value": 0.25}}
    run = quiet(small(digits), digits, "meanfield:free_bits=1", epochs=3, schedule=schedule, out=tmp_path / "run")
    assert [row["beta"] for row in run.records] == [2.0, 3.0, 3.0] and run.history["free_bits"].iloc[0] == 0.25
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert {"beta", "free_bits"} <= set(header.split(","))
    warm = quiet(small(digits), digits, "elbo:capacity=6,gamma=2", epochs=2, kl_warmup=4)
    assert [(row["capacity"], row["gamma"]) for row in warm.records] == [(1.5, 2), (3.0, 2)]
    one = quiet(pair := small(digits), digits, "elbo:beta=4", epochs=2, kl_warmup=1)
    two = quiet(other := small(digits), digits, "elbo:beta=4", epochs=2, schedule={"beta": "linear:start=0,end=4,epochs=1"})
    assert one.history["train"].iloc[-1] == two.history["train"].iloc[-1]
    assert all(torch.equal(value, state(other)[name]) for name, value in state(pair).items())


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("linear:start=2,end=4,steps=4", [2, 2.5, 3, 3.5, 4, 4]),
        ("exponential:start=1,end=16,steps=4", [1, 2, 4, 8, 16, 16]),
        ("cosine:start=0,end=2,steps=2", [0, 1, 2, 2, 2, 2]),
        ("cyclical:start=0,end=1,cycles=2,rise=0.5,steps=8", [0, 0.5, 1, 1, 0, 0.5]),
        (0.5, [0.5] * 6),
        (lambda step: step / 2, [0, 0.5, 1, 1.5, 2, 2.5]),
    ],
)
def test_schedules_are_the_curves_of_their_names(schedule, values):
    from pyrovae.train.schedule import build_schedules

    made = build_schedules({"beta": schedule}, 0, ELBO(), epoch_steps=4)["beta"]
    assert [made(step) for step in range(6)] == pytest.approx(values)


@pytest.mark.parametrize(
    "objective",
    ["renyi:num_particles=3", "ciwae:num_particles=3", "semisupervised:y=relaxed", "rws:num_particles=3,sleep=0.5"],
)
@pytest.mark.parametrize("backend", ["eager", "graph"])
def test_every_weight_can_be_scheduled_and_does_what_the_option_does(objective, backend):
    made = pv.objectives.get(objective)
    for name in made.weights:
        losses = []
        for scheduled in (True, False):
            if objective.startswith("semi"):
                torch.manual_seed(0)
                spec = pv.data.DataSpec("toy", (4,), "binary", classes=3)
                pair = pv.pairs.m2(spec, latent_dim=2, hidden=[5])
                batch = {"x": torch.ones(4, 4), "y": torch.tensor([0, -1, 2, -1])}
            else:
                pair = exact.PAIRS[PAIR]()
                batch = pair.batch
            one = pv.objectives.get(objective) if scheduled else made.with_weight(name, 0.75)
            options = {"schedule": [name]} if scheduled else {}
            step = step_of(pair, batch, one, backend if scheduled else "eager", **options)
            torch.manual_seed(1)
            step(batch, {name: 0.75} if scheduled else None)
            losses.append(state(pair))
        for key, value in losses[0].items():
            torch.testing.assert_close(losses[1][key], value, rtol=1e-5, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": {"bta": 1.0}}, "to schedule is called 'bta'; did you mean 'beta'"),
        ({"schedule": {"free_bits": 1.0}}, "An option that is off .* is scheduled once the objective has a value"),
        ({"schedule": {"beta": "linear:start=0,end=1"}}, "epochs=None, steps=None; expected one of them"),
        ({"schedule": {"beta": "liner:start=0,end=1,epochs=1"}}, "no schedule of beta is called 'liner'"),
        ({"schedule": {"beta": "linear:start=0,stop=1,epochs=1"}}, "no option of schedule linear is called 'stop'"),
        ({"schedule": {"beta": "linear:start=0,epochs=1"}}, "missing 1 required positional argument: 'end'"),
        ({"schedule": {"beta": -1.0}}, "beta is -1.0; expected a number of at least 0"),
        ({"schedule": {"beta": lambda step: math.inf}}, "the schedule of beta gives inf at step 0"),
        ({"schedule": {"beta": 1.0}, "kl_warmup": 2}, "kl_warmup=2 and schedule both give beta"),
        ({"objective": "renyi", "schedule": {"alpha": "linear:start=0.5,end=-1,epochs=1"}}, "no longer 'lower'"),
        ({"objective": "dreg", "schedule": {"beta": 1.0}}, "no option of DReG.* to schedule is called 'beta'"),
    ],
)
def test_schedules_that_make_no_sense_are_refused_before_training(digits, options, message):
    before = state(pair := small(digits))
    with pytest.raises(OptionError, match=message):
        quiet(pair, digits, epochs=1, **options)
    assert all(torch.equal(value, before[name]) for name, value in state(pair).items())


def test_a_run_with_a_callable_schedule_asks_for_it_again(digits, tmp_path):
    schedule = {"beta": lambda step: min(1.0, step / 10)}
    whole = quiet(small(digits), digits, epochs=3, schedule=schedule)
    quiet(small(digits), digits, epochs=1, schedule=schedule, out=tmp_path / "run")
    with pytest.raises(RunError, match="an object for schedule, .*lambda.*; give schedule="):
        pv.resume(tmp_path / "run", epochs=3, progress=False)
    resumed = pv.resume(tmp_path / "run", epochs=3, progress=False, schedule=schedule)
    assert [row["train"] for row in resumed.records] == [row["train"] for row in whole.records]


# ------------------------------------------------------------------------------------------------ earlier versions
def as_before(folder: Path, share) -> None:
    """Rewrite a run's files as versions before updates and schedules wrote them."""
    path = folder / "checkpoint.safetensors"
    saved = load_state(path)
    (optimizer,), schedulers = saved.pop("optimizers").values(), list(saved.pop("schedulers").values())
    del saved["sums"]
    order = ("epoch", "step", "train", "valid", "lr", "beta", "seconds")
    history = [{key: share(row["epoch"]) if key == "beta" else row[key] for key in order} for row in saved["history"]]
    save_state(path, {**saved, "history": history, "optimizer": optimizer, "scheduler": next(iter(schedulers), None)})
    config = read_json(folder / "config.json")
    del config["fit"]["schedule"], config["fit"]["optimizers"]
    spec = pv.data.DataSpec.from_json(config["data"]["spec"])
    own = {name: getattr(spec, name) for name in ("name", "shape", "kind", "levels", "classes", "binarization", "covariates")}
    config["data"]["spec"] = own
    write_json(folder / "config.json", config)


@pytest.mark.parametrize(
    ("objective", "options", "column"),
    [
        ("elbo:beta=4", {"kl_warmup": 3, "scheduler": "ExponentialLR", "scheduler_options": {"gamma": 0.9}}, "beta"),
        ("iwae:num_particles=2", {}, None),
        ("nvil", {}, None),
    ],
)
def test_runs_of_earlier_versions_load_and_resume_bitwise(tmp_path, objective, options, column):
    digits = pv.data.load("digits", transforms=["missing:rate=0.3"] if column else [])

    def make():
        if objective != "nvil":
            return small(digits)
        pair = exact.bernoulli_mixture()
        return pv.Pair(pair.model, pair.guide)

    data = exact.bernoulli_mixture().batch["x"].repeat(20, 1) if objective == "nvil" else digits
    whole = quiet(one := make(), data, objective, epochs=4, **options)
    quiet(make(), data, objective, epochs=2, out=tmp_path / "run", **options)
    as_before(tmp_path / "run", lambda epoch: min(1.0, epoch / 3) if column else 1.0)
    more = {"pair": make(), "data": data} if objective == "nvil" else {}
    resumed = pv.resume(tmp_path / "run", epochs=4, progress=False, **more)
    assert all(torch.equal(value, state(resumed.pair)[name]) for name, value in state(one).items())
    for one_row, row in zip(whole.records, resumed.records, strict=True):
        assert {k: v for k, v in one_row.items() if k != "seconds"} == pytest.approx(
            {k: v for k, v in row.items() if k != "seconds"}
        )
    assert json.loads((tmp_path / "run" / "config.json").read_text())["fit"]["kl_warmup"] == options.get("kl_warmup", 0)


def test_a_key_that_is_called_mask_is_not_taken_for_missing_values(digits):
    mask = torch.ones_like(digits.train["x"][:60])
    data = pv.data.as_data({"x": digits.train["x"][:60], "mask": mask})
    assert not data.spec.roles and type(pv.pairs.vae(data.spec, latent_dim=2, hidden=[8]).model).__name__ == "VAE"
    missing = pv.data.load("digits", transforms=["missing:rate=0.3"])
    assert missing.spec.roles == missing.train.spec.roles == {"missing": "mask"}
    assert pv.evaluate(small(missing), missing.test.subset(torch.arange(5)), num_samples=2).quantity == "log p(x_observed)"


def test_a_site_is_scored_when_it_is_asked_for(digits):
    pair = small(digits)
    traced = ELBO().trace(Given(pair.model, pair.guide, [{"x": digits.train["x"][:3]}]))
    traced.model_sites["z"]["fn"] = object()  # which cannot score
    assert "z" in traced.log_p and len(traced.log_p) == 2 and traced.log_p["x"].shape == (1, 3)
    with pytest.raises(AttributeError):
        traced.log_p["z"]
    assert traced.batch["x"].shape == (3, 8, 8) and traced.next_state() == {}
