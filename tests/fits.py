"""Small fits, which several tests of training share."""

from __future__ import annotations

import torch

import pyrovae as pv
from pyrovae.core.parameters import parameters
from pyrovae.files import load_state

# three steps an epoch on the digits
RESUMED = {
    "objective": "iwae:num_particles=2",
    "epochs": 6,
    "batch_size": 433,
    "seed": 5,
    "checkpoint_seconds": 0,
    "scheduler": "OneCycleLR",
    "scheduler_options": {"max_lr": 0.01, "total_steps": 200},
    "scheduler_interval": "step",
    "patience": 50,
}


def small(data, **options):
    """A VAE with one small hidden layer, always with the same first parameters."""
    torch.manual_seed(0)
    return pv.pairs.vae(data.spec, **{"latent_dim": 3, "hidden": [20], **options})


def quiet(pair, data, *args, **options):
    """A fit that prints nothing and writes no events."""
    return pv.fit(pair, data, *args, **{"progress": False, "tensorboard": False, **options})


def state(pair):
    """A copy of a pair's parameters."""
    return {name: p.detach().clone() for name, p in parameters(pair.model, pair.guide).items()}


def assert_same(first, second, path=""):
    """Nested dicts, lists and tuples are bitwise equal."""
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
        assert type(first) is type(second) and first == second, path


def comparable(folder):
    """What of a checkpoint does not depend on the clock, or on whether training was stopped in between."""
    saved = load_state(folder / "checkpoint.safetensors")
    for row in saved["history"]:
        row.pop("seconds")
    for name in ("seconds", "callbacks"):
        saved.pop(name)
    return saved
