"""Bounds and parameters that are not finite: training ends, names the site and the batch, and keeps the last checkpoint."""

from __future__ import annotations

import exact
import pyro.infer
import pytest
import torch
from fits import quiet, small

import pyrovae as pv
from pyrovae.errors import NonFiniteError
from pyrovae.files import load_state
from pyrovae.train import Callback


class Fragile(exact.Affine):
    """A guide that breaks on a value above 50."""

    def forward(self, x):
        super().forward(x * float("inf") if (x > 50).any() else x)


def fragile():
    """A pair and its data, of which the last row breaks the guide; the pair's check sees the first rows only."""
    pair = exact.linear_gaussian(2, 4, rows=40)
    x = pair.batch["x"].clone()
    x[-1] = 60.0
    assert (x[:-1] < 50).all()
    return (pair.model, Fragile(4, 2)), ({"x": x}, {"x": x[:5]})


@pytest.mark.filterwarnings("ignore:Encountered NaN")
@pytest.mark.parametrize("objective", ["elbo", "iwae:num_particles=3", pyro.infer.Trace_ELBO()])
def test_a_bound_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path, objective):
    pair, data = fragile()
    with pytest.raises(
        NonFiniteError, match=r"batch \d of epoch 1 \(step \d\), rows .*site 'z' of the guide.*last good checkpoint"
    ):
        quiet(pair, data, objective, epochs=3, batch_size=5, out=tmp_path / "run")
    saved = load_state(tmp_path / "run" / "checkpoint.safetensors")
    assert all(torch.isfinite(t).all() for t in saved["tensors"].values())


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_a_run_that_goes_on_within_an_epoch_names_the_batch_too(tmp_path):
    """Its first check stands at the step it goes on from."""

    class Stop(Callback):
        def on_step_end(self, run, step, bound):
            raise RuntimeError("stop")

    pair, data = fragile()
    with pytest.raises(RuntimeError, match="stop"):
        quiet(pair, data, epochs=3, batch_size=5, callbacks=[Stop()], out=tmp_path / "run")
    assert load_state(tmp_path / "run" / "checkpoint.safetensors")["step"] == 1
    with pytest.raises(NonFiniteError, match=r"batch [1-7] of epoch 1 .*site 'z' of the guide"):
        pv.resume(tmp_path / "run", pair=pair, data=data, callbacks=[], progress=False)


def test_a_diverged_parameter_is_not_saved(few, tmp_path):
    with pytest.raises(NonFiniteError, match="lower lr|Lower lr"):
        quiet(small(few), few, epochs=3, lr=1e30, optimizer="SGD", out=tmp_path / "run")
    saved = load_state(tmp_path / "run" / "checkpoint.safetensors")
    assert all(torch.isfinite(t).all() for t in saved["tensors"].values() if t.is_floating_point())
