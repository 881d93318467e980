"""Distributions of counts, exact for large counts and at the limits of their parameters."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all

from pyrovae.distributions.saddle_point import deviance, stirling_error

__all__ = ["BagOfWords", "Multinomial", "NegativeBinomial", "Poisson"]


def _smallest(mean: Tensor) -> float:
    """A mean that stands for zero, whose logarithm and its gradient are finite."""
    return 1e6 * torch.finfo(mean.dtype).tiny


class Poisson(dist.Poisson):
    """P(x) = rate^x exp(-rate) / x!; ``log_prob`` is in nats, (*batch_shape), exact for large x (torch's errs by 0.1 at 10^5).

        log P(x) = -D(x, rate) - log(2 pi x)/2 - d(x),   log P(0) = -rate

    with D the :func:`~pyrovae.distributions.saddle_point.deviance` and d Stirling's error.

    References: Loader, Fast and Accurate Computation of Binomial Probabilities, 2000.

    >>> round(float(Poisson(torch.tensor(1e5)).log_prob(torch.tensor(1e5))), 3)
    -6.675
    """

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Poisson:
        """The same distribution with this batch shape."""
        return super().expand(batch_shape, self._get_checked_instance(Poisson, _instance))

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        rate, value = broadcast_all(self.rate.clamp_min(_smallest(self.rate)), value)
        x = value.where(value > 0, 1.0)
        positive = -deviance(x, rate) - 0.5 * (2 * math.pi * x).log() - stirling_error(x)
        return torch.where(value > 0, positive, -rate)


class NegativeBinomial(TorchDistribution):
    """A negative binomial of a mean and a dispersion r, a Poisson as r grows; ``log_prob`` is in nats, (*batch_shape).

        P(x) = Gamma(x + r) / (Gamma(r) x!) (r / (r + mean))^r (mean / (r + mean))^x

    Computed by D(x, n q) + D(r, n p), n = r + x, q = mean / (r + mean) = 1 - p, D the
    :func:`~pyrovae.distributions.saddle_point.deviance`, so that nothing cancels where x or r is large.

    Args:
        mean: at least 0; dispersion: positive; of any common batch shape.

    References: Lopez et al., Deep Generative Modeling for Single-cell Transcriptomics, 2018, Methods; Loader, Fast and
    Accurate Computation of Binomial Probabilities, 2000.

    >>> float(NegativeBinomial(torch.tensor(2.0), torch.tensor(1e12)).log_prob(torch.tensor(0.0)))  # that of a Poisson
    -2.0
    """

    arg_constraints = {"mean": constraints.nonnegative, "dispersion": constraints.positive}
    support = constraints.nonnegative_integer

    def __init__(self, mean: Tensor, dispersion: Tensor, validate_args: bool | None = None) -> None:
        self._mean, self.dispersion = broadcast_all(mean, dispersion)
        super().__init__(self._mean.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean, (*batch_shape)."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """mean + mean^2 / r."""
        return self.mean + self.mean.square() / self.dispersion

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> NegativeBinomial:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(NegativeBinomial, _instance)
        new._mean, new.dispersion = self._mean.expand(batch_shape), self.dispersion.expand(batch_shape)
        super(NegativeBinomial, new).__init__(torch.Size(batch_shape), validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(value), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        mean, r, value = broadcast_all(self.mean.clamp_min(_smallest(self.mean)), self.dispersion, value)
        x = value.where(value > 0, 1.0)
        share = (r + x) / (r + mean)
        exponent = deviance(x, share * mean) + deviance(r, share * r)
        errors = stirling_error(r + x) - stirling_error(r) - stirling_error(x)
        # Loader's binomial of r in r + x trials, times r / (r + x)
        positive = errors - exponent - 0.5 * (2 * math.pi * x).log() - 0.5 * torch.log1p(x / r)
        return torch.where(value > 0, positive, -r * torch.log1p(mean / r))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws of a Poisson whose rate is gamma distributed, (*sample_shape, *batch_shape), without gradient."""
        with torch.no_grad():
            gamma = torch.distributions.Gamma(self.dispersion, self.dispersion / self.mean, validate_args=False)
            return torch.poisson(gamma.sample(sample_shape))


class Multinomial(TorchDistribution):
    """Counts of D things given their total, the mass of x among all of its sum; ``log_prob`` is in nats, (*batch_shape).

        P(x | n) = n! prod_i p_i^x_i / x_i!,   n = sum_i x_i,   p = softmax(logits)

    Args:
        logits: (..., D).
        total: of draws and of the mean, (...); a value is scored given its own total.

    >>> fn = Multinomial(torch.zeros(2), torch.tensor(2.0))
    >>> float(fn.log_prob(torch.tensor([1.0, 1.0])).exp()), fn.mean
    (0.5, tensor([1., 1.]))
    """

    arg_constraints = {
        "logits": constraints.independent(constraints.real, 1),
        "total": constraints.greater_than_eq(0),
    }
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(self, logits: Tensor, total: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits.log_softmax(-1)
        self.total = total.expand(logits.shape[:-1])
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> Multinomial:
        """The same distribution with this batch shape."""
        new = self._get_checked_instance(Multinomial, _instance)
        new.logits, new.total = self.logits.expand(*batch_shape, -1), self.total.expand(batch_shape)
        super(Multinomial, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(value | its total), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        return torch.lgamma(value.sum(-1) + 1) + (value * self.logits - torch.lgamma(value + 1)).sum(-1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - Pyro's signature
        """Draws with ``total`` counts, (*sample_shape, *batch_shape, D): binomials of what is left, one after another."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            probs, left = self.logits.exp().expand(shape), self.total.expand(shape[:-1]).round()
            rest = probs.flip(-1).cumsum(-1).flip(-1)  # p_i + ... + p_D
            shares, drawn = (probs / rest).nan_to_num(1.0).clamp(0, 1), []
            for i in range(shape[-1] - 1):
                drawn.append(torch.binomial(left, shares[..., i].contiguous()))
                left = left - drawn[-1]
            return torch.stack([*drawn, left], -1)

    @property
    def mean(self) -> Tensor:
        """total p, (*batch_shape, D)."""
        return self.total.unsqueeze(-1) * self.logits.exp()


class BagOfWords(Multinomial):
    """The words of a document in their order, each drawn by itself; ``log_prob`` is in nats, (*batch_shape).

        log p(words | n) = sum_v x_v log p_v,   p = softmax(logits),   x_v how often word v is among the n

    It is the mass of one sequence of n words, of which n! / prod_v x_v! have these counts: without the coefficient of
    :class:`Multinomial`, as every published perplexity is. Draws are of counts.

    Args:
        logits: (..., V).
        total: of draws and of the mean, (...); a value is scored given its own total.

    >>> fn = BagOfWords(torch.zeros(2), torch.tensor(2.0))
    >>> float(fn.log_prob(torch.tensor([1.0, 1.0])).exp())
    0.25
    """

    def expand(self, batch_shape: torch.Size, _instance: TorchDistribution | None = None) -> BagOfWords:
        """The same distribution with this batch shape."""
        return super().expand(batch_shape, self._get_checked_instance(BagOfWords, _instance))  # type: ignore[return-value]

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(words | their number), in nats, (*batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        return (value * self.logits).sum(-1)
