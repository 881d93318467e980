"""Bits made continuous: distributions r(zeta | z) of a number given a bit, by name."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributions import constraints

from pyrovae.errors import OptionError
from pyrovae.registry import Registry

__all__ = [
    "SMOOTHINGS",
    "Exponential",
    "GaussianIntegral",
    "Power",
    "Smoothing",
    "SpikeExponential",
    "UniformExponential",
]

SURE = 80.0  # the logit of a bit that its smoothed value tells for certain
EDGE = 2.0**-20  # of [0, 1], within which the power smoothing's numbers are as good as at the end
SHARPEST = 80.0  # exp(beta) is a number of float32 up to here

SMOOTHINGS: Registry[type[Smoothing]] = Registry("smoothing")


class Smoothing(ABC):
    """r(zeta | z) of one bit z, in nats; r(zeta | 1) is r(1 - zeta | 0), but for the spike.

        q(zeta) = (1 - q) r(zeta | 0) + q r(zeta | 1),   q = p(z = 1)

    Tensors of any shape, (...,), elementwise. A density is with respect to length, and to the mass of the points ``atoms``.

    Args:
        beta: the sharpness: zeta is z as it grows.

    Attributes:
        support: of zeta.
        atoms: points of mass.
        overlapping: whether r(. | 0) and r(. | 1) have their mass in the same places, so that p(z | zeta) has a gradient.
    """

    default = 1.0
    least, most = 0.0, math.inf
    support: constraints.Constraint = constraints.unit_interval
    atoms: tuple[float, ...] = ()
    overlapping = True

    def __init__(self, beta: float | None = None) -> None:
        beta = self.default if beta is None else beta
        if not self.least < beta <= self.most or not math.isfinite(beta):
            above = f" and at most {self.most:g}" if math.isfinite(self.most) else ""
            raise OptionError(f"beta is {beta!r}; expected a number above {self.least:g}{above} for {type(self).__name__}.")
        self.beta = float(beta)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), self.beta))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(beta={self.beta:g})"

    @abstractmethod
    def log_zero(self, zeta: Tensor) -> Tensor:
        """log r(zeta | z = 0), (...,)."""

    def log_one(self, zeta: Tensor) -> Tensor:
        """log r(zeta | z = 1), (...,)."""
        return self.log_zero(1 - zeta)

    @abstractmethod
    def cdf_zero(self, zeta: Tensor) -> Tensor:
        """The distribution function of r(. | 0), (...,)."""

    @abstractmethod
    def cdf_one(self, zeta: Tensor) -> Tensor:
        """The distribution function of r(. | 1), (...,)."""

    @abstractmethod
    def draw_zero(self, like: Tensor) -> Tensor:
        """Draws of r(. | 0), of the shape of a tensor, by the inverse of its distribution function."""

    def draw(self, z: Tensor) -> Tensor:
        """zeta ~ r(zeta | z), of the shape of z."""
        zeta = self.draw_zero(z)
        return torch.where(z > 0.5, 1 - zeta, zeta)

    def posterior_logits(self, logits: Tensor, zeta: Tensor) -> Tensor:
        """The logit of p(z = 1 | zeta), logit q + log r(zeta | 1) - log r(zeta | 0), (...,)."""
        return logits + self.log_one(zeta) - self.log_zero(zeta)

    def bits(self, logits: Tensor, zeta: Tensor) -> Tensor:
        """nu = p(z = 1 | zeta), (...,), whose gradient is right under an expectation over zeta."""
        return self.posterior_logits(logits, zeta).sigmoid()

    def slope(self, logits: Tensor, zeta: Tensor) -> Tensor:
        """d zeta / d q = (F(zeta | 0) - F(zeta | 1)) / q(zeta) of the mixture's inverse distribution function, (...,)."""
        near = torch.minimum(zeta, 1 - zeta)  # F(. | 0) - F(. | 1) is the same at 1 - zeta, where less of it may be lost
        apart = self.cdf_zero(near) - self.cdf_one(near)
        return apart * (-self.mixture(logits, zeta)).exp()

    def mixture(self, logits: Tensor, zeta: Tensor) -> Tensor:
        """log q(zeta), (...,)."""
        one, zero = torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits)
        return torch.logaddexp(one + self.log_one(zeta), zero + self.log_zero(zeta))


def uniform(like: Tensor) -> Tensor:
    """Draws strictly between 0 and 1."""
    return torch.rand_like(like).clamp_min(torch.finfo(like.dtype).eps / 4)


@SMOOTHINGS.enter("exponential")
class Exponential(Smoothing):
    """r(zeta | 0) = beta exp(-beta zeta) / (1 - exp(-beta)) on [0, 1], (...,), in nats, and its mirror image for a 1.

    References: Vahdat, Macready, Bian, Khoshaman and Andriyash, DVAE++, 2018, Section 3.
    """

    default = 10.0
    most = SHARPEST

    def log_zero(self, zeta: Tensor) -> Tensor:
        """log r(zeta | 0), (...,)."""
        return math.log(self.beta / -math.expm1(-self.beta)) - self.beta * zeta

    def cdf_zero(self, zeta: Tensor) -> Tensor:
        """(1 - exp(-beta zeta)) / (1 - exp(-beta)), (...,)."""
        return torch.expm1(-self.beta * zeta) / math.expm1(-self.beta)

    def cdf_one(self, zeta: Tensor) -> Tensor:
        """(exp(beta zeta) - 1) / (exp(beta) - 1), (...,)."""
        return torch.expm1(self.beta * zeta) / math.expm1(self.beta)

    def draw_zero(self, like: Tensor) -> Tensor:
        """Draws, of the shape of a tensor."""
        return (torch.log1p(uniform(like) * math.expm1(-self.beta)) / -self.beta).clamp(0, 1)


@SMOOTHINGS.enter("spike-exponential")
class SpikeExponential(Exponential):
    """r(zeta | 0) all at zeta = 0, r(zeta | 1) = beta exp(beta zeta) / (exp(beta) - 1) on (0, 1], (...,), in nats.

    z = 1[zeta > 0] is a function of zeta without a pathwise gradient: that of what is linear in z comes from the boundary,

        grad E[f z] = E[f (1 - z) / (1 - q) grad q],   f at zeta = 0 where z is 0

    which is the gradient that :meth:`bits` has. zeta itself is continuous in q at fixed noise.

    References: Rolfe, Discrete Variational Autoencoders, 2017, Section 2.1 and Eq. (12).
    """

    default = 4.0
    atoms = (0.0,)
    overlapping = False

    def log_zero(self, zeta: Tensor) -> Tensor:
        """0 at the spike, elsewhere minus infinity, (...,)."""
        return torch.where(zeta > 0, -math.inf, 0.0).to(zeta.dtype)

    def log_one(self, zeta: Tensor) -> Tensor:
        """log r(zeta | 1), (...,); minus infinity at the spike, whose mass it does not have."""
        return torch.where(zeta > 0, super().log_zero(1 - zeta), -math.inf)

    def cdf_zero(self, zeta: Tensor) -> Tensor:
        """1 from the spike on, (...,)."""
        return (zeta >= 0).to(zeta.dtype)

    def draw(self, z: Tensor) -> Tensor:
        """zeta ~ r(zeta | z), of the shape of z: 0, or above 0."""
        above = (1 - super().draw_zero(z)).clamp_min(torch.finfo(z.dtype).tiny)
        return torch.where(z > 0.5, above, 0.0)

    def posterior_logits(self, logits: Tensor, zeta: Tensor) -> Tensor:
        """Of 1 where zeta > 0, and of 0 elsewhere, for certain, (...,)."""
        return torch.where(zeta > 0, SURE, -SURE).to(zeta.dtype).expand(torch.broadcast_shapes(logits.shape, zeta.shape))

    def bits(self, logits: Tensor, zeta: Tensor) -> Tensor:
        """z = 1[zeta > 0], (...,), with the boundary's gradient."""
        z, q = (zeta > 0).to(zeta.dtype), logits.sigmoid()
        weight = ((1 - z) / (-logits).sigmoid().clamp_min(torch.finfo(z.dtype).tiny)).detach()
        return z + weight * (q - q.detach())

    def slope(self, logits: Tensor, zeta: Tensor) -> Tensor:
        """d zeta / d q = (1 - F(zeta | 1)) / (q r(zeta | 1)), (...,), and 0 at the spike."""
        left = -torch.expm1(self.beta * (zeta - 1)) / -math.expm1(-self.beta)
        density = torch.nn.functional.logsigmoid(logits) + super().log_zero(1 - zeta)
        return torch.where(zeta > 0, left * (-density).exp(), 0.0)


@SMOOTHINGS.enter("power")
class Power(Smoothing):
    """r(zeta | 0) = (1 / beta) zeta^(1/beta - 1) on [0, 1], beta > 1, (...,), in nats, and its mirror image for a 1.

    Most of it lies closer to an end than numbers can tell (a share 2^(-20/30) = .63 of r(zeta | 0) below 2^-20 at beta 30):
    what is within 2^-20 of an end is put there, and scored as the mass of that point, so that all ratios stay right.

    References: Vahdat, Andriyash and Macready, DVAE#, 2018 (the power-function smoothing).
    """

    default = 30.0
    least = 1.0
    atoms = (EDGE, 1 - EDGE)

    def log_zero(self, zeta: Tensor) -> Tensor:
        """log r(zeta | 0), (...,): of the density, or of the mass at the ends."""
        between = zeta.clamp(EDGE, 1 - EDGE)
        density = (1 / self.beta - 1) * between.log() - math.log(self.beta)
        low, high = math.log(EDGE) / self.beta, math.log(-math.expm1(math.log1p(-EDGE) / self.beta))
        return torch.where(zeta <= EDGE, low, torch.where(zeta >= 1 - EDGE, high, density)).to(zeta.dtype)

    def cdf_zero(self, zeta: Tensor) -> Tensor:
        """zeta^(1/beta), (...,)."""
        return zeta.clamp(0, 1).pow(1 / self.beta)

    def cdf_one(self, zeta: Tensor) -> Tensor:
        """1 - (1 - zeta)^(1/beta), (...,)."""
        return -torch.expm1(torch.log1p(-zeta.clamp(0, 1 - EDGE)) / self.beta)

    def draw_zero(self, like: Tensor) -> Tensor:
        """Draws, of the shape of a tensor."""
        return (uniform(like).log() * self.beta).exp().clamp(EDGE, 1 - EDGE)

    def slope(self, logits: Tensor, zeta: Tensor) -> Tensor:
        """d zeta / d q, (...,), 0 at the ends, where zeta stays."""
        inner = (zeta > EDGE) & (zeta < 1 - EDGE)
        return torch.where(inner, super().slope(logits, zeta), 0.0)


@SMOOTHINGS.enter("uniform-exponential")
class UniformExponential(Exponential):
    """r(zeta | 0) = .95 beta exp(-beta zeta) / (1 - exp(-beta)) + .05 on [0, 1], (...,), in nats, and its mirror image.

    The uniform part bounds the logit of p(z | zeta) for any beta, and with it the gradient's variance.

    References: Vahdat, Andriyash and Macready, DVAE#, 2018 (uniform and exponential; the share of .05 is this package's).
    """

    default = 16.0
    share = 0.05

    def log_zero(self, zeta: Tensor) -> Tensor:
        """log r(zeta | 0), (...,)."""
        return torch.log(self.share + (1 - self.share) * super().log_zero(zeta).exp())

    def cdf_zero(self, zeta: Tensor) -> Tensor:
        """The distribution function of r(. | 0), (...,)."""
        return self.share * zeta + (1 - self.share) * super().cdf_zero(zeta)

    def cdf_one(self, zeta: Tensor) -> Tensor:
        """The distribution function of r(. | 1), (...,)."""
        return self.share * zeta + (1 - self.share) * super().cdf_one(zeta)

    def draw_zero(self, like: Tensor) -> Tensor:
        """Draws, of the shape of a tensor."""
        return torch.where(torch.rand_like(like) < self.share, torch.rand_like(like), super().draw_zero(like))


@SMOOTHINGS.enter("gaussian-integral")
class GaussianIntegral(Smoothing):
    """r(zeta | z) = N(zeta; z, 1/beta), (...,), in nats: the guide's half of the Gaussian integral.

    The prior's half has the covariance (M + beta I)^-1 (:class:`RelaxedRBM`), close to this if beta is large.

    References: Vahdat, Andriyash and Macready, DVAE#, 2018 (the Gaussian integral).
    """

    default = 30.0
    support = constraints.real

    def log_zero(self, zeta: Tensor) -> Tensor:
        """log r(zeta | 0), (...,)."""
        return 0.5 * math.log(self.beta / (2 * math.pi)) - 0.5 * self.beta * zeta.square()

    def cdf_zero(self, zeta: Tensor) -> Tensor:
        """The distribution function of r(. | 0), (...,)."""
        return 0.5 * torch.erfc(-zeta * math.sqrt(self.beta / 2))

    def cdf_one(self, zeta: Tensor) -> Tensor:
        """The distribution function of r(. | 1), (...,)."""
        return self.cdf_zero(zeta - 1)

    def draw_zero(self, like: Tensor) -> Tensor:
        """Draws, of the shape of a tensor."""
        return torch.randn_like(like) / math.sqrt(self.beta)
