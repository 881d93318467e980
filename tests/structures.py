"""Pairs that people write, each of another structure, with their exact answers."""

from __future__ import annotations

import sys
from pathlib import Path

import pyro.distributions as dist
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are imported from the repository's root
from benchmarks.studies.structures import Structure, combinations, interval, plane, positive, reals, tails

T = dist.transforms
EYE = torch.eye(2)


def tensor(*values):
    return torch.tensor(values)


def column(*values):
    return torch.tensor(values).unsqueeze(-1)


def normal_x(scale=0.7):
    """x | z ~ N(theta_0 z, scale^2)."""
    return lambda z, t: dist.Normal((t[..., 0] * z).unsqueeze(-1), scale).to_event(1)


def normal_guide(x, p):
    return dist.Normal(p[..., 0] * x[..., 0], p[..., 1].exp())


def even(t):
    return dist.Categorical(torch.ones_like(t[..., :2]))


def shifted(base):
    return dist.TransformedDistribution(base, [T.AffineTransform(1.0, 2.0)])


def squashed(base):
    return dist.TransformedDistribution(base, [T.SigmoidTransform()])


STRUCTURES = [
    # those that were wrong once
    Structure(
        "angle",
        lambda t: dist.VonMises(t[..., 1], 1.0),
        normal_x(),
        lambda x, p: dist.VonMises(p[..., 0] * x[..., 0], p[..., 1].exp()),
        interval(-torch.pi, torch.pi),
        column(0.5, 2.8, -2.0),
        tensor(1.1, 0.3),
        tensor(0.9, 0.3),
    ),
    Structure(
        "mixture prior",
        lambda t: dist.MixtureSameFamily(even(t), dist.Normal(torch.stack([t[..., 1], -t[..., 1]], -1), 0.5)),
        normal_x(),
        normal_guide,
        reals(),
        column(0.3, -1.2, 2.0),
        tensor(1.0, 1.2),
        tensor(0.5, -0.2),
    ),
    Structure(
        "classes of x",
        lambda t: dist.Normal(t[..., 1], 1.0),
        lambda z, t: dist.Categorical(logits=(t[..., 0] * z)[..., None, None] * tensor(-1.0, 0.0, 1.0).to(z)).to_event(1),
        lambda x, p: dist.Normal(p[..., 0] * (x[..., 0] - 1), p[..., 1].exp()),
        reals(),
        torch.tensor([[0.0], [1.0], [2.0]]),
        tensor(1.3, 0.2),
        tensor(0.4, -0.1),
    ),
    Structure(
        "counts of x",
        lambda t: dist.Normal(t[..., 1], 0.8),
        lambda z, t: dist.Poisson((t[..., 0] + z).exp().unsqueeze(-1)).to_event(1),
        lambda x, p: dist.Normal(p[..., 0] * (x[..., 0] + 0.5).log(), p[..., 1].exp()),
        reals(8.0),
        torch.tensor([[0.0], [2.0], [5.0]]),
        tensor(0.5, 0.1),
        tensor(0.4, -0.6),
    ),
    Structure(
        "vector of bits",
        lambda t: dist.Bernoulli(logits=torch.stack([t[..., 1], -t[..., 1], 0 * t[..., 1]], -1)).to_event(1),
        lambda z, t: dist.Normal((z * tensor(1.0, 2.0, -0.7).to(z)).sum(-1, keepdim=True) * t[..., :1], 0.6).to_event(1),
        lambda x, p: dist.Bernoulli(logits=p[..., :3] + 0.3 * x).to_event(1),
        combinations(0.0, 1.0, length=3),
        column(0.3, 2.1, -1.0),
        tensor(1.0, 0.4),
        tensor(0.2, 0.1, -0.4),
        discrete=True,
    ),
    # others
    Structure(
        "shifted exponential",
        lambda t: shifted(dist.Exponential(t[..., 1].exp())),
        normal_x(),
        lambda x, p: shifted(dist.Gamma(1.5 + p[..., 0] ** 2, (p[..., 1] - 0.2 * x[..., 0]).exp())),
        positive(1.0),
        column(1.5, 2.8, 4.0),
        tensor(1.1, 0.2),
        tensor(0.4, 0.9),
    ),
    Structure(
        "gamma mixture",
        lambda t: dist.MixtureSameFamily(even(t), dist.Gamma(tensor(2.0, 6.0).to(t), t[..., 1:].exp())),
        normal_x(),
        lambda x, p: dist.Gamma(2 + p[..., 0].exp(), p[..., 1].exp()),
        positive(),
        column(0.8, 2.0, 4.0),
        tensor(1.0, 0.1),
        tensor(0.5, 0.5),
    ),
    Structure(
        "scaled beta",
        lambda t: dist.AffineBeta(2 + t[..., 1] ** 2, torch.full_like(t[..., 1], 2.0), -1.0, 3.0),
        normal_x(),
        lambda x, p: dist.AffineBeta((1 + 0.4 * x[..., 0].abs() + p[..., 0] ** 2), 2 + p[..., 1] ** 2, -1.0, 3.0),
        interval(-1.0, 2.0),
        column(-0.5, 0.4, 1.5),
        tensor(1.2, 0.5),
        tensor(0.6, 0.4),
    ),
    Structure(
        "heavy tails",
        lambda t: dist.StudentT(4.0, t[..., 1], 1.0),
        lambda z, t: dist.Laplace((t[..., 0] * z).unsqueeze(-1), 0.8).to_event(1),
        lambda x, p: dist.StudentT(5.0, p[..., 0] * x[..., 0], p[..., 1].exp()),
        tails(),
        column(0.3, -1.2, 3.0),
        tensor(1.0, 0.2),
        tensor(0.6, -0.2),
    ),
    Structure(
        "beta-binomial",
        lambda t: dist.Beta(t[..., 0].exp(), t[..., 1].exp()),
        lambda z, t: dist.Binomial(7, z.unsqueeze(-1)).to_event(1),
        lambda x, p: dist.Beta(p[..., 0].exp() + 0.8 * x[..., 0], p[..., 1].exp() + 0.8 * (7 - x[..., 0])),
        interval(0.0, 1.0),
        torch.tensor([[0.0], [3.0], [7.0]]),
        tensor(0.7, 1.1),
        tensor(0.9, 0.9),
    ),
    Structure(
        "share",
        lambda t: squashed(dist.Normal(t[..., 1], 1.2)),
        lambda z, t: dist.Bernoulli((z * t[..., 0].sigmoid()).unsqueeze(-1) * torch.ones(3)).to_event(1),
        lambda x, p: dist.TransformedDistribution(
            dist.Normal(p[..., 0] + x.mean(-1), p[..., 1].exp()), [T.SigmoidTransform()]
        ),
        interval(0.0, 1.0),
        torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]),
        tensor(2.0, 0.2),
        tensor(-0.3, 0.1),
    ),
    Structure(
        "scale",
        lambda t: dist.HalfNormal(t[..., 1].exp()),
        lambda z, t: dist.Normal(t[..., :1] * torch.ones(3), z.unsqueeze(-1)).to_event(1),
        lambda x, p: dist.LogNormal(p[..., 0] + 0.5 * x.square().mean(-1).log(), p[..., 1].exp()),
        positive(),
        torch.tensor([[0.5, -0.3, 0.8], [2.0, -1.0, 1.2], [0.2, 0.1, -0.1]]),
        tensor(0.1, 0.4),
        tensor(0.1, -0.8),
    ),
    Structure(
        "number of things",
        lambda t: dist.Binomial(4, logits=t[..., 1]),
        normal_x(),
        lambda x, p: dist.Binomial(4, logits=p[..., 0] + p[..., 1] * x[..., 0]),
        combinations(*range(5)),
        column(0.3, 2.1, 4.5),
        tensor(1.0, -0.3),
        tensor(-0.8, 0.7),
        discrete=True,
    ),
    Structure(
        "correlated pair",
        lambda t: dist.MultivariateNormal(t[..., 1:].expand(*t.shape[:-1], 2), (EYE + 0.6 * (1 - EYE)).to(t)),
        lambda z, t: dist.Poisson((t[..., :1] * z).exp()).to_event(1),
        lambda x, p: dist.Normal(0.3 * (x - 1) + p[..., :1], p[..., 1:].exp()).to_event(1),
        plane(),
        torch.tensor([[0.0, 1.0], [2.0, 3.0], [1.0, 0.0]]),
        tensor(0.6, 0.2),
        tensor(0.1, -0.2),
    ),
    Structure(
        "maxima",
        lambda t: dist.Gumbel(t[..., 1], 1.0),
        normal_x(),
        lambda x, p: dist.Gumbel(p[..., 0] * x[..., 0], p[..., 1].exp()),
        tails(4.0),
        column(0.3, -1.2, 3.0),
        tensor(0.9, 0.2),
        tensor(0.6, -0.5),
    ),
]
BY_NAME = {structure.name: structure for structure in STRUCTURES}
