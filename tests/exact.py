"""Closed-form pairs: model and guide with log p(x), posterior and gradients known, for every estimator to be held against.

Each :class:`ExactPair` has a batch and the exact log p(x_b), (B,), as a differentiable function of the model's parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.infer
import torch
from pyro import poutine
from torch import Tensor, nn

from pyrovae.core.pair import Pair
from pyrovae.core.trace import PairTrace, latents_trace, run_program
from pyrovae.guides import LinearGaussian as LinearGaussianGuide
from pyrovae.models import LinearGaussian
from pyrovae.nets import FactorAnalysis


@dataclass(frozen=True)
class ExactPair:
    """A pair whose log p(x) is known; ``tight`` when its guide is the exact posterior."""

    name: str
    model: nn.Module
    guide: nn.Module
    batch: dict[str, Tensor]
    log_evidence: Callable[[], Tensor]
    tight: bool

    @property
    def pair(self) -> Pair:
        """The two programs, as verbs take them."""
        return Pair(self.model, self.guide)


class Affine(nn.Module):
    """q(z | x) = N(z; A x + a, diag s^2), with a factor on the scale: wrong, wide or narrow on purpose."""

    def __init__(self, data_dim: int, latent_dim: int, scale: float = 1.0) -> None:
        super().__init__()
        self.loc = nn.Linear(data_dim, latent_dim)
        self.log_scale = nn.Parameter(torch.full((latent_dim,), math.log(scale)))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("z", dist.Normal(self.loc(x.flatten(1)), self.log_scale.exp()).to_event(1))


def linear_gaussian(latent_dim: int, data_dim: int, rows: int = 7, guide: str = "exact") -> ExactPair:
    """Probabilistic PCA; guide "exact", "wrong" (prior-like) or "narrow" (a third of the posterior's scale)."""
    torch.manual_seed(latent_dim * 100 + data_dim)
    factors = FactorAnalysis(latent_dim, data_dim, "diagonal")
    with torch.no_grad():
        factors.loc.normal_()
        factors.log_scale.uniform_(-0.5, 0.5)
    x = dist.LowRankMultivariateNormal(factors.loc, factors.weight, factors.scale.square()).sample((rows,)).detach()
    if guide == "exact":
        q: nn.Module = LinearGaussianGuide(factors)
    else:
        _loc, tril = factors.posterior(x)
        spread = (tril @ tril.T).diagonal().sqrt()
        q = Affine(data_dim, latent_dim)
        with torch.no_grad():
            zero, _ = factors.posterior(torch.zeros(1, data_dim))
            q.loc.weight.copy_((factors.posterior(torch.eye(data_dim))[0] - zero).T)
            q.loc.bias.copy_(zero[0] + (0.3 * spread if guide == "wrong" else 0))
            q.log_scale.copy_((spread * (1.3 if guide == "wrong" else 1 / 3)).log())
    return ExactPair(
        f"linear-gaussian {latent_dim}x{data_dim} {guide}",
        LinearGaussian(factors),
        q,
        {"x": x},
        lambda: factors.log_evidence(x),
        guide == "exact",
    )


class BernoulliMixture(nn.Module):
    """y ~ Categorical(pi), x_i ~ Bernoulli(theta_yi)."""

    def __init__(self, classes: int, data_dim: int) -> None:
        super().__init__()
        self.pi = nn.Parameter(torch.randn(classes))
        self.theta = nn.Parameter(torch.randn(classes, data_dim))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.Categorical(logits=self.pi))
            pyro.sample("x", dist.Bernoulli(logits=self.theta[y]).to_event(1), obs=x)

    def joint(self, x: Tensor) -> Tensor:
        """log p(x, y = c), (B, C)."""
        return self.pi.log_softmax(0) + dist.Bernoulli(logits=self.theta).to_event(1).log_prob(x.unsqueeze(1))


class MixturePosterior(nn.Module):
    """q(y | x) = softmax(log p(x, .) + error): exact for error 0."""

    def __init__(self, model: BernoulliMixture, error: float) -> None:
        super().__init__()
        self.model = model
        self.error = nn.Parameter(error * torch.randn(len(model.pi)))

    def forward(self, x: Tensor) -> None:
        logits = self.model.joint(x) + self.error
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("y", dist.Categorical(logits=logits))


def bernoulli_mixture(error: float = 0.0) -> ExactPair:
    torch.manual_seed(3)
    model = BernoulliMixture(4, 6)
    x = torch.bernoulli(torch.full((9, 6), 0.4))
    return ExactPair(
        f"bernoulli-mixture error {error}",
        model,
        MixturePosterior(model, error),
        {"x": x},
        lambda: model.joint(x).logsumexp(1),
        error == 0,
    )


class SigmoidDecoder(nn.Module):
    """z ~ N(0, I_d), x_i ~ Bernoulli(sigmoid(W z + b)_i): no closed form, but an integral over 1 or 2 dimensions."""

    def __init__(self, latent_dim: int, data_dim: int) -> None:
        super().__init__()
        self.decoder = nn.Linear(latent_dim, data_dim)
        nn.init.normal_(self.decoder.weight, std=1.5)

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(self.decoder.in_features), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z)).to_event(1), obs=x)

    def log_evidence(self, x: Tensor, order: int = 60) -> Tensor:
        """Gauss-Hermite quadrature of log E_z[p(x | z)], (B,)."""
        points, weights = np.polynomial.hermite_e.hermegauss(order)
        points, weights = torch.tensor(points), torch.tensor(weights / math.sqrt(2 * math.pi))
        d = self.decoder.in_features
        grid = torch.cartesian_prod(*[points] * d).reshape(-1, d)
        log_weights = torch.cartesian_prod(*[weights.log()] * d).reshape(-1, d).sum(1)
        logits = grid @ self.decoder.weight.double().T + self.decoder.bias.double()
        scores = dist.Bernoulli(logits=logits).to_event(1).log_prob(x.double().unsqueeze(1))
        return (scores + log_weights).logsumexp(1)


def sigmoid_decoder(latent_dim: int) -> ExactPair:
    torch.manual_seed(latent_dim)
    model = SigmoidDecoder(latent_dim, 5)
    x = torch.bernoulli(torch.full((8, 5), 0.5))
    return ExactPair(
        f"sigmoid-decoder {latent_dim}d", model, Affine(5, latent_dim), {"x": x}, lambda: model.log_evidence(x), False
    )


class GammaPoisson(nn.Module):
    """z ~ Gamma(a, b), x_i ~ Poisson(z), i = 1..D: a constrained latent; x sums to a negative binomial."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor([1.0, 0.3]))

    def forward(self, x: Tensor) -> None:
        a, b = self.raw.exp()
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Gamma(a, b))
            pyro.sample("x", dist.Poisson(z.unsqueeze(-1).expand(*z.shape, x.shape[-1])).to_event(1), obs=x)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log Gamma(a+s) b^a / (Gamma(a) (b+D)^(a+s) prod x_i!), s = sum x."""
        a, b = self.raw.exp()
        s, d = x.sum(-1), x.shape[-1]
        return torch.lgamma(a + s) - torch.lgamma(a) + a * b.log() - (a + s) * (b + d).log() - torch.lgamma(x + 1).sum(-1)


class GammaPosterior(nn.Module):
    """q(z | x) = Gamma(a + s, b + D) exactly, or the log-normal of its first two moments."""

    def __init__(self, model: GammaPoisson, exact: bool) -> None:
        super().__init__()
        self.model, self.exact = model, exact

    def forward(self, x: Tensor) -> None:
        a, b = self.model.raw.exp()
        shape, rate = a + x.sum(-1), b + x.shape[-1]
        with pyro.plate("data", x.shape[0], dim=-1):
            variance = torch.log1p(1 / shape)
            q_z = (
                dist.Gamma(shape, rate) if self.exact else dist.LogNormal((shape / rate).log() - variance / 2, variance.sqrt())
            )
            pyro.sample("z", q_z)


def gamma_poisson(exact: bool) -> ExactPair:
    torch.manual_seed(5)
    model = GammaPoisson()
    x = dist.Poisson(torch.full((6, 3), 2.0)).sample()
    return ExactPair(
        f"gamma-poisson {'exact' if exact else 'log-normal'}",
        model,
        GammaPosterior(model, exact),
        {"x": x},
        lambda: model.log_evidence(x),
        exact,
    )


class Chain(nn.Module):
    """z1 ~ N(0, 1), z2 | z1 ~ N(a z1, 1), x | z2 ~ N(c z2, s^2): two latent sites; x ~ N(0, c^2 (a^2 + 1) + s^2)."""

    def __init__(self) -> None:
        super().__init__()
        self.acs = nn.Parameter(torch.tensor([0.8, 1.5, 0.7]))

    def forward(self, x: Tensor) -> None:
        a, c, s = self.acs
        with pyro.plate("data", x.shape[0], dim=-1):
            z1 = pyro.sample("z1", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            z2 = pyro.sample("z2", dist.Normal(a * z1, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(c * z2, s).to_event(1), obs=x)

    def log_evidence(self, x: Tensor) -> Tensor:
        a, c, s = self.acs
        return dist.Normal(0.0, (c**2 * (a**2 + 1) + s**2).sqrt()).log_prob(x).sum(-1)


class ChainPosterior(nn.Module):
    """q(z2 | x) q(z1 | z2), exact: a guide whose second site depends on its first."""

    def __init__(self, model: Chain) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> None:
        a, c, s = self.model.acs
        prior = a**2 + 1
        gain = prior * c / (c**2 * prior + s**2)
        with pyro.plate("data", x.shape[0], dim=-1):
            z2 = pyro.sample("z2", dist.Normal(gain * x, (prior * (1 - gain * c)).sqrt()).to_event(1))
            pyro.sample("z1", dist.Normal(a / prior * z2, (1 / prior).sqrt()).to_event(1))


class WrongChainPosterior(nn.Module):
    """q(z2 | x) q(z1 | z2), wrong in means and scales, with parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.tensor([0.3, -0.4, 0.2, -0.5]))

    def forward(self, x: Tensor) -> None:
        gain, log_s2, slope, log_s1 = self.free
        with pyro.plate("data", x.shape[0], dim=-1):
            z2 = pyro.sample("z2", dist.Normal(gain * x, log_s2.exp()).to_event(1))
            pyro.sample("z1", dist.Normal(slope * z2, log_s1.exp()).to_event(1))


def chain(tight: bool = True) -> ExactPair:
    torch.manual_seed(8)
    model = Chain()
    x = 2 * torch.randn(10, 1)
    guide = ChainPosterior(model) if tight else WrongChainPosterior()
    return ExactPair(f"chain {'exact' if tight else 'wrong'}", model, guide, {"x": x}, lambda: model.log_evidence(x), tight)


class GaussianMixture(nn.Module):
    """y ~ Categorical(pi), z | y ~ N(m_y, 1), x | z ~ N(z, s^2) in 2 dimensions: x ~ sum_y pi_y N(m_y, 1 + s^2)."""

    def __init__(self, marked: bool) -> None:
        super().__init__()
        self.pi = nn.Parameter(torch.tensor([0.2, -0.3, 0.5]))
        self.means = nn.Parameter(2 * torch.randn(3, 2))
        self.log_s = nn.Parameter(torch.tensor(-0.2))
        self.infer = {"enumerate": "parallel"} if marked else {}

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.Categorical(logits=self.pi), infer=dict(self.infer))
            z = pyro.sample("z", dist.Normal(self.means[y], 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, self.log_s.exp()).to_event(1), obs=x)

    def log_evidence(self, x: Tensor) -> Tensor:
        scale = (1 + (2 * self.log_s).exp()).sqrt()
        parts = dist.Normal(self.means, scale).to_event(1).log_prob(x.unsqueeze(1))
        return (self.pi.log_softmax(0) + parts).logsumexp(1)


class MixtureGuide(nn.Module):
    """q(y | x) q(z | x, y), or q(z | x) alone where the model sums y out; wrong, and y enumerated or drawn."""

    def __init__(self, has_y: bool, marked: bool) -> None:
        super().__init__()
        self.logits = nn.Linear(2, 3)
        self.gain = nn.Parameter(torch.tensor(0.6))
        self.shift = nn.Parameter(0.3 * torch.randn(3, 2))
        self.has_y, self.infer = has_y, {"enumerate": "parallel"} if marked else {}

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            if self.has_y:
                y = pyro.sample("y", dist.Categorical(logits=self.logits(x)), infer=dict(self.infer))
                shift = self.shift[y]
            else:
                shift = self.shift.mean(0)
            pyro.sample("z", dist.Normal(self.gain * x + shift, 0.8).to_event(1))


def gaussian_mixture(how: str) -> ExactPair:
    """``how`` y is treated: "enumerated" or "drawn" in the guide, "summed" out in the model."""
    torch.manual_seed(11)
    model = GaussianMixture(marked=how == "summed")
    guide = MixtureGuide(has_y=how != "summed", marked=how == "enumerated")
    x = 2 * torch.randn(7, 2)
    return ExactPair(f"gaussian-mixture {how}", model, guide, {"x": x}, lambda: model.log_evidence(x), False)


def marked_mixture(error: float) -> ExactPair:
    """The Bernoulli mixture with y enumerated in the guide."""
    pair = bernoulli_mixture(error)
    guide = pyro.infer.config_enumerate(pair.guide)
    return ExactPair(f"{pair.name}, enumerated", pair.model, guide, pair.batch, pair.log_evidence, False)


class OneHotMixture(BernoulliMixture):
    """The Bernoulli mixture with y one-hot, as labels want it."""

    def forward(self, x: Tensor) -> None:
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.OneHotCategorical(logits=self.pi))
            pyro.sample("x", dist.Bernoulli(logits=y @ self.theta).to_event(1), obs=x)


class OneHotPosterior(MixturePosterior):
    """softmax(log p(x, .) + error), enumerated."""

    def forward(self, x: Tensor) -> None:
        logits = self.model.joint(x) + self.error
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("y", dist.OneHotCategorical(logits=logits), infer={"enumerate": "parallel"})


def labelled_mixture() -> ExactPair:
    """Some rows have a label; the programs, and log p(x), know nothing of it."""
    torch.manual_seed(3)
    model = OneHotMixture(4, 6)
    x = torch.bernoulli(torch.full((9, 6), 0.4))
    y = torch.tensor([0, -1, 2, -1, -1, 3, 1, -1, -1])
    return ExactPair(
        "labelled-mixture",
        model,
        OneHotPosterior(model, 0.7),
        {"x": x, "y": y},
        lambda: model.joint(x).logsumexp(1),
        False,
    )


def quadrature(model: nn.Module, x: Tensor, dims: dict[str, int], width: float = 8.0, points: int = 161) -> Tensor:
    """log p(x_b) by the trapezoidal rule on [-width, width]^n over latent sites of n dimensions together, (B,)."""
    n = sum(dims.values())
    grid = torch.linspace(-width, width, points, dtype=x.dtype)
    z = torch.cartesian_prod(*[grid] * n).reshape(-1, 1, n).expand(-1, len(x), -1)
    latents = dict(zip(dims, z.split(list(dims.values()), -1), strict=True))
    with torch.no_grad():
        trace = run_program(model, {"x": x}, len(z), replay=latents_trace(latents))
        joint = PairTrace(trace, poutine.Trace(), (len(z), len(x)))
        return joint.total(joint.log_p).logsumexp(0) + n * math.log(2 * width / (points - 1))


ALL: list[Callable[[], ExactPair]] = [
    lambda: linear_gaussian(1, 2),
    lambda: linear_gaussian(3, 5),
    lambda: linear_gaussian(10, 30),
    lambda: linear_gaussian(2, 4, guide="wrong"),
    lambda: linear_gaussian(2, 4, guide="narrow"),
    bernoulli_mixture,
    lambda: bernoulli_mixture(0.7),
    lambda: sigmoid_decoder(1),
    lambda: sigmoid_decoder(2),
    lambda: gamma_poisson(True),
    lambda: gamma_poisson(False),
    chain,
    lambda: chain(False),
    lambda: gaussian_mixture("drawn"),
    lambda: gaussian_mixture("enumerated"),
    lambda: gaussian_mixture("summed"),
]
PAIRS = {pair.name: make for make in ALL for pair in [make()]}
