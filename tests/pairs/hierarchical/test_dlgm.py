"""Deep latent Gaussian models: log p(x) of linear layers in closed form, sites that are noise and not layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pyrovae as pv
from pyrovae import guides, models
from pyrovae.core.trace import trace_pair
from pyrovae.distributions.likelihoods import build
from pyrovae.errors import OptionError


class Unflat(nn.Module):
    """A linear decoder to the mean of a Gaussian likelihood of one number a value."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(3, 4, bias=False)

    def forward(self, h):
        return self.map(h).unsqueeze(-2)


def test_with_linear_layers_log_p_is_a_gaussians():
    torch.manual_seed(0)
    enter, transform, decoder = [nn.Linear(2, 3, bias=False) for _ in range(2)], [nn.Linear(3, 3, bias=False)], Unflat()
    model = models.DLGM(enter, transform, decoder, build("gaussian", (4,), "real", None, 0.5), 2)
    guide = guides.LayeredGaussian([nn.Linear(4, 6) for _ in range(2)], rank_one=True)
    upper = decoder.map.weight @ transform[0].weight @ enter[0].weight
    lower = decoder.map.weight @ enter[1].weight
    covariance = upper @ upper.T + lower @ lower.T + 0.25 * torch.eye(4)
    x = torch.randn(5, 4)
    truth = torch.distributions.MultivariateNormal(torch.zeros(4), covariance).log_prob(x).detach()
    found = pv.log_evidence((model, guide), x, "ais", num_chains=20, num_distributions=120, seed=0)
    assert bool(((found.value - truth).abs() < 0.3).all()), (found.value, truth)


@pytest.mark.parametrize("precision", ["diagonal", "rank-one"])
def test_layers_of_noise_are_independent_in_both_programs(digits, precision):
    torch.manual_seed(0)
    pair = pv.pairs.dlgm(digits.spec, latent_dim=3, num_layers=3, width=6, hidden=[8], precision=precision)
    traced = trace_pair(pair.model, pair.guide, digits.test[:5], 2)
    assert list(traced.guide_sites) == ["xi3", "xi2", "xi1"]
    for name in traced.guide_sites:
        kl = traced.site_kl(name).expand(2, 5)  # in closed form, whatever the other layers drew
        assert bool((kl >= 0).all()) and torch.equal(kl[0], kl[1])


def test_fewer_layers_than_one_are_refused(digits):
    with pytest.raises(OptionError, match="num_layers is 0; expected a whole number of at least 1"):
        pv.pairs.dlgm(digits.spec, num_layers=0)
