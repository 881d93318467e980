"""fit: same steps as stock Pyro's SVI, known maxima, schedules, precision, data of every kind."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.infer
import pytest
import torch
from fits import assert_same, quiet, small, state
from pyro import sample
from torch.utils.data import DataLoader, TensorDataset

import pyrovae as pv
from pyrovae.core.inference import precision_context
from pyrovae.core.parameters import parameters
from pyrovae.errors import OptionError


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


def test_linear_gaussian_fit_finds_maximum_likelihood():
    """Probabilistic PCA has a closed-form maximum (Tipping and Bishop 1999): the trained log p(x) reaches it."""
    torch.manual_seed(0)
    w = torch.randn(2, 6)
    x = torch.randn(2000, 2) @ w + 0.3 * torch.randn(2000, 6)
    pair = pv.pairs.linear_gaussian(pv.data.as_data(x).spec, latent_dim=2)
    quiet(
        pair,
        (x, x[:100]),
        epochs=60,
        lr=0.05,
        batch_size=500,
        scheduler="ExponentialLR",
        scheduler_options={"gamma": 0.95},
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
    assert_same(runs[0], runs[1])
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


def test_the_best_epoch_waits_for_the_end_of_the_warmup(few):
    for warming in ({"kl_warmup": 6}, {"schedule": {"beta": "linear:start=0,end=1,epochs=6"}}):
        run = quiet(small(few), few, epochs=10, patience=1, batch_size=100, **warming)
        assert run.best_epoch >= 6 and run.records[run.best_epoch - 1]["beta"] == 1.0
    short = quiet(small(few), few, epochs=2, patience=1, kl_warmup=6)
    assert short.best_epoch is None and short.weights == "last"


@pytest.mark.parametrize(
    ("objective", "named"),
    [
        ("elbo:beta=nan", "beta is nan"),
        ("elbo:free_bits=inf", "free_bits is inf"),
        ("elbo:free_bits_per=dimension", "free_bits_per is 'dimension', which goes with free_bits"),
        ("elbo:gamma=3", "gamma is 3, which goes with capacity"),
        ("renyi:alpha=nan", "alpha is nan"),
        ("iwae:num_particles=0", "num_particles is 0; expected a whole number of at least 1"),
    ],
)
def test_options_that_are_no_numbers_or_do_nothing_are_refused(objective, named):
    with pytest.raises(OptionError, match=named):
        pv.objectives.get(objective)


@pytest.mark.parametrize("options", [{"latent_dim": 0}, {"latent_dim": 2.5}, {"hidden": [0]}, {"scale": float("nan")}])
def test_sizes_and_scales_of_recipes_have_their_range(options, few):
    with pytest.raises(OptionError, match=f"{next(iter(options))} is .*; expected "):
        pv.pairs.vae(few.spec, **options)


def test_resume_refuses_what_it_would_not_keep(few, tmp_path):
    quiet(small(few), few, steps=1, out=tmp_path / "run")
    for name, value in {"objective": "iwae:num_particles=5", "optimizer": "SGD", "schedule": {"beta": 0.5}}.items():
        with pytest.raises(OptionError, match=f"{name} is .*goes on exactly with {name}="):
            pv.resume(tmp_path / "run", data=few, steps=2, progress=False, **{name: value})
    assert pv.resume(tmp_path / "run", data=few, steps=2, progress=False, objective="elbo").step == 2
