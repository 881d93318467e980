"""Continuous distributions whose densities are exact at the limits of their parameters and zero at the edges."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all

from pyrovae.distributions.saddle_point import HALF_LOG_TWO_PI, deviance, stirling_error

__all__ = ["Beta", "Gamma", "LogNormal", "StudentT"]


class _OpenUnitInterval(constraints.Constraint):
    """0 < x < 1."""

    def check(self, value: Tensor) -> Tensor:
        return (value > 0) & (value < 1)

    def __repr__(self) -> str:
        return "OpenUnitInterval()"


class LogNormal(dist.LogNormal):
    """A log-normal distribution, torch's, with finite gradients where x is not positive; ``log_prob`` in nats, (*batch_shape).

        log p(x) = log Normal(log x; loc, scale^2) - log x,   x > 0

    >>> float(LogNormal(torch.tensor(0.0), torch.tensor(1.0)).log_prob(torch.tensor(0.0)))
    -inf
    """

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> LogNormal:
        """The same distribution with this batch shape."""
        return super().expand(batch_shape, self._get_checked_instance(LogNormal, _instance))

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), in nats, (*batch_shape)."""
        inside = value > 0
        return super().log_prob(value.where(inside, 1.0)).where(inside, -math.inf)


class StudentT(dist.StudentT):
    """Student's t, torch's, whose normalizer does not cancel where df is large; ``log_prob`` is in nats, (*batch_shape).

        p(x) = Gamma((df + 1)/2) / (Gamma(df/2) sqrt(pi df) scale) (1 + y^2 / df)^(-(df + 1)/2),   y = (x - loc) / scale

    The quotient of the gammas is computed by its series in 1/df from df = 16 on.

    >>> normal = dist.Normal(torch.tensor(0.0), 1.0).log_prob(torch.tensor(2.0))
    >>> torch.allclose(StudentT(torch.tensor(1e9)).log_prob(torch.tensor(2.0)), normal)
    True
    """

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> StudentT:
        """The same distribution with this batch shape."""
        return super().expand(batch_shape, self._get_checked_instance(StudentT, _instance))

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        half = 0.5 * self.df
        small, large = half.clamp_max(8.0), half.clamp_min(8.0)
        square = large.square()
        series = (-1 / 8 + (1 / 192 - (1 / 640 - 17 / 14336 / square) / square) / square) / large
        # log of Gamma(half + 1/2) / (Gamma(half) sqrt(half))
        ratio = torch.where(half < 8.0, torch.lgamma(small + 0.5) - torch.lgamma(small) - 0.5 * small.log(), series)
        return ratio - HALF_LOG_TWO_PI - self.scale.log() - (half + 0.5) * torch.log1p(y.square() / self.df)


class Gamma(TorchDistribution):
    """A gamma distribution of a mean and a concentration k; ``log_prob`` is in nats, (*batch_shape).

        p(x) = (k / mean)^k x^(k - 1) exp(-k x / mean) / Gamma(k),   x > 0

    Args:
        mean, concentration: positive, of any common batch shape.

    >>> round(float(Gamma(torch.tensor(2.0), torch.tensor(1.0)).log_prob(torch.tensor(2.0))), 4)  # -log 2 - 1
    -1.6931
    """

    arg_constraints = {"mean": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, mean: Tensor, concentration: Tensor, validate_args: bool | None = None) -> None:
        self._mean, self.concentration = broadcast_all(mean, concentration)
        super().__init__(self._mean.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean, (*batch_shape)."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """mean^2 / k."""
        return self.mean.square() / self.concentration

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Gamma:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(Gamma, _instance)
        new._mean, new.concentration = self._mean.expand(batch_shape), self.concentration.expand(batch_shape)
        super(Gamma, new).__init__(torch.Size(batch_shape), validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        mean, k, value = broadcast_all(self.mean, self.concentration, value)
        inside = value > 0
        x = value.where(inside, 1.0)
        density = 0.5 * k.log() - HALF_LOG_TWO_PI - x.log() - stirling_error(k) - k * deviance(torch.ones_like(x), x / mean)
        return density.where(inside, -math.inf)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape), without gradient."""
        with torch.no_grad():
            unit = torch.distributions.Gamma(self.concentration, torch.ones_like(self.concentration), validate_args=False)
            return unit.sample(sample_shape) * (self.mean / self.concentration)


class Beta(TorchDistribution):
    """A beta distribution of a mean m and a precision n; ``log_prob`` is in nats, (*batch_shape).

        p(x) = x^(a - 1) (1 - x)^(b - 1) / B(a, b),   a = n m,   b = n (1 - m),   0 < x < 1

    Args:
        logits: of the mean; precision: n, positive; of any common batch shape.

    References: Ferrari and Cribari-Neto, Beta Regression for Modelling Rates and Proportions, 2004, Eq. (4).

    >>> round(float(Beta(torch.tensor(0.0), torch.tensor(2.0)).log_prob(torch.tensor(0.3))), 6)  # uniform
    0.0
    """

    arg_constraints = {"logits": constraints.real, "precision": constraints.positive}
    support = _OpenUnitInterval()

    def __init__(self, logits: Tensor, precision: Tensor, validate_args: bool | None = None) -> None:
        self.logits, self.precision = broadcast_all(logits, precision)
        super().__init__(self.logits.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """m."""
        return self.logits.sigmoid()

    @property
    def variance(self) -> Tensor:
        """m (1 - m) / (n + 1)."""
        return self.mean * (-self.logits).sigmoid() / (self.precision + 1)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Beta:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(Beta, _instance)
        new.logits, new.precision = self.logits.expand(batch_shape), self.precision.expand(batch_shape)
        super(Beta, new).__init__(torch.Size(batch_shape), validate_args=False)
        return new

    def _sides(self) -> tuple[Tensor, Tensor]:
        """a and b, kept above the smallest number that has a logarithm."""
        smallest = torch.finfo(self.precision.dtype).tiny * 1e6
        return tuple((self.precision * p).clamp_min(smallest) for p in (self.logits.sigmoid(), (-self.logits).sigmoid()))  # type: ignore[return-value]

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        inside = (value > 0) & (value < 1)
        x = value.where(inside, 0.5)
        a, b = self._sides()
        n = a + b
        errors = stirling_error(n) - stirling_error(a) - stirling_error(b)
        exponent = deviance(a.expand_as(x + a), n * x) + deviance(b.expand_as(x + b), n * (1 - x))
        roots = 0.5 * (a.log() + b.log() - n.log()) - HALF_LOG_TWO_PI
        return (errors + roots - exponent - x.log() - torch.log1p(-x)).where(inside, -math.inf)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws, (*sample_shape, *batch_shape), without gradient, kept inside the open interval."""
        with torch.no_grad():
            drawn = torch.distributions.Beta(*self._sides(), validate_args=False).sample(sample_shape)
            info = torch.finfo(drawn.dtype)
            return drawn.clamp(info.tiny, 1 - info.eps / 2)
