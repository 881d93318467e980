"""Data and one fit that the tests of training share."""

from __future__ import annotations

import pytest
import torch
from fits import RESUMED, quiet, small

import pyrovae as pv


@pytest.fixture(scope="session")
def digits():
    return pv.data.load("digits")


@pytest.fixture(scope="session")
def few(digits):
    """300 digits to train on, 100 to validate on."""
    parts = (digits.train, 300), (digits.valid, 100), (digits.test, 50)
    return pv.data.as_data(tuple({"x": part["x"][:rows]} for part, rows in parts))


@pytest.fixture(scope="session")
def whole(digits, tmp_path_factory):
    """The folder of a run that nothing stopped."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "run"
    quiet(small(digits), digits, **RESUMED, out=folder)
    return folder
