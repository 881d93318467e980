"""Data-parallel training: two processes move the parameters as one does, stop together and resume."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import textwrap

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae.compile import CompiledStep
from pyrovae.compile.step import Step
from pyrovae.core.parameters import parameters
from pyrovae.errors import OptionError
from pyrovae.files import load_state


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 5)

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1).to_event(1))
            pyro.sample("x", dist.Normal(self.net(z), 0.5).to_event(1), obs=x)


class Carried(dist.Normal):
    """A normal distribution whose noise is given."""

    def __init__(self, loc, scale, noise):
        super().__init__(loc, scale, validate_args=False)
        self.noise = noise

    def expand(self, batch_shape, _instance=None):
        return Carried(*(value.expand(batch_shape) for value in (self.loc, self.scale, self.noise)))

    def rsample(self, sample_shape=()):
        return self.loc + self.scale * self.noise


class Guide(nn.Module):
    """q(z | x), whose noise rides along with the data, so that each datum has the same in any process."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(5, 4)

    def forward(self, x, noise):
        loc, scale = self.net(x).chunk(2, -1)
        scale = nn.functional.softplus(scale)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", Carried(loc, scale, noise).to_event(1))


def build():
    torch.manual_seed(0)
    return pv.Pair(Model(), Guide())


def data():
    """86 rows to train on: in batches of 17 the last has one row, fewer than there are processes."""
    source = torch.Generator().manual_seed(1)
    x, noise = torch.randn(96, 5, generator=source) @ torch.randn(5, 5, generator=source), torch.randn(96, 2, generator=source)
    parts = slice(86), slice(86, 91), slice(91, 96)
    return pv.data.as_data(tuple({"x": x[part], "noise": noise[part]} for part in parts))


class Walk(nn.Module):
    """z_t ~ N(a z_t-1, 1), x_t ~ N(z_t, 0.5), in steps."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))

    def init(self, x):
        return {"z": x.new_zeros(len(x), 1)}

    def step(self, state, x):
        z = pyro.sample("z", dist.Normal(self.a * state["z"], 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z, 0.5).to_event(1), obs=x)
        return {"z": z}


class Follower(nn.Module):
    """q(z_t | x_t), its noise in the data."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(1, 2)

    def init(self, x):
        return {}

    def step(self, state, x, noise):
        loc, scale = self.net(x).chunk(2, -1)
        pyro.sample("z", Carried(loc, nn.functional.softplus(scale), noise).to_event(1))
        return {}


def build_steps():
    torch.manual_seed(0)
    return pv.unroll(Walk(), Follower())


def sequences():
    """The same rows as sequences of five steps, with noise at each."""
    whole = data()
    noise = torch.randn(96, 5, 1, generator=torch.Generator().manual_seed(2))
    parts = zip((whole.train, whole.valid, whole.test), noise.split([86, 5, 5]), strict=True)
    return pv.data.as_data(tuple({"x": part["x"].unsqueeze(-1), "noise": own} for part, own in parts))


SETTINGS = {"objective": "iwae:num_particles=2", "batch_size": 17, "lr": 1e-2, "clip_norm": 5.0}
SCRIPT = """
    import json, os, signal, sys
    sys.path.insert(0, TESTS)
    import torch
    from lightning_fabric import Fabric
    import pyrovae as pv
    from pyrovae.train import Callback, EarlyStopping
    from test_processes import SETTINGS, build, build_steps, data, sequences

    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    quiet = {"progress": False, "tensorboard": False, "fabric": fabric}

    pair = build()
    if fabric.global_rank:  # start from elsewhere: process 0's parameters are taken
        torch.nn.init.zeros_(pair.model.net.weight)
    pv.fit(pair, data(), **SETTINGS, epochs=6, out="fixed", **quiet)

    pv.fit(build_steps(), sequences(), **SETTINGS, epochs=6, out="steps", **quiet)

    digits = pv.data.load("digits")

    def vae():
        torch.manual_seed(0)
        return pv.pairs.vae(digits.spec, latent_dim=2, hidden=[8])

    def signalled(x):  # process 1 alone is told to stop, in its second epoch; checks run on fewer rows
        calls[0] += len(x) > 64
        if calls[0] == 12 and fabric.global_rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    options = {"batch_size": 200, "checkpoint_seconds": 0, **quiet}
    pv.fit(vae(), digits, epochs=3, out="whole", **options)
    pair, calls = vae(), [0]
    pair.guide.register_forward_pre_hook(lambda module, args, named: signalled(named["x"]), with_kwargs=True)
    stopped = pv.fit(pair, digits, epochs=3, out="halves", **options)
    fabric.barrier()
    pv.resume("halves", progress=False, fabric=fabric)

    class Ranks(Callback):
        def on_epoch_end(self, run, metrics):
            metrics["rank"] = fabric.global_rank

    class Raises(Callback):
        def on_epoch_end(self, run, metrics):
            if fabric.global_rank == 1 and metrics["epoch"] == 2:
                raise ZeroDivisionError("of process 1")

    def worse(run, metrics):  # from the second epoch on, by process 0 alone
        return metrics["epoch"] * (1 if fabric.global_rank else -1)

    callbacks = [Ranks(), EarlyStopping(worse, patience=2)]
    early = pv.fit(build(), data(), **SETTINGS, epochs=9, callbacks=callbacks, **quiet)
    try:
        pv.fit(build(), data(), **SETTINGS, epochs=9, callbacks=[Raises()], out="raised", **quiet)
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"

    numbers = [len(stopped.history), stopped.stopped == "terminated"]
    numbers += [len(early.history), early.best_epoch, early.weights == "best", *early.history["rank"]]
    told = fabric.all_reduce(torch.tensor([float(number) for number in numbers]), reduce_op="sum").tolist()
    raised = [fabric.broadcast(raised, src=rank) for rank in (0, 1)]
    if fabric.global_rank == 0:
        print(json.dumps({"told": told[:2], "early": told[2:], "raised": raised}), flush=True)
    fabric.barrier()
    torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes did, once for all of pytest's own processes."""
    own = tmp_path_factory.getbasetemp()  # of this process; in the one above it all processes of this run have theirs
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "two-processes"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told, script = folder / "told.json", folder / "script.py"
        if not told.exists():
            script.write_text(f"TESTS = {os.path.dirname(__file__)!r}\n" + textwrap.dedent(SCRIPT))
            done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=240)
            assert done.returncode == 0, done.stderr
            told.write_text(done.stdout.splitlines()[-1])
    return folder, json.loads(told.read_text())


@pytest.mark.parametrize(("name", "make", "rows"), [("fixed", build, data), ("steps", build_steps, sequences)])
def test_two_processes_train_as_one_does(two, name, make, rows):
    folder, _ = two
    pair = make()
    alone = pv.fit(pair, rows(), **SETTINGS, epochs=6, progress=False)
    assert alone.history["valid"].iloc[-1] > alone.history["valid"].iloc[0] + 1
    both = load_state(folder / name / "checkpoint.safetensors")
    for parameter, tensor in parameters(pair.model, pair.guide).items():
        torch.testing.assert_close(both["tensors"][parameter], tensor.detach(), rtol=1e-5, atol=1e-6)
    for one, row in zip(alone.records, both["history"], strict=True):
        assert (row["train"], row["valid"]) == pytest.approx((one["train"], one["valid"]), rel=1e-5)
    assert json.loads((folder / name / "config.json").read_text())["processes"] == 2


def test_a_signal_to_one_process_stops_both_and_the_run_resumes_bitwise(two):
    folder, said = two
    epochs, terminated = said["told"]
    assert terminated == 2 and epochs == 2  # both in their second epoch of three
    whole, halves = (load_state(folder / name / "checkpoint.safetensors") for name in ("whole", "halves"))
    assert whole["step"] == halves["step"] == 21
    for name, tensor in whole["tensors"].items():
        assert torch.equal(tensor, halves["tensors"][name]), name
    assert [row["train"] for row in whole["history"]] == [row["train"] for row in halves["history"]]


def test_processes_agree_on_the_metrics_of_callbacks_and_on_early_stopping(two):
    """Both have three epochs with process 0's rank, and the parameters of the first: sums over the two."""
    assert two[1]["early"] == [6.0, 2.0, 2.0, 0.0, 0.0, 0.0]


def test_an_error_of_one_process_ends_all_after_a_checkpoint(two):
    first, second = two[1]["raised"]
    assert first == "RunError: a callback of process 1 raised ZeroDivisionError: of process 1"
    assert second == "ZeroDivisionError: of process 1"
    assert load_state(two[0] / "raised" / "checkpoint.safetensors")["step"] == 12


def test_each_process_draws_its_own_noise(two):
    whole = load_state(two[0] / "whole" / "checkpoint.safetensors")
    (other,) = whole["random_others"]
    assert not torch.equal(other["torch"], whole["random"]["torch"])


def test_a_compiled_step_exchanges_its_gradients_before_it_moves():
    batch = {key: data().train[key] for key in ("x", "noise")}
    made = []
    for kind in (Step, CompiledStep):
        pair = build()
        params = list(parameters(pair.model, pair.guide).values())
        step = kind(pv.objectives.get("elbo"), pair.model, pair.guide, {"pair": torch.optim.Adam(params, lr=0.1)})
        step.exchange = lambda grads, bound, means: ([-grad for grad in grads], 2 * bound, means, 43)
        if kind is CompiledStep:
            step.compile(batch, matmul="mkl", backend="graph")
            assert step.backend == "graph"
        bounds = [float(step(batch)) for _ in range(3)]
        made.append((bounds, [p.detach().clone() for p in params]))
    (eager, left), (compiled, right) = made
    assert eager[0] > eager[-1] and compiled == pytest.approx(eager, rel=1e-5)  # it climbed down, as told
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


class Coins(nn.Module):
    """z ~ Bernoulli, as a model (with x) or a guide."""

    def __init__(self, observes):
        super().__init__()
        self.net, self.observes = nn.Linear(5, 2), observes

    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            logits = torch.zeros(2) if self.observes else self.net(x)
            z = pyro.sample("z", dist.Bernoulli(logits=logits).to_event(1))
            if self.observes:
                pyro.sample("x", dist.Normal(z @ self.net.weight, 0.5).to_event(1), obs=x)


def test_moving_averages_of_batches_are_refused():
    class Alone:
        global_rank, world_size, device = 0, 1, torch.device("cpu")

    with pytest.raises(OptionError, match="moving averages"):
        pv.fit((Coins(True), Coins(False)), data().train["x"], "nvil", epochs=1, progress=False, fabric=Alone())
