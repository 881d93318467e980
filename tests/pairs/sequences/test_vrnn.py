"""The VRNN: its joint density by a loop of one's own, sequences of several lengths, and a run that is killed."""

from __future__ import annotations

import signal
import textwrap
from pathlib import Path

import pyro.distributions as dist
import pytest
import torch
from fits import assert_same, comparable
from forked import run_script

import pyrovae as pv
from pyrovae.core.step_run import trace_steps
from pyrovae.nets import loc_and_scale

SPEC = pv.data.DataSpec("toy", (5, 4), "binary", keys={"lengths": pv.data.KeySpec((), "count")})
SIZES = {"latent_dim": 2, "recurrent_dim": 6, "hidden": [7]}
X = torch.bernoulli(torch.full((3, 5, 4), 0.4), generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([5, 2, 4])


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return pv.pairs.vrnn(SPEC, **SIZES)


def test_scores_are_those_of_the_equations(pair):
    traced = trace_steps(pair.model, pair.guide, {"x": X, "lengths": LENGTHS}, 2)
    net, guide, z = pair.model.own, pair.guide.own, traced.latents["z"]
    h, c = torch.zeros(2, 3, 6), torch.zeros(2, 3, 6)
    prior, posterior, likelihood = (torch.zeros(2, 3) for _ in range(3))
    for t in range(5):
        phi_x, phi_z, here = net.features_x(X[:, t]), net.features_z(z[..., t, :]), t < LENGTHS
        prior += here * dist.Normal(*loc_and_scale(net.prior(h))).log_prob(z[..., t, :]).sum(-1)  # Eq. (5)
        posterior += here * dist.Normal(*loc_and_scale(guide.encoder(phi_x, h))).log_prob(z[..., t, :]).sum(-1)  # Eq. (9)
        logits = net.decoder(phi_z, h).squeeze(-2)
        likelihood += here * dist.Bernoulli(logits=logits).log_prob(X[:, t]).sum(-1)  # Eq. (6)
        h, c = net.cell(h, c, phi_x, phi_z)  # Eq. (7)
    for ours, theirs in ((traced.log_p["z"], prior), (traced.log_q["z"], posterior), (traced.log_p["x"], likelihood)):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_what_a_datum_scores_is_that_of_its_own_steps_alone(pair):
    batch = {"x": X, "lengths": LENGTHS}
    smoothed = pv.log_evidence(pair, batch, "fivo", num_samples=2000, num_filters=4)
    for row, length in enumerate(LENGTHS):
        alone = pv.log_evidence(pair, X[row : row + 1, :length], "fivo", num_samples=2000, num_filters=4)
        assert abs(float(smoothed.value[row] - alone.value)) < 5 * float(smoothed.stderr[row] + alone.stderr) + 1e-3


def test_data_without_steps_are_refused():
    with pytest.raises(ValueError, match=r"flat has no steps: a pair of sequences needs x of shape \(T, D\)"):
        pv.pairs.vrnn(pv.data.DataSpec("flat", (6,), "binary"))


SCRIPT = textwrap.dedent("""
    import os, signal, sys
    sys.path[:0] = {paths!r}
    import test_vrnn
    import pyrovae as pv

    class Killed(pv.train.Callback):
        def on_step_end(self, run, step, bound):
            if step == 4:
                os.kill(os.getpid(), signal.SIGKILL)

    test_vrnn.train({out!r}, [Killed()])
""")


def train(out, callbacks=()):
    """Two epochs by FIVO, with a checkpoint at every step."""
    torch.manual_seed(0)
    data = pv.data.load("digits")
    pair = pv.pairs.vrnn(data.spec, **SIZES)
    how = {"batch_size": 433, "epochs": 2, "checkpoint_seconds": 0, "progress": False, "tensorboard": False}
    pv.fit(pair, data, "fivo:num_particles=3", compile=False, callbacks=callbacks, out=out, **how)


def test_a_run_by_fivo_that_is_killed_resumes_bitwise(tmp_path):
    train(tmp_path / "whole")
    paths = [str(Path(__file__).parents[i]) for i in (0, 2)]
    assert run_script(SCRIPT.format(paths=paths, out=str(tmp_path / "killed"))) == -signal.SIGKILL
    pv.resume(tmp_path / "killed", callbacks=[], progress=False)
    assert_same(comparable(tmp_path / "killed"), comparable(tmp_path / "whole"))
