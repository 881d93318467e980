"""Traced steps: the eager step's numbers, without its Python; what cannot be traced runs eagerly and says so."""

from __future__ import annotations

import copy
import logging
import math

import exact
import pyro
import pyro.distributions as dist
import pytest
import torch
from steppers import assert_same_steps, steppers
from tiny_pairs import ROWS, build
from torch import nn

import pyrovae as pv
from pyrovae.compile import compiled
from pyrovae.core.parameters import buffers, parameters
from pyrovae.errors import OptionError, PyrovaeError
from pyrovae.objectives import OBJECTIVES
from pyrovae.objectives.moves import prepare_objective

pytestmark = pytest.mark.usefixtures("interpreted")


WITH_EVERY_OBJECTIVE = ("sigmoid-decoder 2d", "gaussian-mixture drawn")
OTHERS = ("gamma-poisson exact", "chain wrong", "gaussian-mixture enumerated", "gaussian-mixture summed")
FULL = {
    "aae": "aae:hidden=8",
    "factor": "factor:hidden=8,depth=1",
    "tc": "tc:data_size=1000",
    "aggressive": "aggressive:every=2",
}
COMBINATIONS = [
    *[(name, objective) for name in WITH_EVERY_OBJECTIVE for objective in OBJECTIVES],
    *[(name, objective) for name in OTHERS for objective in ("elbo", "meanfield", "iwae", "dreg", "rws")],
]


@pytest.mark.parametrize(("name", "objective"), COMBINATIONS)
def test_a_traced_step_is_the_eager_step(name, objective):
    pair, objective = exact.PAIRS[name](), FULL.get(objective, objective)
    try:
        step, eager = steppers(pair.model, pair.guide, pair.batch, objective, optimizer="SGD")
    except PyrovaeError as refused:  # what the objective refuses, it refuses alike when run as it is
        with pytest.raises(type(refused)):
            prepare_objective(pv.objectives.get(objective), pair.model, pair.guide, pair.batch)
        return
    assert_same_steps(step, eager, [pair.batch] * step.objective.num_batches)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {'-'.join(map(str, row[2].values()))}")
def test_a_compiled_step_of_every_pair_is_the_eager_step(row):
    name, form, options = row
    if name == "vhred":  # whose steps draw the words that they hide in another order, all guides' draws being made before
        options = {**options, "word_dropout": 0.0}
    pair, data = build(name, form, options)
    batch = data.train[torch.arange(20)]
    objective = {**pair.objective, "data_size": 1000} if "tc" in str(pair.objective) else pair.objective
    objective = "map:data_size=1000" if objective == "map" else objective
    step, eager = steppers(pair.model, pair.guide, batch, objective, optimizer="SGD", lr=1e-3)
    assert_same_steps(step, eager, [batch] * step.objective.num_batches)


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("sigmoid-decoder 2d", "dreg:num_particles=3"),
        ("sigmoid-decoder 2d", "piwae:num_particles=4,num_groups=2"),
        ("gaussian-mixture drawn", "vimco:num_particles=3"),
        ("gaussian-mixture drawn", "nvil"),
        ("gaussian-mixture drawn", "rws:num_particles=3,sleep=0.5"),
        ("gaussian-mixture enumerated", "iwae:num_particles=3"),
    ],
)
def test_compiled_objectives_are_the_eager_ones(name, objective):
    pair = exact.PAIRS[name]()
    assert_same_steps(*steppers(pair.model, pair.guide, pair.batch, objective), pair.batch)


def test_noise_is_fresh_and_seeds_repeat_it():
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    step = pv.compile_step(pair, pair.batch, "elbo", lr=0.0, optimizer="SGD")
    torch.manual_seed(0)
    first = [float(step(pair.batch)) for _ in range(5)]
    torch.manual_seed(0)
    assert first == [float(step(pair.batch)) for _ in range(5)]
    assert len(set(first)) == 5


def test_compiling_changes_nothing():
    pair = exact.PAIRS["gaussian-mixture drawn"]()
    before = {name: value.detach().clone() for name, value in parameters(pair.model, pair.guide).items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    step = pv.compile_step(pair, pair.batch, "nvil")
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in parameters(pair.model, pair.guide).items():
        assert torch.equal(value, before[name])
    assert all(not buffer.any() for buffer in step.objective.networks.buffers())


# ------------------------------------------------------------------------------------- inputs, not constants
def test_learning_rates_schedules_and_parameters_are_inputs_of_the_graph():
    pair = exact.PAIRS["linear-gaussian 2x4 wrong"]()
    step, eager = steppers(pair.model, pair.guide, pair.batch, "elbo:beta=2", schedule=["beta"])
    for one in (step, eager):
        one.optimizers["pair"].param_groups[0]["lr"] = 0.3
        with torch.no_grad():
            one.params["pair"][0].mul_(2.0)
    assert_same_steps(step, eager, pair.batch, schedules=({"beta": 0.0}, {"beta": 0.3}, {"beta": 1.4}))
    assert not step._others  # none of it ran eagerly


def test_an_option_without_a_schedule_takes_no_value_at_a_step():
    pair = exact.PAIRS["linear-gaussian 2x4 wrong"]()
    step = pv.compile_step(pair, pair.batch, "elbo", backend="graph")
    with pytest.raises(OptionError, match="made for a schedule of none"):
        step(pair.batch, {"beta": 0.5})
    with pytest.raises(OptionError, match="no option of ELBO.*to schedule is called 'alpha'"):
        pv.compile_step(pair, pair.batch, "elbo", schedule=["alpha"])


def test_other_shapes_and_modes_run_eagerly_and_are_told_once(caplog):
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    step, eager = steppers(pair.model, pair.guide, pair.batch, "iwae:num_particles=5")
    short = {"x": pair.batch["x"][:2]}
    with caplog.at_level(logging.INFO, "pyrovae"):
        assert_same_steps(step, eager, short)
    assert len([r for r in caplog.records if "other shape, type or mode" in r.message]) == 1
    step.reset()
    eager.reset()
    assert_same_steps(step, eager, pair.batch)  # both on the same optimizer state
    pair.model.eval()
    step(pair.batch)
    assert len(step._others) == 2


def test_two_steps_in_one_process_do_not_meet():
    pairs = [exact.PAIRS[name]() for name in ("sigmoid-decoder 2d", "chain wrong")]
    alone = []
    for pair in pairs:
        step = pv.compile_step(copy.deepcopy((pair.model, pair.guide)), pair.batch, "elbo")
        torch.manual_seed(0)
        alone.append([float(step(pair.batch)) for _ in range(3)])
    both = [pv.compile_step(pair, pair.batch, "elbo") for pair in pairs]
    for i, (step, pair) in enumerate(zip(both, pairs, strict=True)):
        torch.manual_seed(0)
        values = []
        for _ in range(3):
            values.append(float(step(pair.batch)))
            with torch.random.fork_rng():
                both[1 - i](pairs[1 - i].batch)
        assert values == alone[i] or i == 1  # the second pair has moved on meanwhile
    assert torch.get_float32_matmul_precision() == "highest"


class Noisy(nn.Module):
    """A decoder with dropout and batch statistics."""

    def __init__(self, dropout, norm):
        super().__init__()
        self.layer, self.dropout = nn.Linear(2, 6), nn.Dropout(dropout)
        self.norm = nn.BatchNorm1d(6) if norm else nn.Identity()

    def forward(self, x):
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            h = self.norm(self.layer(z).flatten(0, -2)).unflatten(0, z.shape[:-1])
            pyro.sample("x", dist.Bernoulli(logits=self.dropout(h)).to_event(1), obs=x)


def test_batch_statistics_are_updated():
    x = torch.bernoulli(torch.full((30, 6), 0.4))
    torch.manual_seed(0)
    # SGD: a bias before batch normalization has no gradient but rounding, which Adam would blow up
    step, eager = steppers(Noisy(0.0, True), exact.Affine(6, 2), {"x": x}, "elbo", optimizer="SGD")
    assert_same_steps(step, eager, {"x": x})
    assert int(buffers(step.model, step.guide)["model.norm.num_batches_tracked"]) == 3


def test_dropout_is_drawn_anew_at_its_rate():
    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.level = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            kept = nn.functional.dropout(torch.ones_like(x), 0.25, self.training)
            with pyro.plate("data", x.shape[0], dim=-1):
                pyro.sample("z", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
                pyro.sample("x", dist.Normal(self.level + kept * 0.75, 1.0).to_event(1), obs=x)

    x = torch.zeros(400, 50)
    step = pv.compile_step((Dropped(), exact.Affine(50, 1)), {"x": x}, "elbo", optimizer="SGD", lr=0.0)
    assert step.backend == "inductor"
    values = torch.stack([step({"x": x}) for _ in range(4)])
    assert len(values.unique()) == 4
    # a dropped entry scores -log sqrt(2 pi), a kept one half a nat less; the KL of the guide's z is small beside
    kept = (-values / 50 - 0.5 * math.log(2 * math.pi)) / 0.5
    assert kept.mean() == pytest.approx(0.75, abs=0.03)


# ------------------------------------------------------------------------------------------------ trouble
def test_data_dependent_control_flow_runs_eagerly_and_says_so(caplog):
    class Branching(exact.Affine):
        def forward(self, x):
            super().forward(x if x.sum() > 0 else -x)

    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    guide = Branching(pair.batch["x"].shape[1], 2)
    step = pv.compile_step((pair.model, guide), pair.batch, "elbo")
    assert step.backend == "eager" and step.reason
    assert len([r for r in caplog.records if "could not be compiled and runs eagerly" in r.message]) == 1
    assert math.isfinite(step(pair.batch)) and float(step.moves) == 1


def test_without_a_compiler_steps_are_traced_only(monkeypatch, caplog):
    def absent(*args):
        raise RuntimeError("No working C++ compiler found\nand a long trace")

    monkeypatch.setattr(compiled, "compile_graph", absent)
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    options = {"backend": None, "optimizer": "Adam", "expect": "graph"}
    step, eager = steppers(pair.model, pair.guide, pair.batch, "elbo", **options)
    assert step.reason == "RuntimeError: No working C++ compiler found"
    assert "traced but not compiled: RuntimeError: No working C++ compiler found" in caplog.text
    assert_same_steps(step, eager, pair.batch)


def test_a_bound_that_is_not_finite_moves_nothing():
    pair = exact.PAIRS["linear-gaussian 2x4 wrong"]()
    step = pv.compile_step(pair, pair.batch, "elbo", backend="graph")
    step(pair.batch)
    before = [p.detach().clone() for p in step.params["pair"]]
    with torch.no_grad():
        bad = {"x": pair.batch["x"].clone()}
    bad["x"][0, 0] = math.nan
    assert math.isnan(step(bad)) and math.isnan(step(pair.batch)) and float(step.moves) == 1
    for p, was in zip(step.params["pair"], before, strict=True):
        assert torch.equal(p, was)
    step.reset()
    assert math.isfinite(step(pair.batch)) and float(step.moves) == 1


def test_options_are_refused_by_name():
    pair = exact.PAIRS["linear-gaussian 2x4 wrong"]()
    for options, message in (
        ({"matmul": "cublas"}, "matmul is 'cublas'; expected one of mkl, onednn"),
        ({"backend": "xla"}, "backend is 'xla'; expected one of inductor, graph"),
        ({"objective": pyro.infer.Trace_ELBO()}, "needs one of pyrovae.objectives"),
    ):
        objective = options.pop("objective", "elbo")
        with pytest.raises(OptionError, match=message):
            pv.compile_step(pair, pair.batch, objective, **options)
