"""fit: same steps as stock Pyro's SVI, schedules, validation, early stopping, precision, trouble."""

from __future__ import annotations

import csv
import os
import resource
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager

import exact
import numpy as np
import pyro
import pyro.distributions as dist
import pyro.infer
import pytest
import torch
from pyro import sample
from torch.utils.data import DataLoader, TensorDataset

import pyrovae as pv
from pyrovae.core.inference import precision_context
from pyrovae.core.pair import parameters
from pyrovae.errors import NonFiniteError, OptionError, RunError
from pyrovae.files import load_state


@pytest.fixture
def digits():
    return pv.data.load("digits")


def quiet(pair, data, *args, **options):
    return pv.fit(pair, data, *args, progress=False, **options)


def small(data, **options):
    torch.manual_seed(0)
    return pv.pairs.vae(data.spec, latent_dim=3, hidden=[20], **options)


def state(pair):
    return {name: p.detach().clone() for name, p in parameters(pair.model, pair.guide).items()}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("elbo", pyro.infer.Trace_ELBO()),
        ("iwae:num_particles=3", pyro.infer.RenyiELBO(0.0, num_particles=3, vectorize_particles=True, max_plate_nesting=1)),
        ("dreg:num_particles=3", pv.objectives.DReG(3)),
        ("miwae:num_particles=4,num_groups=2", pv.objectives.MIWAE(4, 2)),
    ],
)
def test_steps_equal_those_of_svi_on_the_same_batches_and_noise(digits, name, loss):
    """Plain SGD with fit's mean loss is SVI with the summed loss and lr / B, stock or ours."""
    pair = small(digits)
    start = state(pair)
    quiet(pair, digits, name, steps=3, optimizer="SGD", lr=0.1, batch_size=50, seed=3, validate=False)
    ours = state(pair)
    with torch.no_grad():
        for name, p in parameters(pair.model, pair.guide).items():
            p.copy_(start[name])
            p.grad = None

    def model(x):
        pyro.module("model", pair.model)
        return pair.model(x)

    def guide(x):
        pyro.module("guide", pair.guide)
        return pair.guide(x)

    svi = pyro.infer.SVI(model, guide, pyro.optim.SGD({"lr": 0.1 / 50}), loss=loss)
    pyro.set_rng_seed(3)
    for step, batch in enumerate(digits.train.epoch(50, seed=3, epoch=0)):
        if step == 3:
            break
        svi.step(x=batch["x"])
    stock = state(pair)
    for name in ours:
        torch.testing.assert_close(ours[name], stock[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "objective",
    [
        pyro.infer.Trace_ELBO(),
        pyro.infer.TraceMeanField_ELBO(),
        pyro.infer.RenyiELBO(0.0, num_particles=3, vectorize_particles=True, max_plate_nesting=1),
        pyro.infer.TraceEnum_ELBO(max_plate_nesting=1),
    ],
)
def test_stock_elbos_train(digits, objective):
    run = quiet(small(digits), digits, objective, epochs=3)
    assert run.history["train"].iloc[-1] > run.history["train"].iloc[0] + 0.4
    assert run.history["valid"].iloc[-1] == pytest.approx(run.history["train"].iloc[-1], abs=3)


@pytest.mark.parametrize("objective", ["elbo", "meanfield", "iwae:num_particles=3", {"name": "renyi", "alpha": 0.3}])
def test_named_objectives_train_and_report_the_bound(digits, objective):
    pair = small(digits)
    run = quiet(pair, digits, objective, epochs=4, lr=3e-3)
    assert run.history["valid"].iloc[-1] > run.history["valid"].iloc[0] + 0.4
    value = pv.log_evidence(pair, digits.valid, num_samples=300)
    elbo = float(value.elbo.mean())
    assert elbo - 0.3 < run.history["valid"].iloc[-1] < value.mean + 0.3


def test_linear_gaussian_fit_finds_maximum_likelihood(digits):
    """Probabilistic PCA has a closed-form maximum (Tipping and Bishop 1999): the trained log p(x) reaches it."""
    torch.manual_seed(0)
    w = torch.randn(2, 6)
    x = torch.randn(2000, 2) @ w + 0.3 * torch.randn(2000, 6)
    pair = pv.pairs.linear_gaussian(pv.data.as_data(x).spec, latent_dim=2)
    quiet(
        pair,
        (x, x[:100]),
        epochs=80,
        lr=0.05,
        batch_size=200,
        scheduler="ExponentialLR",
        scheduler_options={"gamma": 0.94},
    )
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    noise = values[2:].mean()
    best = -0.5 * (6 * np.log(2 * np.pi) + values[:2].log().sum() + 4 * noise.log() + 6)
    assert float(pair.model.log_evidence(x).mean().detach()) == pytest.approx(float(best), abs=0.01)


def test_same_seed_same_run_and_the_callers_random_state_is_left(digits):
    runs = []
    for seed in (1, 1, 2):
        pair = small(digits)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        quiet(pair, digits, epochs=2, seed=seed)
        assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()
        runs.append(state(pair))
    assert_equal(runs[0], runs[1])
    assert not torch.equal(runs[0]["guide.encoder.mlp.0.weight"], runs[2]["guide.encoder.mlp.0.weight"])


def test_kl_warmup_starts_without_the_kl_and_logs_the_plain_bound(digits):
    plain = quiet(small(digits), digits, epochs=4)
    warm = quiet(small(digits), digits, epochs=4, kl_warmup=2)
    assert warm.history["beta"].tolist() == [0.5, 1.0, 1.0, 1.0]
    assert warm.history["valid"].iloc[-1] == pytest.approx(plain.history["valid"].iloc[-1], abs=2)


def test_schedulers_by_epoch_step_and_plateau(digits):
    by_epoch = quiet(small(digits), digits, epochs=3, scheduler="ExponentialLR", scheduler_options={"gamma": 0.5})
    assert by_epoch.history["lr"].tolist() == [1e-3, 5e-4, 2.5e-4]
    by_step = quiet(
        small(digits),
        digits,
        epochs=1,
        scheduler="LinearLR",
        scheduler_interval="step",
        scheduler_options={"start_factor": 1.0, "end_factor": 0.1, "total_iters": 13},
    )
    assert by_step.history["lr"].iloc[0] == pytest.approx(1e-4)
    plateau = quiet(
        small(digits),
        digits,
        epochs=4,
        lr=1e-4,
        scheduler="ReduceLROnPlateau",
        scheduler_options={"patience": 0, "threshold": 1.0},
    )
    assert plateau.history["lr"].iloc[-1] == pytest.approx(1e-7)
    own = quiet(
        small(digits),
        digits,
        epochs=2,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.01),
        scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1),
    )
    assert own.history["lr"].iloc[1] == pytest.approx(1e-3)


def test_clipping_bounds_the_step(digits):
    pair = small(digits)
    start = state(pair)
    quiet(pair, digits, steps=1, optimizer="SGD", lr=1.0, clip_norm=1e-3)
    moved = sum(float((after - start[name]).square().sum()) for name, after in state(pair).items()) ** 0.5
    assert moved == pytest.approx(1e-3, rel=1e-3)


def test_early_stopping_returns_the_best_parameters(digits, tmp_path):
    data = (digits.train.subset(torch.arange(60)), digits.valid, digits.test)
    data = tuple({"x": split["x"]} for split in data)
    pair = small(digits)
    run = quiet(pair, data, epochs=400, lr=0.01, patience=5, batch_size=30, out=tmp_path / "run")
    assert run.stopped == "early" and run.weights == "best"
    assert run.best_epoch == max(run.history, key=lambda row: row["valid"])["epoch"] == run.history["epoch"].iloc[-1] - 5
    torch.manual_seed(0)
    again = pv.load(tmp_path / "run", pair=small(digits), data=data)
    assert again.weights == "best"
    assert_equal(state(again.pair), state(pair))
    last = pv.load(tmp_path / "run", pair=small(digits), data=data, weights="last")
    assert not torch.equal(state(last.pair)["model.decoder.mlp.0.weight"], state(pair)["model.decoder.mlp.0.weight"])


def test_bf16_networks_keep_float32_densities(digits):
    pair = small(digits)
    seen = set()
    pair.model.decoder.mlp[0].register_forward_hook(lambda m, a, out: seen.add(out.dtype))
    pair.model.likelihood.register_forward_hook(lambda m, a, out: seen.add(out.base_dist.logits.dtype))
    run = quiet(pair, digits, epochs=3, precision="bf16")
    plain = quiet(small(digits), digits, epochs=3)
    assert seen == {torch.bfloat16, torch.float32}
    assert all(p.dtype is torch.float32 for p in state(pair).values())
    assert run.history["valid"].iloc[-1] == pytest.approx(plain.history["valid"].iloc[-1], abs=0.5)


class Nested(torch.nn.Module):
    """A program within a program, whose draws come from an imported function."""

    def __init__(self):
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.Linear(64, 4))

    def forward(self, x):
        loc, raw = self.network(x.flatten(1)).chunk(2, -1)
        with pyro.plate("data", len(x), dim=-1):
            return sample("z", dist.Normal(loc, 0.1 + raw.exp()).to_event(1))


def test_bf16_leaves_a_program_within_a_program_in_float32(digits):
    inner, seen = Nested(), []
    inner.network[0].register_forward_hook(lambda m, a, out: seen.append(out.dtype))

    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)

    outer = Outer()
    with precision_context("bf16", outer):
        assert outer(digits.test["x"][:5]).dtype is torch.float32
    assert seen == [torch.bfloat16]


def test_dataloaders_and_datasets_train(digits):
    x, y = digits.train["x"], digits.train["y"]
    for data in (
        TensorDataset(x, y),
        (
            DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True),
            DataLoader(TensorDataset(x[:100], y[:100]), batch_size=64),
        ),
    ):
        run = quiet(small(digits), data, epochs=4)
        assert run.history["valid"].iloc[-1] > run.history["valid"].iloc[0] + 0.4


def test_plain_functions_train_apart_from_the_global_store_and_save(tmp_path):
    def build():
        decoder = torch.nn.Linear(2, 5)

        def model(x):
            pyro.module("decoder", decoder)
            scale = pyro.param("scale", torch.tensor(1.0), constraint=dist.constraints.positive)
            with pyro.plate("data", len(x), dim=-1):
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(decoder(z), scale).to_event(1), obs=x)

        def guide(x):
            weight = pyro.param("weight", lambda: 0.1 * torch.randn(5, 2))
            with pyro.plate("data", len(x), dim=-1):
                pyro.sample("z", dist.Normal(x @ weight, 0.5).to_event(1))

        return model, guide

    x = torch.randn(300, 2) @ torch.randn(2, 5) + 0.1 * torch.randn(300, 5)
    pair, other = build(), build()
    run = quiet(pair, x, epochs=15, lr=0.02, out=tmp_path / "run")
    assert run.history["train"].iloc[-1] > run.history["train"].iloc[0] + 2
    assert set(parameters(*pair)) == {"param.decoder$$$weight", "param.decoder$$$bias", "param.scale", "param.weight"}
    assert parameters(*other) == {} and "scale" not in pyro.get_param_store()
    again = pv.load(tmp_path / "run", pair=other, data=x)
    torch.testing.assert_close(pv.log_evidence(pair, x[:9]).value, pv.log_evidence(other, x[:9]).value)
    assert again.stopped == "finished"


def test_objects_of_training_must_be_given_again(digits, tmp_path):
    quiet(small(digits), digits, pyro.infer.Trace_ELBO(), epochs=1, out=tmp_path / "run")
    with pytest.raises(RunError, match="trained with an objective object"):
        pv.resume(tmp_path / "run", progress=False)
    run = pv.resume(tmp_path / "run", epochs=2, objective=pyro.infer.Trace_ELBO(), progress=False)
    assert len(run.history) == 2


# ------------------------------------------------------------------------------------------------ exact resume
SCRIPT = textwrap.dedent("""
    import sys, torch, pyrovae as pv
    torch.set_num_threads(1)
    data = pv.data.load("digits")
    torch.manual_seed(0)
    pair = pv.pairs.vae(data.spec, latent_dim=3, hidden=[20])
    pv.fit(pair, data, "iwae:num_particles=2", epochs=int(sys.argv[2]), out=sys.argv[1], seed=5, checkpoint_seconds=0,
           scheduler="OneCycleLR", scheduler_options={"max_lr": 0.01, "total_steps": 200}, scheduler_interval="step",
           patience=50, progress=False)
""")


@contextmanager
def training(out, epochs=8):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out), str(epochs)], env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process


def wait_for_step(process, folder, step):
    """Until the checkpoint is past a step, whichever the process is at by then."""
    while process.poll() is None:
        try:
            if load_state(folder / "checkpoint.safetensors")["step"] >= step:
                return
        except RunError:
            pass
    raise AssertionError(process.stderr.read())


def comparable(folder):
    saved = load_state(folder / "checkpoint.safetensors")
    for row in saved["history"]:
        row.pop("seconds")
    return {
        key: saved[key] for key in ("step", "count", "sum", "history", "tensors", "optimizers", "schedulers", "random", "best")
    }


def assert_same(first, second, path=""):
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            assert_same(first[key], second[key], f"{path}.{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), path
        for i, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{path}[{i}]")
    else:
        assert first == second, path


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "Ctrl-C"])
def test_a_run_killed_at_a_random_step_resumes_bitwise(tmp_path, how):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with training(whole) as process:
        assert process.wait(timeout=100) == 0, process.stderr.read()
    with training(killed) as process:
        wait_for_step(process, killed, int(np.random.default_rng(os.getpid()).integers(3, 60)))
        process.send_signal(how)
        process.wait(timeout=30)
        assert process.returncode == (-9 if how == signal.SIGKILL else 0), process.stderr.read()
    saved = load_state(killed / "checkpoint.safetensors")
    assert 0 < saved["step"] < 8 * 13
    assert how == signal.SIGKILL or saved["stopped"] == "interrupted"
    run = pv.resume(killed, progress=False)
    assert run.stopped == "finished" and len(run.history) == 8
    assert_same(comparable(whole), comparable(killed))
    rows = [list(csv.DictReader((folder / "metrics.csv").read_text().splitlines())) for folder in (whole, killed)]
    assert [{**row, "seconds": 0} for row in rows[0]] == [{**row, "seconds": 0} for row in rows[1]]


def test_resume_with_more_epochs_equals_the_longer_run(digits, tmp_path):
    long = small(digits)
    quiet(long, digits, epochs=5, seed=2, out=tmp_path / "long")
    quiet(small(digits), digits, epochs=2, seed=2, out=tmp_path / "short")
    run = pv.resume(tmp_path / "short", epochs=5, progress=False)
    assert_equal(state(run.pair), state(long))
    assert pv.load(tmp_path / "short").config["fit"]["epochs"] == 5
    with pytest.raises(OptionError, match="is at step 65 already, beyond the 13 asked for"):
        pv.resume(tmp_path / "short", epochs=1)
    assert pv.load(tmp_path / "short").config["fit"]["epochs"] == 5
    assert list((tmp_path / "short" / "tensorboard").glob("events.*"))


def test_resume_refuses_other_data(tmp_path):
    x = torch.randn(50, 3)
    pair = pv.pairs.vae(pv.data.as_data(x).spec, hidden=[5], latent_dim=2)
    quiet(pair, x, epochs=1, out=tmp_path / "run")
    with pytest.raises(RunError, match="data from memory; give them as data="):
        pv.resume(tmp_path / "run")
    with pytest.raises(RunError, match="fingerprints differ"):
        pv.resume(tmp_path / "run", data=x + 1)


# ------------------------------------------------------------------------------------------------ trouble
@pytest.mark.filterwarnings("ignore:Encountered NaN")
@pytest.mark.parametrize("objective", ["elbo", "iwae:num_particles=3", pyro.infer.Trace_ELBO()])
def test_a_bound_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path, objective):
    class Fragile(exact.Affine):
        def forward(self, x):
            if (x > 50).any() and self.armed:
                x = x * float("inf")
            super().forward(x)

    pair = exact.linear_gaussian(2, 4, rows=40)
    x = pair.batch["x"].clone()
    guide = Fragile(4, 2)
    guide.armed = False
    x[-1] = 60.0
    data = ({"x": x}, {"x": x[:5]})
    guide.armed = True
    x_first = x[:8]
    assert torch.isfinite(x_first).all()
    with pytest.raises(
        NonFiniteError, match=r"batch \d of epoch 1 \(step \d\), rows .*site 'z' of the guide.*last good checkpoint"
    ):
        # check() sees the first rows only; the bad datum comes up in training
        quiet((pair.model, guide), data, objective, epochs=3, batch_size=5, out=tmp_path / "run")
    saved = load_state(tmp_path / "run" / "checkpoint.safetensors")
    assert all(torch.isfinite(t).all() for t in saved["tensors"].values())


def test_a_diverged_parameter_is_not_saved(digits, tmp_path):
    with pytest.raises(NonFiniteError, match="lower lr|Lower lr"):
        quiet(small(digits), digits, epochs=3, lr=1e30, optimizer="SGD", out=tmp_path / "run")
    saved = load_state(tmp_path / "run" / "checkpoint.safetensors")
    assert all(torch.isfinite(t).all() for t in saved["tensors"].values() if t.is_floating_point())


def test_run_folders_are_not_overwritten_or_half_made(digits, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="exists and is not empty"):
        quiet(small(digits), digits, epochs=1, out=tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot make run folder"):
        quiet(small(digits), digits, epochs=1, out=tmp_path / "file" / "run")


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(tmp_path):
    """The largest file the process may write is set below a checkpoint's size, once one has been written."""
    script = SCRIPT.replace("import sys,", "import sys, resource, signal,").replace(
        "pv.fit(", "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\npv.fit("
    ) + textwrap.dedent("""
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            pv.resume(sys.argv[1], epochs=4, progress=False)
        except ValueError as error:
            print(type(error).__name__, error, file=sys.stderr)
    """)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "run"), "2"], capture_output=True, text=True)
    assert "RunError cannot write" in done.stderr and "File too large" in done.stderr and "is kept" in done.stderr
    assert load_state(tmp_path / "run" / "checkpoint.safetensors")["step"] == 26
    assert [p.name for p in (tmp_path / "run").iterdir() if p.name.endswith(".tmp")] == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20_000


def test_corrupt_and_truncated_checkpoints_are_refused_and_not_touched(digits, tmp_path):
    quiet(small(digits), digits, epochs=1, out=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:10], b"", b"\x00" * len(whole)):
        path.write_bytes(broken)
        with pytest.raises(RunError, match="corrupt or truncated"):
            pv.load(tmp_path / "run")
        assert path.read_bytes() == broken
    path.unlink()
    with pytest.raises(RunError, match="is missing"):
        pv.load(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        pv.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"optimizer": "Adan"}, "did you mean 'Adam'"),
        ({"optimizer": "LBFGS"}, "needs a closure"),
        ({"optimizer_options": {"beta": 1}}, "did you mean 'betas'"),
        ({"scheduler": "StepLr2"}, "did you mean 'StepLR'"),
        ({"scheduler": "StepLR"}, "missing 1 required positional argument"),
        ({"precision": "fp8"}, "expected 'float32' or 'bf16'"),
        ({"kl_warmup": 2, "objective": "iwae"}, "kl_warmup does not go with IWAE"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"scheduler_interval": "minute"}, "expected 'epoch' or 'step'"),
        ({"objective": "elbo:alpha=1"}, "num_particles"),
    ],
)
def test_bad_options_are_named(digits, options, message):
    with pytest.raises(OptionError, match=message):
        quiet(small(digits), digits, **options)
