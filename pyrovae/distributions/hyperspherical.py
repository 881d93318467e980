"""Distributions on the sphere of unit vectors: von Mises and Fisher's, and the uniform one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor, nn
from torch.distributions.kl import register_kl

from pyrovae.distributions.bessel import log_bessel_over_power, mean_resultant_length

__all__ = ["SpherePrior", "UniformSphere", "VonMisesFisher", "onto_sphere"]

NUM_PROPOSALS = 40  # each is accepted with probability .65 or more: all fail once in 10^18
NODES, WEIGHTS = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(48))
REACH = 14.0  # standard deviations, beyond which the angle's density counts for nothing


def log_area(dim: int) -> float:
    """The logarithm of the area of the sphere in R^d, 2 pi^(d/2) / Gamma(d/2)."""
    return math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)


class UniformSphere(TorchDistribution):
    """The uniform distribution of unit vectors; ``log_prob`` in nats, (*batch_shape).

        p(z) = Gamma(d/2) / (2 pi^(d/2)),   |z| = 1

    Args:
        dim: d, at least 2; the sphere is S^(d-1).
        batch_shape: of independent vectors.
        like: a tensor whose type and device draws have; by default torch's own.

    >>> round(float(UniformSphere(3).log_prob(torch.tensor([0.0, 0.0, 1.0]))), 4)  # -log 4 pi
    -2.531
    """

    arg_constraints: dict[str, Any] = {}
    support = constraints.sphere
    has_rsample = True

    def __init__(self, dim: int, batch_shape: Any = (), like: Tensor | None = None, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ValueError(f"dim is {dim}; a sphere of directions needs at least 2 coordinates.")
        self.like = torch.empty(0) if like is None else like
        super().__init__(torch.Size(batch_shape), torch.Size([dim]), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> UniformSphere:
        """The same distribution with this batch shape."""
        return UniformSphere(self.event_shape[0], batch_shape, self.like, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """0, which lies in the middle of the sphere."""
        return self.like.new_zeros(self.shape())

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape, d)."""
        return _unit(torch.randn(self.shape(sample_shape), dtype=self.like.dtype, device=self.like.device))

    def log_prob(self, value: Tensor) -> Tensor:
        """-log of the sphere's area, (*batch_shape), in nats."""
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return value.new_full(shape, -log_area(self.event_shape[0]))

    def entropy(self) -> Tensor:
        """The logarithm of the sphere's area, (*batch_shape), in nats."""
        return self.like.new_full(self.batch_shape, log_area(self.event_shape[0]))


class SpherePrior(nn.Module):
    """p(z), uniform on the sphere of unit vectors, (d,), as a prior of :class:`pyrovae.models.VAE`.

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("like", torch.empty(0), persistent=False)

    def forward(self) -> UniformSphere:
        """The distribution, on the device of the model."""
        return UniformSphere(self.dim, like=self.like)


class VonMisesFisher(TorchDistribution):
    """Unit vectors around a direction; ``log_prob`` in nats, (*batch_shape).

        f(z; m, k) = k^(d/2-1) / ((2 pi)^(d/2) I_d/2-1(k)) exp(k m'z),   z = cos(t) m + sin(t) v

    v is uniform among the directions orthogonal to m, and t has the density sin^(d-2)(t) exp(k cos t) up to its normalizer.
    cos t is drawn by rejection, from a fixed number of proposals; its gradient is that of its distribution function,

        dt / dk = -(1 / f(t)) int_0^t (cos s - A_d(k)) f(s) ds,

    by quadrature, so that draws have pathwise gradients in every dimension, with no part left out. k = 0 is uniform.

    Args:
        loc: m, unit vectors, (*batch_shape, d), d >= 2.
        concentration: k >= 0, (*batch_shape).

    References: Davidson, Falorsi, De Cao, Kipf and Tomczak, Hyperspherical Variational Auto-Encoders, 2018, Eq. (6) and
    Algorithm 1; Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, 2018, Eq. (6).

    >>> fn = VonMisesFisher(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(2.0))
    >>> round(float(fn.log_prob(torch.tensor([0.0, 0.0, 1.0]))), 4)  # 2 + log(2 / (4 pi sinh 2))
    -1.1262
    """

    arg_constraints = {"loc": constraints.sphere, "concentration": constraints.nonnegative}
    support = constraints.sphere
    has_rsample = True

    def __init__(self, loc: Tensor, concentration: Tensor, validate_args: bool | None = None) -> None:
        shape = torch.broadcast_shapes(loc.shape[:-1], concentration.shape)
        self.loc, self.concentration = loc.expand(*shape, loc.shape[-1]), concentration.expand(shape)
        self.dim = loc.shape[-1]
        super().__init__(shape, loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> VonMisesFisher:
        """The same distribution with this batch shape."""
        loc = self.loc.expand(*batch_shape, self.dim)
        return VonMisesFisher(loc, self.concentration.expand(batch_shape), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """A_d(k) m, which lies inside the sphere."""
        return mean_resultant_length(self.concentration, self.dim).unsqueeze(-1) * self.loc

    @property
    def mode(self) -> Tensor:
        """m."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Of each coordinate: m_i^2 (1 - (d - 1) A / k - A^2) + (1 - m_i^2) A / k, (*batch_shape, d)."""
        k = self.concentration.unsqueeze(-1)
        length = mean_resultant_length(k, self.dim)
        across = torch.where(k > 0, length / k, 1 / self.dim)
        square = self.loc.square()
        return square * (1 - (self.dim - 1) * across - length.square()) + (1 - square) * across

    @property
    def log_normalizer(self) -> Tensor:
        """log of int exp(k m'z) dz = (2 pi)^(d/2) I_d/2-1(k) / k^(d/2-1), (*batch_shape)."""
        return self.dim / 2 * math.log(2 * math.pi) + log_bessel_over_power(self.dim / 2 - 1, self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        """k m'z less the log normalizer, (*batch_shape), in nats."""
        return self.concentration * (self.loc * value).sum(-1) - self.log_normalizer

    def entropy(self) -> Tensor:
        """The log normalizer less k A_d(k), (*batch_shape), in nats."""
        return self.log_normalizer - self.concentration * mean_resultant_length(self.concentration, self.dim)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Reparameterized draws, (*sample_shape, *batch_shape, d)."""
        shape = self.shape(sample_shape)
        concentration, loc = self.concentration.expand(shape[:-1]), self.loc.expand(shape)
        with torch.no_grad():
            angle = draw_angle(concentration.detach(), self.dim)
            slope = angle_gradient(angle, concentration.detach(), self.dim)
        angle = (angle + slope * (concentration - concentration.detach())).unsqueeze(-1)
        noise = torch.randn(shape, dtype=loc.dtype, device=loc.device)
        across = _unit(noise - (noise * loc).sum(-1, keepdim=True) * loc)
        return _unit(angle.cos() * loc + angle.sin() * across)


@register_kl(VonMisesFisher, UniformSphere)
def _kl_uniform(q: VonMisesFisher, p: UniformSphere) -> Tensor:
    """KL(f(.; m, k) || uniform) = log area(S^(d-1)) - entropy; it does not depend on m."""
    return log_area(q.dim) - q.entropy()


def onto_sphere(vectors: Tensor) -> Tensor:
    """The directions of vectors, (..., d), of unit length; of a zero vector, which has none, that of the first axis.

    >>> onto_sphere(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [1.0000, 0.0000]])
    """
    is_zero = (vectors == 0).all(-1, keepdim=True)
    axis = torch.zeros_like(vectors)
    axis[..., 0] = 1
    return _unit(torch.where(is_zero, axis, vectors))


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def draw_angle(concentration: Tensor, dim: int) -> Tensor:
    """t in (0, pi) of density sin^(d-2)(t) exp(k cos t), of the concentration's shape.

    Proposals are of Wood's envelope, their first accepted one is taken; of ``NUM_PROPOSALS`` refused ones the last.

    References: Wood, Simulation of the von Mises Fisher Distribution, 1994; Davidson et al., 2018, Algorithm 2.
    """
    k, m = concentration.double(), dim - 1
    root = (4 * k.square() + m**2).sqrt()
    b = m / (2 * k + root)
    a = (m + 2 * k + root) / 4
    proposals = (NUM_PROPOSALS, *k.shape)
    both = torch._standard_gamma(torch.full((2, *proposals), m / 2, dtype=k.dtype, device=k.device))
    share = both[0] / both.sum(0)  # Beta(m / 2, m / 2)
    below = 1 - (1 - b) * share
    t = 2 * a * b / below
    log_ratio = m * t.log() - t + 4 * a * b / (1 + b) - m * math.log(m)
    accepted = log_ratio >= torch.rand(proposals, dtype=k.dtype, device=k.device).log()
    accepted[-1] = True
    half = (b * share / below).clamp(0, 1)  # (1 - cos t) / 2, which keeps its digits where t is small
    first = half.gather(0, accepted.int().argmax(0, keepdim=True))[0]
    return (2 * first.sqrt().asin()).to(concentration.dtype)


def angle_gradient(angle: Tensor, concentration: Tensor, dim: int) -> Tensor:
    """dt / dk along which the distribution function of t stays, by quadrature on the side of t away from the mode."""
    t, k, n = angle.double(), concentration.double(), dim - 2
    spread = (n**2 + 4 * k.square()).sqrt()
    cos_mode = 2 * k / (n + spread).clamp(min=1e-300)
    width = REACH / (k * cos_mode + (n + spread) / 2).clamp(min=1e-300).sqrt()  # of a log density's curvature at its mode
    is_above = t.cos() < cos_mode
    start = torch.where(is_above, t, (t - width).clamp(min=0.0))
    end = torch.where(is_above, (t + width).clamp(max=math.pi), t)
    nodes, weights = NODES.to(t.device), WEIGHTS.to(t.device)
    s = (start + end).unsqueeze(-1) / 2 + (end - start).unsqueeze(-1) / 2 * nodes
    log_ratio = k.unsqueeze(-1) * (s.cos() - t.cos().unsqueeze(-1))
    if n:
        log_ratio = log_ratio + n * (s.sin().log() - t.sin().log().unsqueeze(-1))
    pull = s.cos() - mean_resultant_length(k, dim).unsqueeze(-1)
    part = (end - start) / 2 * (weights * pull * log_ratio.exp()).sum(-1)  # of all angles it is 0
    return torch.where(is_above, part, -part).to(angle.dtype)
