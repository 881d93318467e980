"""Shared fixtures, and one line for whoever runs the tests on a plain install."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pyro
import pytest
import torch

if importlib.util.find_spec("pyrovae.models") is None:
    pytest.exit("the local pyrovae/ hides the installed package: run the tests on `pip install -e .`, as `make test` does.", 4)

for folder in ("", "compile", "pairs"):  # what tests import of each other: `exact`, `test_compiled`, `test_catalogue`
    sys.path.insert(0, str(Path(__file__).parent / folder))


@pytest.fixture(autouse=True)
def isolation():
    """Each test starts from the same seed, an empty parameter store and one thread."""
    torch.set_num_threads(1)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    yield
