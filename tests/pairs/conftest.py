"""The digits, grey and binary, for tests of pairs."""

from __future__ import annotations

import pytest

import pyrovae as pv


@pytest.fixture(scope="module")
def grey():
    return pv.data.load("digits", binarization="none")


@pytest.fixture(scope="module")
def digits():
    return pv.data.load("digits")
