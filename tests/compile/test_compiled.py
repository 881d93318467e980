"""Compiled steps: the eager step's numbers, without its Python; what cannot be compiled runs eagerly and says so."""

from __future__ import annotations

import copy
import logging
import math

import exact
import pyro
import pyro.distributions as dist
import pytest
import torch
from test_catalogue import ROWS, build
from torch import nn

import pyrovae as pv
from pyrovae.compile import Code, CompiledStep, Step, compile_function, compiled, matmul
from pyrovae.compile.graph import trace_graph
from pyrovae.compile.products import merge_products
from pyrovae.compile.roll import compile_rolled
from pyrovae.core.pair import adopt, buffers, parameters
from pyrovae.core.trace import trace_pair
from pyrovae.errors import NonFiniteError, OptionError, PyrovaeError
from pyrovae.evidence.annealing import path_from
from pyrovae.evidence.hmc import at
from pyrovae.evidence.move import transition
from pyrovae.evidence.target import Target
from pyrovae.files import load_state
from pyrovae.objectives import OBJECTIVES
from pyrovae.objectives.moves import moved_parameters

SEEDS = range(3)


def steppers(
    model, guide, batch, objective, *, backend="graph", optimizer="Adam", lr=1e-2, clip_norm=None, expect=None, **options
):
    """The compiled step of a pair and the eager one of its copy, with the same parameters."""
    again = copy.deepcopy((model, guide))
    made = {"optimizer": optimizer, "lr": lr, "clip_norm": clip_norm, "backend": backend, "matmul": "mkl", **options}
    step = pv.compile_step((model, guide), batch, objective, **made)
    assert step.backend == (expect or backend), step.reason
    networks = copy.deepcopy(step.objective.networks)
    again_objective = pv.objectives.get(objective)
    if networks is not None:
        again_objective.networks = networks
    adopt(*again)
    made = {}
    for name, params in moved_parameters(again_objective, *again).items():
        ours = step.optimizers[name]
        made[name] = type(ours)(params, **{k: v for k, v in ours.defaults.items() if k != "decoupled_weight_decay"})
    schedule, figures = list(step.schedule), list(step.sums)
    return step, Step(again_objective, *again, made, clip_norm=clip_norm, schedule=schedule, figures=figures)


def assert_same_steps(step, eager, batch, schedules=({}, {}, {}), tolerance=1e-5):
    """Bounds, parameters, optimizer states and buffers agree to float rounding under the same noise."""
    for seed, schedule in zip(SEEDS, schedules, strict=True):
        bounds = []
        for one in (step, eager):
            torch.manual_seed(seed)
            bounds.append(float(one(batch, schedule)))
        assert bounds[0] == pytest.approx(bounds[1], abs=tolerance, rel=tolerance)
    for update, params in step.params.items():
        for ours, theirs in zip(params, eager.params[update], strict=True):
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
            for name, value in eager.optimizers[update].state[theirs].items():
                state = step.optimizers[update].state[ours][name]
                torch.testing.assert_close(state, value, atol=tolerance, rtol=1e-3, msg=f"{update} {name}")
    for name, value in eager.sums.items():
        assert float(step.sums[name]) == pytest.approx(float(value), rel=1e-5, abs=tolerance)
    for ours, theirs in zip(step._state(), CompiledStep._state(eager), strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
    assert float(step.total) == pytest.approx(float(eager.total), rel=1e-5)
    assert float(step.moves) == float(eager.moves) == len(SEEDS)


# ------------------------------------------------------------------------------------------------ exactness
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    "name",
    [
        "sigmoid-decoder 2d",
        "gamma-poisson exact",
        "chain wrong",
        "gaussian-mixture drawn",
        "gaussian-mixture enumerated",
        "gaussian-mixture summed",
    ],
)
def test_a_traced_step_is_the_eager_step(name, objective):
    pair = exact.PAIRS[name]()
    try:
        step, eager = steppers(pair.model, pair.guide, pair.batch, objective)
    except PyrovaeError as refused:  # what the objective refuses, it refuses alike when run as it is
        with pytest.raises(type(refused)):
            pv.objectives.get(objective).loss(pair.model, pair.guide, **pair.batch)
        return
    assert_same_steps(step, eager, pair.batch)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {'-'.join(map(str, row[2].values()))}")
def test_a_compiled_step_of_every_pair_is_the_eager_step(row):
    pair, data = build(*row)
    batch = data.train[torch.arange(20)]
    assert_same_steps(*steppers(pair.model, pair.guide, batch, pair.objective, backend="inductor"), batch, tolerance=1e-4)


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
    assert_same_steps(*steppers(pair.model, pair.guide, pair.batch, objective, backend="inductor"), pair.batch)


class Chain(nn.Module):
    """z_t ~ N(W z_t-1, I), x_t ~ Bernoulli(V z_t), a site for each step; the guide conditions on x_t."""

    def __init__(self, guide):
        super().__init__()
        self.move, self.see = nn.Linear(3, 3), nn.Linear(4, 3) if guide else nn.Linear(3, 4)
        self.guide = guide

    def forward(self, x):
        with pyro.plate("data", x.shape[0], dim=-1):
            z, logits = x.new_zeros(x.shape[0], 3), []
            for t in range(x.shape[1]):
                loc = torch.tanh(self.move(z) + self.see(x[:, t])) if self.guide else torch.tanh(self.move(z))
                z = pyro.sample(f"z{t}", dist.Normal(loc, 0.5).to_event(1))
                logits += [] if self.guide else [self.see(z)]
            if not self.guide:
                pyro.sample("x", dist.Bernoulli(logits=torch.stack(logits, -2)).to_event(2), obs=x)


@pytest.mark.parametrize("objective", ["elbo", "iwae:num_particles=3"])
def test_an_unrolled_loop_is_compiled_block_by_block(objective):
    torch.manual_seed(0)
    x = torch.bernoulli(torch.full((5, 12, 4), 0.4))
    step, eager = steppers(Chain(False), Chain(True), {"x": x}, objective, backend="rolled")
    assert_same_steps(step, eager, {"x": x})


def test_the_gradients_of_a_loops_weights_are_one_product_each():
    """Two weights, one of them transposed, one used once more outside the loop; products that are no gradients stay."""

    def gradients(w, v, x):
        h = x.new_zeros(6, 3)
        for t in range(8):
            h = torch.tanh(h @ w + x[:, t] @ v.T)
        return torch.autograd.grad((h @ w).square().sum(), (w, v))

    inputs = [torch.randn(3, 3, requires_grad=True), torch.randn(3, 4, requires_grad=True), torch.randn(6, 8, 4)]
    graph, captured = trace_graph(gradients, inputs)
    expected, before = graph(*inputs, *captured), str(graph.code).count("aten.mm.default")
    merge_products(graph)
    for ours, theirs in zip(graph(*inputs, *captured), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    # of w: 8 and the one outside; the first step's h is zero, but its product is there; of v: 8
    assert before - str(graph.code).count("aten.mm.default") == 8 + 7


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Inductor, on its first import
def test_a_loop_of_norms_is_compiled():
    """Whose gradients torch masks in place."""

    def gradients(w, x):
        for _ in range(12):
            x = x - 0.1 * (x @ w).norm(dim=-1, keepdim=True) * x
        return torch.autograd.grad(x.square().sum(), (w,))

    inputs = [torch.randn(3, 3, requires_grad=True), torch.randn(6, 3)]
    graph, captured = trace_graph(gradients, inputs)
    (expected,) = graph(*inputs, *captured)
    assert "masked_fill_" in str(graph.code)
    code = compile_rolled(graph)
    (ours,) = code(*(each.detach() for each in [*inputs, *captured]))
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


def test_a_loop_that_writes_into_a_tensor_is_not_cut_into_blocks(caplog):
    def write(x):
        out = torch.zeros_like(x)
        for t in range(x.shape[1]):
            out[:, t] = x[:, t].tanh() * 2
        return (out,)

    def write_piece(x):
        return tuple(each.mul_(2) for each in (x + 1).split(1, 1))

    for function in (write, write_piece):
        graph, _ = trace_graph(function, [torch.rand(3, 40)])
        with pytest.raises(RuntimeError, match="writes into part of a tensor"):
            compile_rolled(graph)


def test_log_weights_compile():
    pair = exact.PAIRS["sigmoid-decoder 2d"]()

    def log_weight(batch):
        return trace_pair(pair.model, pair.guide, batch, 7).log_weight

    values = []
    for function in (log_weight, compile_function(log_weight, pair.batch)):
        torch.manual_seed(0)
        values.append(function(pair.batch).detach())
    torch.testing.assert_close(*values)
    assert function is not log_weight


@pytest.mark.parametrize(
    ("optimizer", "options", "clip_norm"),
    [
        ("Adam", {}, 0.1),
        ("Adam", {"weight_decay": 0.1, "betas": (0.5, 0.9)}, None),
        ("AdamW", {"weight_decay": 0.1}, None),
        ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, 0.1),
        ("SGD", {}, None),
        ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1}, 0.1),
        ("RMSprop", {"centered": True}, None),
        ("Adagrad", {}, 0.1),  # has no update in the graph: runs after it
        ("Adam", {"amsgrad": True}, None),
    ],
)
def test_optimizers_update_as_torch_does(optimizer, options, clip_norm):
    pair = exact.PAIRS["sigmoid-decoder 2d"]()
    step, eager = steppers(
        pair.model,
        pair.guide,
        pair.batch,
        "elbo",
        backend="inductor",
        optimizer=optimizer,
        optimizer_options=options,
        clip_norm=clip_norm,
    )
    assert_same_steps(step, eager, pair.batch)


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
    step, eager = steppers(pair.model, pair.guide, pair.batch, "elbo:beta=2", backend="inductor", schedule=["beta"])
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
    step, eager = steppers(pair.model, pair.guide, pair.batch, "iwae:num_particles=5", backend="inductor")
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
    assert precision() == "highest"


def precision():
    return torch.get_float32_matmul_precision()


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
    options = {"backend": "inductor", "optimizer": "SGD"}
    step, eager = steppers(Noisy(0.0, True), exact.Affine(6, 2), {"x": x}, "elbo", **options)
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


@pytest.mark.parametrize("backend", ["graph", "inductor"])
def test_a_bound_that_is_not_finite_moves_nothing(backend):
    pair = exact.PAIRS["linear-gaussian 2x4 wrong"]()
    step = pv.compile_step(pair, pair.batch, "elbo", backend=backend)
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
        ({"backend": "xla"}, "backend is 'xla'; expected one of inductor, rolled, graph"),
        ({"objective": pyro.infer.Trace_ELBO()}, "needs one of pyrovae.objectives"),
    ):
        objective = options.pop("objective", "elbo")
        with pytest.raises(OptionError, match=message):
            pv.compile_step(pair, pair.batch, objective, **options)


# ------------------------------------------------------------------------------------------------ matrix products
def test_products_are_chosen_by_shape_and_not_where_onednn_rounds_to_bf16(monkeypatch):
    pair = exact.PAIRS["sigmoid-decoder 2d"]()

    def seconds(layout):
        return {"mkl": 1.0, "onednn": 0.5 if layout[0][0][-1] == 2 else 0.95}  # half the time where two numbers are summed

    monkeypatch.setattr(matmul, "_seconds", seconds)
    monkeypatch.setattr(matmul, "matmul_error", lambda layout, name: 1e-6)
    step, eager = steppers(pair.model, pair.guide, pair.batch, "iwae:num_particles=4", backend="inductor", matmul=None)
    assert step.matmul == "onednn" and set(step.products.values()) == {"mkl", "onednn"}
    assert_same_steps(step, eager, pair.batch)
    again = pv.compile_step(pair, pair.batch, "iwae:num_particles=4", matmul=step.products)
    assert again.products == step.products
    monkeypatch.setattr(matmul, "matmul_error", lambda layout, name: 4e-3)
    step, _ = steppers(pair.model, pair.guide, pair.batch, "elbo", backend="inductor", matmul=None)
    assert step.matmul == "mkl" and set(step.products.values()) == {"mkl"} and len(step.products) >= 4


@pytest.mark.parametrize("name", matmul.MATMULS)
def test_matmul_errors_are_those_of_float32_and_would_show_bf16(name, monkeypatch):
    key = (((50, 300), (300, 1)), ((300, 40), (1, 300)))
    if name == "mkl" or matmul.matmul_error(key, name) < matmul.TOLERANCE:  # oneDNN may be bf16 on other machines
        assert 0 < matmul.matmul_error(key, name) < matmul.TOLERANCE
    rounded = matmul._operands
    left, right = rounded(key)
    error = (left.bfloat16().float() @ right.bfloat16().float() - left.double() @ right.double()).abs().max() / 300**0.5
    assert error > 50 * matmul.TOLERANCE


def test_the_callers_precision_is_restored():
    with pytest.raises(ZeroDivisionError), matmul.matmul_backend("onednn"):
        assert precision() == "medium"
        raise ZeroDivisionError
    assert precision() == "highest"


# ------------------------------------------------------------------------------------------------ fit
@pytest.fixture(scope="module")
def digits():
    return pv.data.load("digits")


def small(data):
    torch.manual_seed(0)
    return pv.pairs.vae(data.spec, latent_dim=3, hidden=[16])


def quiet(pair, data, *args, **options):
    return pv.fit(pair, data, *args, **{"progress": False, "tensorboard": False, **options})


@pytest.mark.parametrize("options", [{}, {"kl_warmup": 2.0, "clip_norm": 1.0, "scheduler": "CosineAnnealingLR"}])
def test_fit_compiled_is_fit(digits, options):
    if "scheduler" in options:
        options = {**options, "scheduler_options": {"T_max": 40}, "scheduler_interval": "step"}
    runs = [quiet(small(digits), digits, epochs=3, compile=compile, **options) for compile in (False, True)]
    assert [run.config["compiled"]["backend"] for run in runs] == ["eager", "inductor"]
    for rows in zip(*(run.history for run in runs), strict=True):
        for key in ("train", "valid", "lr", "beta"):
            assert rows[0][key] == pytest.approx(rows[1][key], rel=1e-4)


def test_a_compiled_run_resumes_bitwise_with_its_choices(digits, tmp_path):
    whole = quiet(small(digits), digits, epochs=4, compile=True, out=tmp_path / "whole")
    quiet(small(digits), digits, epochs=2, compile=True, out=tmp_path / "part")
    run = pv.resume(tmp_path / "part", epochs=4, progress=False)
    for name, value in parameters(run.model, run.guide).items():
        assert torch.equal(value, parameters(whole.model, whole.guide)[name]), name
    ours, theirs = (load_state(tmp_path / name / "checkpoint.safetensors")["optimizers"]["pair"] for name in ("whole", "part"))
    for i, state in ours["state"].items():
        assert all(torch.equal(state[key], theirs["state"][i][key]) for key in state)
    assert run.config["compiled"] == whole.config["compiled"]
    loaded = pv.load(tmp_path / "part")
    assert loaded.config["compiled"]["backend"] == "inductor" and loaded.config["fit"]["compile"] is True


def test_short_runs_are_not_compiled_unless_asked(digits, monkeypatch):
    assert quiet(small(digits), digits, epochs=1).config["compiled"]["backend"] == "eager"
    asked = []
    monkeypatch.setattr(CompiledStep, "compile", lambda self, *args, **options: asked.append(options["asked"]))
    quiet(small(digits), digits, "iwae:num_particles=1600", steps=13)  # 13 steps x 100 data x 1,600 particles
    assert asked == [False]


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_a_compiled_run_names_the_batch_at_which_the_bound_was_lost(tmp_path):
    pair = exact.linear_gaussian(2, 4, rows=60)
    x = pair.batch["x"].clone()
    x[:] = x.clamp(-3, 3)
    x[-1] = 1e20  # its square is no float32
    messages = []
    for compile in (False, True):
        torch.manual_seed(0)
        fresh = exact.linear_gaussian(2, 4, rows=60)
        with pytest.raises(NonFiniteError, match=r"batch \d+ of epoch 1 \(step \d+\), rows .*59.*site") as error:
            quiet((fresh.model, exact.Affine(4, 2)), ({"x": x}, {"x": x[:5]}), epochs=3, batch_size=5, compile=compile)
        messages.append(str(error.value))
        assert all(torch.isfinite(p).all() for p in parameters(fresh.model, fresh.guide).values())
    assert messages[0] == messages[1]


# ------------------------------------------------------------------------------------------------ evidence
def test_compiled_evidence_is_the_eager_one(digits):
    pair = small(digits)
    data = digits.test.subset(torch.arange(25))
    eager, compiled, rounded = (
        pv.log_evidence(pair, data, num_samples=40, batch_size=10, max_rows=200, compile=compile, precision=p)
        for compile, p in ((False, "float32"), (True, "float32"), (True, "bf16"))
    )
    torch.testing.assert_close(compiled.value, eager.value, atol=1e-4, rtol=1e-5)  # a short last batch, too
    assert 0 < (rounded.value - eager.value).abs().max() < 0.5 and abs(rounded.mean - eager.mean) < 0.1


@pytest.mark.parametrize(("name", "start"), [("chain wrong", "guide"), ("gaussian-mixture enumerated", "prior")])
def test_compiled_transitions_of_hmc_are_the_eager_ones(name, start, caplog):
    """Several sites, sites summed out; for two batches and two numbers of chains. (Whole chains amplify rounding.)"""
    caplog.set_level("INFO", "pyrovae")
    pair, code = exact.PAIRS[name](), Code()
    for rows, chains in ((slice(0, 2), 5), (slice(0, 2), 3), (slice(2, 4), 5)):
        target = Target(pair.model, pair.guide, {key: value[rows] for key, value in pair.batch.items()})
        path = path_from(target, start)
        u = target.draw(chains, start).detach()
        state = (at(path, u), torch.tensor([0.3, 0.7]), torch.tensor([0.5, 0.2]), torch.ones(2, u.shape[-1]))
        results, passes = [], []
        for kept in (None, code):
            torch.manual_seed(0)
            before = target.passes
            point, acceptance = transition(target, path, start, 3, kept, (5, 3))(*state)
            results.append((*point, acceptance, torch.rand(1)))  # and the next random number
            passes.append(target.passes - before)
        torch.testing.assert_close(results[1], results[0], atol=1e-4, rtol=1e-4)
        assert passes == [3 * chains] * 2
    assert "not compiled" not in caplog.text and caplog.text.count("compiled in") == 2
