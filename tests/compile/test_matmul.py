"""The library of each product of matrices."""

from __future__ import annotations

import exact
import pytest
import torch
from steppers import assert_same_steps, steppers

import pyrovae as pv
from pyrovae.compile import matmul


def precision():
    return torch.get_float32_matmul_precision()


def test_products_are_chosen_by_shape_and_not_where_onednn_rounds_to_bf16(monkeypatch, interpreted):
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
