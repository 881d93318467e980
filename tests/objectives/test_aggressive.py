"""The guide ahead of the model: who moves when, until what, and the mutual information that decides."""

from __future__ import annotations

import math

import pytest
import torch
from fits import assert_same, comparable
from steppers import assert_same_steps, steppers

import pyrovae as pv
from pyrovae.core.trace import trace_pair
from pyrovae.errors import ContractError, OptionError
from pyrovae.objectives.aggressive import Progress, mutual_information

SPEC = pv.data.DataSpec("toy", (4,), "real")


def pair_of(seed=0):
    torch.manual_seed(seed)
    return pv.pairs.vae(SPEC, latent_dim=2, hidden=[5])


def rows(num=40):
    return {"x": torch.randn(num, 4, generator=torch.Generator().manual_seed(1))}


def test_the_model_moves_after_so_many_steps_of_the_guide():
    pair, batch = pair_of(), rows(8)
    step = pv.compile_step(pair, batch, "aggressive:encoder_steps=2,every=1000", backend="graph")
    moved = {"model": [], "guide": []}
    for _ in range(7):
        before = {name: [p.clone() for p in getattr(pair, name).parameters()] for name in moved}
        step(batch)
        for name, params in before.items():
            moved[name].append(
                any(not torch.equal(p, q) for p, q in zip(params, getattr(pair, name).parameters(), strict=True))
            )
    assert moved["guide"] == [True] * 7
    assert moved["model"] == [False, False, True, False, False, True, False]


def test_it_stops_when_the_mutual_information_does_not_rise():
    progress, ahead = Progress(), []
    for found in (1.0, 3.0, 2.0, 4.0, 3.0, 2.9, 9.0, 9.0):  # means of two: 2, 3, 2.95
        for buffer, value in progress.after(torch.tensor(found), 5, 2).items():
            buffer.copy_(value)
        ahead.append(float(progress.ahead))
    assert ahead == [1, 1, 1, 1, 1, 0, 0, 0] and float(progress.best) == 9.0


@torch.no_grad()
def test_the_mutual_information_of_a_batch_is_that_of_its_mixture():
    pair, batch = pair_of(), rows(6)
    traced = trace_pair(pair.model, pair.guide, batch, 2)
    fn, z = traced.guide_sites["z"]["fn"], traced.latents["z"]
    scores = torch.stack([fn.log_prob(z[:, b : b + 1].expand(2, 6, 2)) for b in range(6)], 1)  # (K, b, b')
    own = scores.diagonal(dim1=1, dim2=2)
    expected = (own - (scores.logsumexp(2) - math.log(6))).mean()
    torch.testing.assert_close(mutual_information(traced), expected)
    assert float(expected) <= math.log(6)


def test_a_run_looks_once_an_epoch_and_is_resumed_bitwise(tmp_path):
    how = {"progress": False, "tensorboard": False, "compile": False, "seed": 3, "batch_size": 8}
    for folder, epochs in (("whole", 4), ("half", 2)):
        pv.fit(pair_of(), rows(), "aggressive:encoder_steps=1", epochs=epochs, out=tmp_path / folder, **how)
    run = pv.resume(tmp_path / "half", data=pv.data.as_data(rows()), epochs=4, progress=False)
    assert_same(comparable(tmp_path / "half"), comparable(tmp_path / "whole"))
    assert set(run.history["aggressive"]) <= {0.0, 1.0} and run.history["aggressive"][0] == 1
    assert "mutual_information" in run.history


def test_the_step_as_a_graph_is_the_eager_one():
    pair, batch = pair_of(), rows(6)
    step, eager = steppers(pair.model, pair.guide, batch, "aggressive:encoder_steps=1,every=2")
    assert_same_steps(step, eager, batch)


def test_what_it_cannot_train_is_refused():
    with pytest.raises(OptionError, match="encoder_steps is 0"):
        pv.objectives.get("aggressive:encoder_steps=0")
    with pytest.raises(OptionError, match="needs N, the number of training data"):
        pv.compile_step(pair_of(), rows(6), "aggressive")(rows(6))
    pair = pair_of()
    pair.guide.extra = next(iter(pair.model.children()))
    with pytest.raises(ContractError, match="guide and model share the parameter 'extra"):
        pv.fit(pair, rows(), "aggressive", epochs=1, progress=False)
