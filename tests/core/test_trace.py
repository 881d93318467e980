"""The trace layer: scores per datum, masks in, scales out, the encoder once."""

from __future__ import annotations

import exact
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from pyrovae.core.sites import sample_sites
from pyrovae.core.trace import latents_trace, run_program, trace_pair
from pyrovae.errors import ContractError


@pytest.mark.parametrize("name", exact.PAIRS)
def test_scores_are_per_datum_and_complete(name):
    pair = exact.PAIRS[name]()
    rows = len(pair.batch["x"])
    traced = trace_pair(pair.model, pair.guide, pair.batch, 4)
    for scores in (*traced.log_p.values(), *traced.log_q.values()):
        assert scores.shape[-2:] == (4, rows) and scores.shape[:-2] in ((), (3,))
    assert traced.log_weight.shape == (4, rows)
    if pair.tight:  # p(x, z) / q(z | x) = p(x) whatever z
        torch.testing.assert_close(traced.log_weight, pair.log_evidence().expand(4, rows), rtol=1e-4, atol=1e-4)
    else:
        assert traced.log_weight.std() > 1e-3


def test_encoder_runs_once_per_datum_and_decoder_once_per_particle():
    pair = exact.sigmoid_decoder(2)
    trace_pair(pair.model, pair.guide, pair.batch)  # which finds out, once, how the programs take particles
    shapes = {}
    pair.guide.loc.register_forward_hook(lambda m, a, out: shapes.setdefault("encoder", []).append(out.shape))
    pair.model.decoder.register_forward_hook(lambda m, a, out: shapes.setdefault("decoder", []).append(out.shape))
    trace_pair(pair.model, pair.guide, pair.batch, 6)
    assert shapes == {"encoder": [(8, 2)], "decoder": [(6, 8, 5)]}


@pytest.mark.parametrize("name", ["sigmoid-decoder 2d", "chain wrong", "gaussian-mixture drawn"])
def test_vectorized_particles_score_as_looped_ones(name):
    pair = exact.PAIRS[name]()
    together = trace_pair(pair.model, pair.guide, pair.batch, 5)
    for k in range(5):
        latents = {site: draws[k] for site, draws in together.latents.items()}
        total = 0.0
        for program, sign in ((pair.model, 1), (pair.guide, -1)):
            trace = run_program(program, pair.batch, replay=latents_trace(latents))
            total = total + sign * sum(s["fn"].log_prob(s["value"]) for s in sample_sites(trace).values())
        torch.testing.assert_close(together.log_weight[k], total, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["summed", "enumerated", "drawn"])
def test_weights_are_unbiased_with_and_without_enumeration(how):
    pair = exact.gaussian_mixture(how)
    truth = pair.log_evidence().detach()
    for enumerate_sites in (True, False):
        with torch.no_grad():
            traced = trace_pair(pair.model, pair.guide, pair.batch, 20000, enumerate_sites=enumerate_sites)
        ratio = (traced.log_weight - truth).exp()
        error = ratio.std(0) / 20000**0.5
        assert ((ratio.mean(0) - 1).abs() < 5 * error + 0.02).all()


def test_poutine_mask_removes_a_datum_and_scale_changes_nothing():
    pair = exact.linear_gaussian(2, 4)
    x = pair.batch["x"]
    mask = torch.arange(len(x)) != 2
    masked = [poutine.mask(program, mask=mask) for program in (pair.model, pair.guide)]
    scaled = [poutine.scale(program, scale=10.0) for program in (pair.model, pair.guide)]
    wrap = [lambda x, program=program: program(x) for program in masked + scaled]
    torch.manual_seed(1)
    plain = trace_pair(pair.model, pair.guide, {"x": x}, 3)
    torch.manual_seed(1)
    with_mask = trace_pair(wrap[0], wrap[1], {"x": x}, 3)
    torch.manual_seed(1)
    with_scale = trace_pair(wrap[2], wrap[3], {"x": x}, 3)
    assert (with_mask.log_weight[:, 2] == 0).all()
    torch.testing.assert_close(with_mask.log_weight[:, mask], plain.log_weight[:, mask])
    torch.testing.assert_close(with_scale.log_weight, plain.log_weight)
    assert float(with_scale.scale) == 10.0 and plain.scale == 1.0


def test_subsampled_plate_reports_its_scale_and_keeps_it_out_of_the_scores():
    def model(x):
        with pyro.plate("data", 10 * len(x), subsample_size=len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", 10 * len(x), subsample_size=len(x), dim=-1):
            pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))

    x = torch.randn(6)
    traced = trace_pair(model, guide, {"x": x}, 2)
    assert float(traced.scale) == 10.0
    torch.testing.assert_close(traced.log_weight, dist.Normal(0.0, 2**0.5).log_prob(x).expand(2, 6))


def test_unequal_scales_are_refused():
    class Annealed(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x), dim=-1):
                with poutine.scale(scale=0.5):
                    z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 1.0))

    with pytest.raises(ContractError, match="belong to the objective"):
        _ = trace_pair(Annealed(), guide, {"x": torch.zeros(3)}).scale


def test_a_missing_input_is_named():
    pair = exact.chain()
    with pytest.raises(ContractError, match="takes x, which the batch lacks; it has y"):
        trace_pair(pair.model, pair.guide, {"y": torch.zeros(3)})
