"""Callbacks: hooks in order, what they add is logged, their state resumes, their errors come out; the built-in ones."""

from __future__ import annotations

import csv
import math
import threading

import numpy as np
import pandas
import pytest
import torch
from fits import RESUMED, assert_same, comparable, quiet, small, state

import pyrovae as pv
from pyrovae.core.parameters import parameters
from pyrovae.errors import OptionError, RunError
from pyrovae.files import load_state
from pyrovae.train import Callback, EarlyStopping, Logger, ProgressBar


class Recorder(Callback):
    """Writes down its calls."""

    def __init__(self):
        self.calls = []

    def on_fit_start(self, run):
        self.calls.append(("fit_start", run.step, run.total_steps))

    def on_epoch_start(self, run, epoch):
        self.calls.append(("epoch_start", epoch))

    def on_step_end(self, run, step, bound):
        assert bound.shape == () and run.step == step
        self.calls.append(("step_end", step))

    def on_epoch_end(self, run, metrics):
        self.calls.append(("epoch_end", metrics["epoch"], len(run.history)))

    def on_fit_end(self, run):
        self.calls.append(("fit_end", run.stopped))

    def on_exception(self, run, error):
        self.calls.append(("exception", type(error)))


class Counter(Callback):
    """Counts steps, draws noise, and keeps both in checkpoints."""

    def __init__(self):
        self.count, self.noise = 0, torch.zeros(2)

    def on_step_end(self, run, step, bound):
        self.count += 1

    def on_epoch_end(self, run, metrics):
        self.noise = torch.randn(2)
        metrics["noise"] = self.noise[0]

    def state_dict(self):
        return {"count": self.count, "noise": self.noise}

    def load_state_dict(self, state):
        self.count, self.noise = state["count"], state["noise"]


def test_hooks_are_called_in_order(few):
    recorder = Recorder()
    quiet(small(few), few, epochs=2, batch_size=150, callbacks=[recorder])
    one, two = (
        [("epoch_start", epoch), ("step_end", 2 * epoch - 1), ("step_end", 2 * epoch), ("epoch_end", epoch, epoch)]
        for epoch in (1, 2)
    )
    assert recorder.calls == [("fit_start", 0, 4), *one, *two, ("fit_end", "finished")]


class Measures(Callback):
    def on_epoch_end(self, run, metrics):
        metrics["evidence"] = pv.log_evidence(run, run.data.test, num_samples=2).mean
        metrics["tensor"], metrics["numpy"] = torch.tensor(2.0), np.float32(0.5)
        metrics["note"] = "first" if metrics["epoch"] == 1 else None
        if metrics["epoch"] == 2:
            metrics["late"] = 3
        del metrics["step"]  # which stays


def test_what_callbacks_add_is_logged_and_training_is_as_without_them(few, tmp_path):
    plain, pair = small(few), small(few)
    quiet(plain, few, epochs=2)
    seen = []

    class Seen(Logger):
        def on_epoch_end(self, run, metrics):
            seen.append(dict(metrics))

    run = quiet(pair, few, epochs=2, callbacks=[Seen(), Measures()], out=tmp_path / "run")  # loggers come last
    assert_same(state(pair), state(plain))
    history = run.history
    assert isinstance(history, pandas.DataFrame) and seen == run.records
    assert history["step"].tolist() == [3, 6] and history["step"].dtype == history["epoch"].dtype == np.int64
    assert history["tensor"].tolist() == [2.0, 2.0] and history["numpy"].tolist() == [0.5, 0.5]
    assert math.isnan(history["late"][0]) and history["late"][1] == 3
    assert history["note"][0] == "first" and pandas.isna(history["note"][1])
    assert history["evidence"].iloc[0] != history["evidence"].iloc[1]
    with open(tmp_path / "run" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["late"], row["note"], row["evidence"]) for row in rows] == [
        ("", "first", str(history["evidence"][0])),
        ("3", "", str(history["evidence"][1])),
    ]
    again = pv.load(tmp_path / "run", pair=small(few), data=few)
    assert again.records == run.records and again.history.equals(history) and again.step == 6


def test_without_validation_its_column_is_nan(few):
    run = quiet(small(few), few, steps=2, validate=False)
    assert run.history["valid"].isna().all() and run.history["valid"].dtype == np.float64 and run.best_epoch is None
    assert "valid" not in repr(run) and run.records[0]["valid"] is None


def test_the_state_of_callbacks_resumes_bitwise(digits, tmp_path):
    class Raises(Counter):
        def on_step_end(self, run, step, bound):
            super().on_step_end(run, step, bound)
            if step == 8:
                raise InterruptedError("pruned")

    whole = Counter()
    quiet(small(digits), digits, **RESUMED, callbacks=[whole], out=tmp_path / "whole")
    Raises.__qualname__ = "Counter"
    with pytest.raises(InterruptedError):
        quiet(small(digits), digits, **RESUMED, callbacks=[Raises()], out=tmp_path / "part")
    again = Counter()
    pv.resume(tmp_path / "part", callbacks=[again], progress=False)
    assert again.count == whole.count == 18 and torch.equal(again.noise, whole.noise)
    assert_same(comparable(tmp_path / "part"), comparable(tmp_path / "whole"))
    with pytest.raises(
        RunError, match=r"an object for callbacks, Counter; give callbacks=... again, or \[\] to go on without"
    ):
        pv.resume(tmp_path / "part", progress=False)


@pytest.mark.parametrize("hook", ["on_fit_start", "on_epoch_start", "on_step_end", "on_epoch_end", "on_fit_end"])
def test_an_error_of_a_callback_comes_out_after_a_checkpoint(few, tmp_path, caplog, hook):
    def fail(self, run, *args):
        if hook in ("on_fit_start", "on_fit_end") or args[0] == 2:
            raise ZeroDivisionError("mine")

    def fail_epoch(self, run, metrics):
        fail(self, run, metrics["epoch"])

    failing = type("Failing", (Callback,), {hook: fail_epoch if hook == "on_epoch_end" else fail})
    recorder, pair = Recorder(), small(few)
    with pytest.raises(ZeroDivisionError, match="^mine$"):
        quiet(pair, few, epochs=2, patience=2, callbacks=[failing(), recorder], out=tmp_path / "run")
    assert recorder.calls[-1] == ("exception", ZeroDivisionError)
    assert f"callback Failing raised in {hook}: ZeroDivisionError: mine" in caplog.text
    saved = load_state(tmp_path / "run" / "checkpoint.safetensors")
    steps = {"on_fit_start": 0, "on_epoch_start": 3, "on_step_end": 2, "on_epoch_end": 6, "on_fit_end": 6}
    assert saved["step"] == steps[hook] and len(saved["history"]) == steps[hook] // 3
    again = pv.resume(tmp_path / "run", pair=small(few), data=few, callbacks=[], progress=False)
    plain = small(few)
    quiet(plain, few, epochs=2, patience=2)
    assert_same(state(again.pair), state(plain))


def test_what_cannot_be_logged_or_kept_is_refused(few, tmp_path):
    class Lists(Callback):
        def on_epoch_end(self, run, metrics):
            metrics["all"] = [1, 2]

    class Objects(Callback):
        def state_dict(self):
            return {"pair": object()}

    with pytest.raises(OptionError, match=r"callback .*Lists sets metric 'all' to \[1, 2\]; expected a name, and a number"):
        quiet(small(few), few, epochs=1, callbacks=[Lists()], out=tmp_path / "lists")
    assert "all" not in load_state(tmp_path / "lists" / "checkpoint.safetensors")["history"][0]
    with pytest.raises(RunError, match="cannot hold a object"):
        quiet(small(few), few, epochs=1, callbacks=[Objects()], out=tmp_path / "objects")


# ------------------------------------------------------------------------------------------------ early stopping
def test_early_stopping_returns_the_best_parameters(few, tmp_path):
    data = ({"x": few.train["x"][:60]}, {"x": few.valid["x"]})
    pair = small(few)
    run = quiet(pair, data, epochs=400, lr=0.03, patience=3, batch_size=30, out=tmp_path / "run")
    assert run.stopped == "early" and run.weights == "best" and not run.unfinished
    history = run.history
    assert run.best_epoch == history["epoch"][history["valid"].idxmax()] == history["epoch"].iloc[-1] - 3
    again = pv.load(tmp_path / "run", pair=small(few), data=data)
    assert (again.weights, again.best_epoch) == ("best", run.best_epoch)
    assert_same(state(again.pair), state(pair))
    last = pv.load(tmp_path / "run", pair=small(few), data=data, weights="last")
    assert not torch.equal(state(last.pair)["model.decoder.mlp.0.weight"], state(pair)["model.decoder.mlp.0.weight"])
    stays = pv.resume(tmp_path / "run", pair=small(few), data=data, progress=False)
    assert stays.stopped == "early" and stays.history.equals(history)


def falling(run, metrics):
    """Best in the second epoch."""
    return -abs(metrics["epoch"] - 2.0)


class Loss(Callback):
    def on_epoch_end(self, run, metrics):
        metrics["loss"] = abs(metrics["epoch"] - 2)


@pytest.mark.parametrize(
    ("callbacks", "column"),
    [
        ([EarlyStopping(falling, patience=2)], "falling"),
        ([EarlyStopping("loss", patience=2, mode="min"), Loss()], "loss"),  # which is called before
        ([EarlyStopping(lambda run, metrics: falling(run, metrics), patience=2)], "monitor"),
    ],
)
def test_early_stopping_goes_by_any_metric_or_function(few, tmp_path, callbacks, column):
    pair, other = small(few), small(few)
    run = quiet(pair, few, epochs=9, callbacks=callbacks, out=tmp_path / "run")
    assert (run.stopped, run.best_epoch, len(run.history)) == ("early", 2, 4) and column in run.history
    quiet(other, few, epochs=2)
    assert_same(state(pair), state(other))
    again = pv.load(tmp_path / "run", pair=small(few), data=few)
    assert (again.weights, again.best_epoch) == ("best", 2)
    assert_same(state(again.pair), state(pair))
    used = quiet(small(few), few, epochs=1, callbacks=callbacks)  # forgets the other run
    assert used.best_epoch == 1 and used.stopped == "finished"


def test_early_stopping_by_a_metric_is_remembered(digits, tmp_path):
    options = {"steps": 3, "batch_size": 1000, "callbacks": [EarlyStopping("step", patience=1, mode="min")]}
    quiet(small(digits), digits, **options, out=tmp_path / "run")
    run = pv.resume(tmp_path / "run", epochs=9, progress=False)
    assert (run.stopped, run.best_epoch, len(run.history)) == ("early", 1, 2)


def test_early_stopping_refuses_what_it_cannot_go_by(few):
    def train(run, metrics):
        return 0.0

    with pytest.raises(OptionError, match="no metric to monitor is called 'vald'; did you mean 'valid'"):
        quiet(small(few), few, epochs=1, callbacks=[EarlyStopping("vald")])
    with pytest.raises(OptionError, match="a function called 'train', as a metric is already"):
        quiet(small(few), few, epochs=1, callbacks=[EarlyStopping(train)])
    for options in ({"mode": "most"}, {"patience": 0}, {"monitor": 3}):
        with pytest.raises(OptionError, match=f"{next(iter(options))} is "):
            EarlyStopping(**options)


def test_a_callback_can_end_training(few):
    class Enough(Callback):
        def on_epoch_end(self, run, metrics):
            run.should_stop = metrics["epoch"] == 2

    run = quiet(small(few), few, epochs=5, callbacks=[Enough()])
    assert (run.stopped, len(run.history), run.weights) == ("early", 2, "last")


# ------------------------------------------------------------------------------------------------ loggers
def test_tensorboard_writes_all_numbers_and_leaves_no_thread(few, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    before = set(threading.enumerate())
    pv.fit(small(few), few, epochs=2, callbacks=[Measures()], out=tmp_path / "run", progress=False)
    pv.resume(tmp_path / "run", pair=small(few), data=few, epochs=3, callbacks=[], progress=False)

    class Fails(Callback):
        def on_epoch_end(self, run, metrics):
            if metrics["epoch"] == 2:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pv.fit(small(few), few, epochs=2, callbacks=[Fails()], out=tmp_path / "failed", progress=False)
    assert set(threading.enumerate()) <= before
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"bound/train", "bound/valid", "lr", "beta", "evidence", "late"} == set(events.Tags()["scalars"]) - {
        "tensor",
        "numpy",
    }
    assert [event.step for event in events.Scalars("bound/train")] == [3, 6, 9]


def test_progress_is_a_line_an_epoch_where_there_is_no_terminal(few, capsys):
    pv.fit(small(few), few, epochs=1)
    assert "epoch 1: train -" in capsys.readouterr().out

    class Own(ProgressBar):
        def on_epoch_end(self, run, metrics):
            print(f"epoch {metrics['epoch']} of mine")

    pv.fit(small(few), few, epochs=1, callbacks=[Own()])  # in place of the built-in one
    assert capsys.readouterr().out == "epoch 1 of mine\n"
    quiet(small(few), few, epochs=1)
    assert capsys.readouterr().out == ""


def test_callbacks_see_the_pair_as_it_is_trained(few):
    """Parameters can be read, and buffers of a callback's own averaged over them."""

    class Average(Callback):
        def on_fit_start(self, run):
            self.sums = {name: torch.zeros_like(p) for name, p in parameters(run.model, run.guide).items()}

        def on_step_end(self, run, step, bound):
            for name, p in parameters(run.model, run.guide).items():
                self.sums[name] += p.detach()

    average, pair = Average(), small(few)
    quiet(pair, few, steps=1, callbacks=[average])
    assert_same(average.sums, state(pair))
