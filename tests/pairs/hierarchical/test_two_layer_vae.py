"""The two-layer VAE of importance weighted autoencoders: its network, and its bounds against quadrature."""

from __future__ import annotations

import torch
from exact import quadrature
from torch import nn

import pyrovae as pv
from pyrovae.data import DataSpec


def test_the_network_is_the_papers():
    pair = pv.pairs.two_layer_vae(DataSpec("images", (28, 28), "binary"))
    widths = {
        name: [(m.in_features, m.out_features) for m in net.modules() if isinstance(m, nn.Linear)]
        for name, net in {**dict(pair.model.named_children()), **dict(pair.guide.named_children())}.items()
    }
    assert widths["lower"] == [(784, 200), (200, 200), (200, 200)] and widths["upper"] == [(100, 100), (100, 100), (100, 100)]
    assert widths["features"] == [(50, 100), (100, 100), (100, 200)] and widths["decoder"] == [
        (100, 200),
        (200, 200),
        (200, 784),
    ]
    assert sum(isinstance(m, nn.Tanh) for p in (pair.model, pair.guide) for m in p.modules()) == 8


def test_bounds_rise_with_samples_to_quadrature():
    torch.manual_seed(0)
    pair = pv.pairs.two_layer_vae(DataSpec("toy", (6,), "binary"), latent_dim=1, lower_dim=1, hidden=[8], upper_hidden=[8])
    with torch.no_grad():
        for parameter in pair.model.parameters():
            parameter.mul_(1.5)
    x = torch.bernoulli(torch.full((8, 6), 0.5))
    truth = quadrature(pair.model, x, {"z2": 1, "z1": 1}, width=10, points=401)
    importance = pv.log_evidence(pair, x, num_samples=20_000)
    assert ((importance.value - truth).abs() < 4.5 * importance.stderr + 1e-3).all()
    bounds = []
    for k in (1, 5, 50):
        loss = pv.objectives.get("iwae", num_particles=k).loss(pair.model, pair.guide, x=x.repeat(2000, 1))
        bounds.append(-loss / (2000 * len(x)))
    assert bounds[0] < bounds[1] < bounds[2] < float(truth.mean())
