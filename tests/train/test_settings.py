"""The settings of a fit: names and defaults in one place, bad values named, configurations read back."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields

import docstring_parser
import numpy as np
import pyro.infer
import pytest
import torch
from fits import quiet, small

import pyrovae as pv
from pyrovae.errors import OptionError, RunError
from pyrovae.train import Callback, EarlyStopping, FitSettings

EARLIER = {  # of a run before options could be scheduled, updates have optimizers of their own, and callbacks be given
    "objective": {"name": "iwae", "num_particles": 5},
    "epochs": 3,
    "steps": None,
    "batch_size": 100,
    "optimizer": "Adam",
    "lr": 0.001,
    "optimizer_options": None,
    "scheduler": None,
    "scheduler_options": None,
    "scheduler_interval": "epoch",
    "clip_norm": None,
    "kl_warmup": 0.0,
    "patience": 7,
    "validate": True,
    "seed": 0,
    "device": "cpu",
    "precision": "float32",
    "compile": False,
    "checkpoint_seconds": 30.0,
    "tensorboard": False,
}


def test_fit_has_the_names_and_defaults_of_the_settings_and_tells_of_each():
    parameters = inspect.signature(pv.fit).parameters
    own = {
        name: each.default for name, each in parameters.items() if name not in ("pair", "data", "fabric", "out", "progress")
    }
    assert own == {each.name: each.default for each in fields(FitSettings)}
    assert [each.arg_name for each in docstring_parser.parse(pv.fit.__doc__).params] == list(parameters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number of at least 1."),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"epochs": True}, "epochs is True"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"lr": float("nan")}, "lr is nan; expected a positive number or None."),
        ({"clip_norm": 0}, "clip_norm is 0"),
        ({"clip_norm": float("inf")}, "clip_norm is inf"),
        ({"kl_warmup": -1}, "kl_warmup is -1; expected a number of at least 0."),
        ({"checkpoint_seconds": float("inf")}, "checkpoint_seconds is inf"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "below 4294967296"),
        ({"validate": "no"}, "validate is 'no'; expected True or False."),
        ({"compile": 1}, "compile is 1; expected True, False or None."),
        ({"optimizer": 3}, "optimizer is 3"),
        ({"optimizer": "Adan"}, "did you mean 'Adam'"),
        ({"optimizer": "LBFGS"}, "needs a closure"),
        ({"optimizer_options": ["beta"]}, "optimizer_options is .*expected a mapping"),
        ({"optimizer_options": {"beta": 1}}, "did you mean 'betas'"),
        ({"optimizer": torch.optim.SGD, "optimizer_options": {"lr": 1}}, "which only a named optimizer takes"),
        ({"scheduler": "StepLr2"}, "did you mean 'StepLR'"),
        ({"scheduler": "StepLR"}, "missing 1 required positional argument"),
        ({"scheduler_options": {"gamma": 1}}, "which only a named scheduler takes"),
        ({"scheduler_interval": "minute"}, "expected 'epoch' or 'step'"),
        ({"precision": "fp8"}, "expected 'float32' or 'bf16'"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"device": 0}, "device is 0; expected 'cpu', 'cuda' or 'auto'."),
        ({"objective": "elbo:alpha=1"}, "num_particles"),
        ({"kl_warmup": 2, "objective": "iwae"}, "kl_warmup does not go with IWAE"),
        ({"patience": 0}, "patience is 0"),
        ({"patience": 2, "validate": False}, "patience is 2, and no validation bound is computed"),
        ({"patience": 2, "callbacks": [EarlyStopping()]}, "early stopping is asked for twice"),
        ({"callbacks": [print]}, "callbacks is .*expected a list of objects of pyrovae.train.Callback"),
        ({"callbacks": Callback()}, "expected a list of objects"),
    ],
)
def test_bad_options_are_named(few, options, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        quiet(small(few), few, **options, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_are_numbers():
    settings = FitSettings(epochs=np.int64(3), lr=np.float64(0.1))
    assert type(settings.epochs) is int and type(settings.lr) is float


def test_configurations_are_read_back():
    settings = FitSettings(
        objective={"name": "elbo", "beta": 2.0},
        steps=7,
        optimizers={"pair": {"lr": 0.1}},
        schedule={"beta": "linear:start=0,end=1,epochs=2"},
        callbacks=[EarlyStopping("train", patience=3, mode="min")],
    )
    saved = json.loads(json.dumps(settings.to_json()))
    again = FitSettings.from_json(saved)
    assert again.to_json() == saved == settings.to_json() and again.steps == 7
    assert (again.early_stopping.monitor, again.early_stopping.patience, again.early_stopping.mode) == ("train", 3, "min")
    assert list(again.unrecorded()) == []


def test_configurations_of_earlier_versions_are_read():
    settings = FitSettings.from_json(EARLIER)
    assert settings == FitSettings(**EARLIER)
    assert settings.schedule is None and settings.optimizers is None and list(settings.callbacks) == []
    assert settings.early_stopping.patience == 7 and settings.stops_early
    with pytest.raises(RunError, match="trained with a setting 'swirl', which this version"):
        FitSettings.from_json({**EARLIER, "swirl": 1})
    with pytest.raises(RunError, match="does not hold: epochs is -3"):
        FitSettings.from_json({**EARLIER, "epochs": -3})


def test_objects_of_a_configuration_are_told_and_can_be_given():
    class Mine(Callback):
        pass

    def worst(run, metrics):
        return 0.0

    settings = FitSettings(
        objective={"object": "Trace_ELBO"},
        optimizer=torch.optim.SGD,
        schedule={"beta": lambda step: 1.0},
        callbacks=[Mine(), EarlyStopping(worst)],
    )
    saved = json.loads(json.dumps(settings.to_json()))
    again = FitSettings.from_json(saved)
    assert [name for name, _ in again.unrecorded()] == ["objective", "optimizer", "schedule", "callbacks", "callbacks"]
    assert again.to_json() == saved | {"callbacks": again.to_json()["callbacks"]} and again.stops_early
    given = {"objective": pyro.infer.Trace_ELBO(), "optimizer": torch.optim.SGD, "schedule": None, "callbacks": []}
    assert list(FitSettings.from_json(saved, **given).unrecorded()) == []
