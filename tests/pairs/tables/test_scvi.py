"""Counts whose size is latent: log p(x) against quadrature over both latent sites."""

from __future__ import annotations

import torch
from torch.distributions import LogNormal, Normal

import pyrovae as pv
from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program
from pyrovae.data import DataSpec


@torch.no_grad()
def test_log_p_x_is_that_of_quadrature_over_z_and_the_size():
    torch.manual_seed(1)
    spec = DataSpec("genes", (5,), "count", mean=torch.tensor([3.0, 1, 9, 4, 2]))
    pair = pv.pairs.scvi(spec, latent_dim=1, hidden=[8])
    model, x = pair.model, torch.tensor([[2, 0, 11, 5, 1], [9, 1, 8, 0, 2]])
    assert abs(float(model.size_loc.exp()) - 19) < 1e-3  # the prior starts at the mean total
    grid = torch.meshgrid(torch.linspace(-6, 6, 121), torch.linspace(-1, 7, 161), indexing="ij")
    z, log_l = (each.flatten() for each in grid)
    values = {name: each.reshape(-1, 1, 1).expand(-1, 2, 1) for name, each in (("z", z), ("l", log_l.exp()))}
    trace = run_program(model, {"x": x}, len(z), replay=latents_trace(values))
    size = LogNormal(model.size_loc, model.size_log_scale.exp())
    prior = Normal(0, 1).log_prob(z) + size.log_prob(log_l.exp()) + log_l
    exact = (sample_sites(trace)["x"]["fn"].log_prob(x) + prior.unsqueeze(-1)).logsumexp(0) + torch.tensor(0.1 * 0.05).log()
    found = pv.log_evidence(pair, {"x": x}, num_samples=5000, defensive=0.1)
    torch.testing.assert_close(found.value.double(), exact.double(), rtol=0, atol=float(5 * found.stderr.max() + 2e-3))
